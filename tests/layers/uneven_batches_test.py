"""Batches that replicas cannot divide equally: two replicas train like one."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import (
    MaskedBatchNormalization,
    MaskedSequential,
    RecurrentDecoder,
    RecurrentEncoder,
    conv_decoder,
    conv_encoder,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
    mlp_decoder,
    mlp_encoder,
)
from tf_mvae.ops import random
from tf_mvae.training import make_strategy

ROWS, BATCH_SIZE = 9, 4  # The last batch is one row: one of two replicas has none.


def make_modalities():
    """Modalities that hold all of the package's layers but dropout, which draws by replica."""
    image = conv_encoder([3], 5).layers
    image = MaskedSequential([*image[:2], MaskedBatchNormalization(), *image[2:]])
    picture = conv_decoder([4, 4, 1], [3], 5).layers
    picture = MaskedSequential([picture[0], MaskedBatchNormalization(), *picture[1:]])
    text = RecurrentEncoder(7, 2, 3)
    words = likelihoods.TokenSequence(7, 4, RecurrentDecoder(7, 2, 3, 1), 3)
    return [
        Modality("image", likelihoods.Bernoulli([4, 4, 1]), image, picture),
        Modality("label", likelihoods.Categorical(3), mlp_encoder([4], 3), mlp_decoder([3], [4])),
        Modality("text", words, text, mlp_decoder([3], [4])),
        ModalityGroup("marks", ["a", "b"], likelihoods.Bernoulli([]),
                      grouped_mlp_encoder([3], 2), grouped_mlp_decoder([], [3])),
    ]  # fmt: skip


@functools.cache
def make_batch():
    rng = np.random.default_rng(0)
    x = {
        "image": rng.uniform(size=[ROWS, 4, 4, 1]).astype(np.float32),
        "label": rng.integers(3, size=[ROWS]).astype(np.int32),
        "text": np.tile(np.array([[3, 4, 2, 0], [5, 6, 3, 2], [2, 0, 0, 0]], np.int32), [3, 1]),
        "marks": rng.integers(2, size=[ROWS, 2]).astype(np.float32),
    }
    mask = {name: np.ones(ROWS, np.float32) for name in x}
    mask["image"][[1, 6]] = mask["text"][[0, 6]] = mask["label"][3] = 0
    return {"x": x, "mask": mask}


def trained(strategy, make=make_modalities, **how):
    """Returns the history of training and evaluation, and the variables."""
    with strategy.scope():
        keras.utils.set_random_seed(3)
        model = MVAE(make(), 3)
        data = tiny.part_of(make_batch(), model)
        model.compile(keras.optimizers.SGD(0.05), **how)
        history = model.fit(
            data, validation_data=data, batch_size=BATCH_SIZE, shuffle=False, verbose=0
        ).history
    return history, [variable.numpy() for variable in model.variables]


def test_a_replica_without_a_row_contributes_nothing():
    one, two = (
        trained(strategy, run_eagerly=True)
        for strategy in (tf.distribute.get_strategy(), make_strategy("mirrored"))
    )
    tiny.assert_close(two, one, 1e-4, 1e-5)


def test_in_a_graph_too():
    one, two = (
        trained(strategy, lambda: make_modalities()[1:2])
        for strategy in (tf.distribute.get_strategy(), make_strategy("mirrored"))
    )
    tiny.assert_close(two, one, 1e-4, 1e-5)


def test_the_noise_of_parts_of_any_size_is_that_of_the_whole_batch():
    whole = random.stateless_normal([2, 3, 5, 4], tf.constant([4, 7]))
    for sizes in ((3, 2), (5, 0)):

        def draw(sizes=sizes):
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            rows = tf.gather(sizes, replica)
            return random.batch_normal([2, 3, rows, 4], tf.constant([4, 7]))

        strategy = make_strategy("mirrored")
        parts = strategy.experimental_local_results(strategy.run(draw))
        np.testing.assert_array_equal(tf.concat(parts, axis=2), whole)
