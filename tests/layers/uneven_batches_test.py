"""Batches that do not divide: every layer, strategy and compilation trains as one replica does."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import (
    MaskedBatchNormalization,
    MaskedSequential,
    RecurrentDecoder,
    RecurrentEncoder,
    SeededDropout,
    conv_decoder,
    conv_encoder,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
    mlp_decoder,
    mlp_encoder,
)
from tf_mvae.training import make_strategy

ROWS, BATCH_SIZE = 9, 4  # The last batch is one row: one of two replicas has none.


def make_modalities(dropout):
    """Modalities that hold all of the package's layers."""
    image = conv_encoder([3], 5).layers
    image = MaskedSequential([*image[:2], MaskedBatchNormalization(), *image[2:]])
    picture = conv_decoder([4, 4, 1], [3], 5).layers
    picture = MaskedSequential([picture[0], MaskedBatchNormalization(), *picture[1:]])
    text = MaskedSequential([RecurrentEncoder(7, 2, 3), SeededDropout(dropout)])
    words = likelihoods.TokenSequence(7, 4, RecurrentDecoder(7, 2, 3, 1), 3)
    return [
        Modality("image", likelihoods.Bernoulli([4, 4, 1]), image, picture),
        Modality("label", likelihoods.Categorical(3), mlp_encoder([4], 3), mlp_decoder([3], [4])),
        Modality("text", words, text, mlp_decoder([3], [4])),
        ModalityGroup("marks", ["a", "b"], likelihoods.Bernoulli([]),
                      grouped_mlp_encoder([3], 2), grouped_mlp_decoder([], [3])),
    ]  # fmt: skip


@functools.cache
def data():
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


def trained(strategy=None, dropout=0.0, epochs=2, **how):
    """Returns the history of training and evaluation, and the variables."""
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        keras.utils.set_random_seed(3)
        model = MVAE(make_modalities(dropout), 3)
        model.compile(keras.optimizers.SGD(0.05), **how)
        history = model.fit(
            data(), validation_data=data(), batch_size=BATCH_SIZE, epochs=epochs, shuffle=False,
            verbose=0,
        ).history  # fmt: skip
    return history, [variable.numpy() for variable in model.variables]


@pytest.fixture(scope="module")
def expected():
    return trained()


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_one_replica_trains_alike_however_it_is_compiled(how, expected):
    tiny.assert_close(trained(**how), expected, 1e-4, 1e-5)


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}], ids=str)
def test_a_replica_without_a_row_contributes_nothing(how, expected):
    tiny.assert_close(trained(make_strategy("mirrored"), **how), expected, 1e-4, 1e-5)


@pytest.mark.parametrize("strategy", [None, "mirrored"])
def test_dropout_draws_for_any_number_of_rows(strategy):
    strategy = strategy and make_strategy(strategy)
    history, variables = trained(strategy, dropout=0.5, epochs=1)
    assert all(np.isfinite(value).all() for value in (*history.values(), *variables))
