"""Supervised networks: their training examples, and the weights that are kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import Modality, likelihoods
from tf_mvae.data.pipeline import Split
from tf_mvae.evaluation import supervised
from tf_mvae.evaluation.supervised import train_supervised, translator
from tf_mvae.layers import mlp_decoder, mlp_encoder

GIVEN, TARGET = (
    Modality(name, likelihoods.Bernoulli([6]), mlp_encoder([32]), mlp_decoder([6], [32]))
    for name in ("given", "target")
)


def make_split(number, seed=0, masks=None):
    """Returns a split of independent numbers."""
    rng = np.random.default_rng(seed)
    x = {name: (rng.random([number, 6]) < 0.5).astype(np.float32) for name in ("given", "target")}
    parts = {"x": x} if masks is None else {"x": x, "mask": masks}
    return Split(tf.data.Dataset.from_tensor_slices(parts), number, presence=masks)


def mean_loss(network, split):
    batch = next(iter(split.dataset.batch(1000)))
    logits = network(batch["x"]["given"], training=False)
    wanted = batch["x"]["target"]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(wanted, tf.reshape(logits, wanted.shape))
    return float(tf.reduce_mean(tf.reduce_sum(losses, axis=-1)))


def train(split, checks, steps, progress=lambda batches, **_: batches):
    keras.utils.set_random_seed(0)
    network = translator(GIVEN, TARGET, 8)
    return network, train_supervised(
        network, GIVEN, TARGET, split, checks, steps, 16, 40, 0, progress
    )


def test_whole_examples_alone_are_seen():
    has = (np.arange(40) % 4 == 0).astype(np.float32)
    masks, seen = {"given": has, "target": np.ones(40, np.float32)}, []

    def progress(batches, **_):
        for batch in batches:
            seen.extend(np.stack([batch["mask"][n].numpy() for n in masks], 1).tolist())
            yield batch

    train(make_split(40, masks=masks), make_split(10), 4, progress)
    assert seen == [[1, 1]] * 40  # 4 steps of all 10


def test_the_weights_that_are_best_on_others_are_kept(monkeypatch):
    """Weights that overfit the training examples are not kept."""
    split, checks = make_split(16), make_split(300, seed=1)
    network, step = train(split, checks, 300)
    assert step in range(30, 300, 30)
    monkeypatch.setattr(supervised, "_LOOKS", 1)  # at the end
    last, steps = train(split, checks, 300)
    assert steps == 300 and mean_loss(last, split) < mean_loss(network, split)
    assert mean_loss(network, checks) < mean_loss(last, checks) - 1


def test_without_other_examples_the_last_weights_stay(monkeypatch):
    """Validation examples without one of the two modalities do not count."""
    split, zeros = make_split(16), np.zeros(10, np.float32)
    none = make_split(10, seed=1, masks={"given": zeros, "target": zeros + 1})
    network, step = train(split, none, 60)
    assert step == 60
    monkeypatch.setattr(supervised, "_LOOKS", 1)
    assert mean_loss(network, split) == pytest.approx(mean_loss(train(split, none, 60)[0], split))
