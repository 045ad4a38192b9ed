"""Supervised networks from one modality to another, to compare with."""

import math
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.data.pipeline import Split, training_batches
from tf_mvae.evaluation.baselines import bottleneck_networks
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.modality import Modality
from tf_mvae.ops import random

__all__ = ["train_reader", "train_supervised", "train_translator"]

_STREAM = 41


def train_translator(
    given: Modality,
    target: Modality,
    split: Split,
    latent_dim: int,
    steps: int,
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
    progress: Callable[..., Iterable],
) -> keras.Model:
    """Trains the encoder of one modality and the decoder of another, end to end.

    They are made anew, with a linear layer of the latent's size between them and no other
    connection: a model of the same size that learns this one task. The loss is minus the
    target's log-likelihood; Adam, whose learning rate falls from 1e-3 to 0 along half a cosine.

    Args:
        given: What is given; its networks are copied, not their weights.
        target: What is asked for, likewise.
        split: The training examples; those that lack one of the two count for nothing.
        latent_dim: Size of the latent.
        steps: Of the optimizer.
        batch_size: Examples a step.
        shuffle_buffer: Examples held for shuffling.
        seed: Of weights, order and dropout.
        progress: Wraps the batches, to show progress; takes `desc` and `total`.

    Returns:
        A network from prepared data to parameters of the target's likelihood.
    """
    keras.utils.set_random_seed(seed)
    parts = [type(m).from_config(m.get_config()) for m in (given, target)]
    _, network = bottleneck_networks(*parts, latent_dim)
    train_supervised(
        network, given, target, split, steps, batch_size, shuffle_buffer, seed, progress
    )
    return network


def train_reader(
    given: Modality,
    target: Modality,
    split: Split,
    steps: int,
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
    progress: Callable[..., Iterable],
) -> keras.Model:
    """Trains the encoder of one modality with a linear layer for the other on top.

    For a target of few numbers, such as attributes; else as `train_translator`.
    """
    keras.utils.set_random_seed(seed)
    encoder = type(given).from_config(given.get_config()).encoder
    inputs = keras.Input(given.likelihood.event_shape)
    shape = target.likelihood.parameter_shape
    outputs = keras.layers.Dense(math.prod(shape))(keras.layers.Flatten()(encoder(inputs)))
    network = keras.Model(inputs, keras.layers.Reshape(shape)(outputs))
    train_supervised(
        network, given, target, split, steps, batch_size, shuffle_buffer, seed, progress
    )
    return network


def train_supervised(
    network: keras.Model,
    given: Modality,
    target: Modality,
    split: Split,
    steps: int,
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
    progress: Callable[..., Iterable],
) -> None:
    """Trains a network from prepared data to the target's parameters; see `train_translator`."""
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(network.trainable_variables)
    variables = [variable.value for variable in network.trainable_variables]

    @tf.function(autograph=False)
    def train(batch: dict[str, dict[str, tf.Tensor]], step: tf.Tensor) -> None:
        x, mask = contract.unpack(batch, [given, target])
        pixels, wanted = (m.prepare(x[m.name], mask[m.name]) for m in (given, target))
        seeds = layer_seeds(random.fold_in(tf.constant([seed, _STREAM]), step))
        with seeds, tf.GradientTape() as tape:
            parameters = network(pixels, training=True)
            log_prob = target.log_prob(parameters, wanted, mask[target.name])
            loss = -tf.reduce_mean(log_prob * mask[given.name])
        optimizer.apply(tape.gradient(loss, variables), network.trainable_variables)

    split = split.only([given.name, target.name])
    epochs = -(-steps // split.steps_per_epoch(batch_size))
    batches = training_batches(split, batch_size, epochs, seed, shuffle_buffer).take(steps)
    words = f"supervised: {given.name} to {target.name}"
    for step, batch in enumerate(progress(batches, desc=words, total=steps)):
        train(batch, tf.constant(step))
