"""A supervised network from one picture to another, to compare with."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.data.pipeline import Split, training_batches
from tf_mvae.evaluation.baselines import bottleneck_networks
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.modality import Modality
from tf_mvae.ops import random

__all__ = ["train_translator"]

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
        split: The training examples, which have both.
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
    given, target = (Modality.from_config(m.get_config()) for m in (given, target))
    _, network = bottleneck_networks(given, target, latent_dim)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(network.trainable_variables)
    variables = [variable.value for variable in network.trainable_variables]

    @tf.function(autograph=False)
    def train(x: dict[str, Any], step: tf.Tensor) -> None:
        there = tf.ones(tf.shape(x[given.name])[:1])
        pixels = given.prepare(x[given.name], there)
        wanted = target.prepare(x[target.name], there)
        seeds = layer_seeds(random.fold_in(tf.constant([seed, _STREAM]), step))
        with seeds, tf.GradientTape() as tape:
            parameters = network(pixels, training=True)
            loss = -tf.reduce_mean(target.likelihood.log_prob(parameters, wanted))
        optimizer.apply(tape.gradient(loss, variables), network.trainable_variables)

    split = split.only([given.name, target.name])
    epochs = -(-steps // split.steps_per_epoch(batch_size))
    batches = training_batches(split, batch_size, epochs, seed, shuffle_buffer).take(steps)
    words = f"supervised: {given.name} to {target.name}"
    for step, batch in enumerate(progress(batches, desc=words, total=steps)):
        train(batch["x"], tf.constant(step))
    return network
