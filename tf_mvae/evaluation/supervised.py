"""Supervised networks from one modality to another, to compare with."""

import math
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.data.pipeline import Split, evaluation_batches, training_batches
from tf_mvae.errors import UserError
from tf_mvae.evaluation.baselines import bottleneck_networks
from tf_mvae.evaluation.kept import kept_network
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.modality import Modality
from tf_mvae.ops import random

__all__ = ["kept_supervised", "reader", "train_supervised", "translator"]

_STREAM = 41
# How often a network is looked at while it trains, and on how many examples a time.
_LOOKS = 10
_LOOK_BATCH = 100

Batch = dict[str, dict[str, tf.Tensor]]


def translator(given: Modality, target: Modality, latent_dim: int) -> keras.Model:
    """Makes the encoder of one modality and the decoder of another, one behind the other.

    They are newly made, with a linear layer of the latent's size between them and no other
    connection: a model of the same size that learns this one task.

    Args:
        given: What is given; its networks are copied, not their weights.
        target: What is asked for, likewise.
        latent_dim: Size of the latent.

    Returns:
        A network from prepared data to parameters of the target's likelihood.
    """
    parts = [type(m).from_config(m.get_config()) for m in (given, target)]
    return bottleneck_networks(*parts, latent_dim)[1]


def reader(given: Modality, target: Modality) -> keras.Model:
    """Makes the encoder of one modality with a linear layer for the other on top.

    For a target of few numbers, such as attributes; else as `translator`.
    """
    encoder = type(given).from_config(given.get_config()).encoder
    inputs = keras.Input(given.likelihood.event_shape)
    shape = target.likelihood.parameter_shape
    outputs = keras.layers.Dense(math.prod(shape))(keras.layers.Flatten()(encoder(inputs)))
    return keras.Model(inputs, keras.layers.Reshape(shape)(outputs))


def kept_supervised(
    run: Run,
    settings: Settings,
    given: Modality,
    target: Modality,
    make: Callable[[], keras.Model],
    examples: Callable[[], Split],
) -> keras.Model:
    """Makes and trains a network for one task, or loads the one that the run directory keeps.

    It takes as many examples a batch as the run does, for `settings.baseline_steps_of(run)` steps,
    and keeps the weights that are best on the validation split.

    Args:
        run: The run.
        settings: How to evaluate.
        given: What is given.
        target: What is asked for.
        make: Makes the network, from prepared data to parameters of the target's likelihood.
        examples: Returns the training examples.
    """
    steps, seed, config = settings.baseline_steps_of(run), settings.seed, run.config

    def trained() -> keras.Model:
        keras.utils.set_random_seed(seed)
        network = make()
        train_supervised(
            network,
            given,
            target,
            examples(),
            run.split("validation"),
            steps,
            config.batch_size,
            config.shuffle_buffer,
            seed,
            settings.progress,
        )
        return network

    name = f"supervised_best_{given.name}_{target.name}_steps{steps}_seed{seed}.keras"
    return kept_network(
        run.directory / "evaluation" / name,
        given.likelihood.event_shape,
        target.likelihood.parameter_shape,
        trained,
    )


def train_supervised(
    network: keras.Model,
    given: Modality,
    target: Modality,
    split: Split,
    checks: Split,
    steps: int,
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
    progress: Callable[..., Iterable],
) -> int:
    """Trains a network end to end.

    The loss is minus the target's log-likelihood; Adam, whose learning rate falls from 1e-3 to
    0 along half a cosine. Ten times on the way, the last one at the end, the loss of other
    examples is looked at, and the weights that had the lowest are those that it is left with.

    Args:
        network: From prepared data to parameters of the target's likelihood.
        given: What is given.
        target: What is asked for.
        split: The training examples; those in which one of the two is missing (of a group, all
            of it) are excluded.
        checks: The examples that are looked at.
        steps: Of the optimizer.
        batch_size: Examples a step.
        shuffle_buffer: Examples held for shuffling.
        seed: Of order and dropout.
        progress: Wraps the batches, to show progress; takes `desc` and `total`.

    Returns:
        After how many steps the weights were best; `steps` where no other example has both.
    """
    split = _with_both(split.only([given.name, target.name]))
    batch_size = min(batch_size, split.num_examples)
    others = evaluation_batches(checks.only([given.name, target.name]), _LOOK_BATCH, seed)
    epochs = -(-steps // split.steps_per_epoch(batch_size))
    batches = training_batches(split, batch_size, epochs, seed, shuffle_buffer).take(steps)
    words = f"supervised: {given.name} to {target.name}"
    looks = {-(-steps * (look + 1) // _LOOKS) for look in range(_LOOKS)}
    training, best = _Training(network, given, target, steps, seed), _Best(network)
    for step, batch in enumerate(progress(batches, desc=words, total=steps)):
        training.step(batch, tf.constant(step))
        if step + 1 in looks:
            best.see(step + 1, training.mean_loss(others))
    return best.restore()


class _Training:
    """A network's loss for one task, its optimizer's steps, and the loss of other examples."""

    def __init__(
        self, network: keras.Model, given: Modality, target: Modality, steps: int, seed: int
    ):
        self._network, self._given, self._target, self._seed = network, given, target, seed
        rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
        self._optimizer = keras.optimizers.Adam(rate)
        self._optimizer.build(network.trainable_variables)
        self._variables = [variable.value for variable in network.trainable_variables]
        self.step = tf.function(self._step, autograph=False)
        self._sums = tf.function(self._sums_of_batch, autograph=False, reduce_retracing=True)

    def mean_loss(self, batches: tf.data.Dataset) -> float:
        """Returns the mean loss of examples that have both modalities, -inf if none has."""
        total, number = sum((self._sums(batch) for batch in batches), tf.zeros([2])).numpy()
        return total / number if number else -math.inf

    def _step(self, batch: Batch, step: tf.Tensor) -> None:
        seeds = layer_seeds(random.fold_in(tf.constant([self._seed, _STREAM]), step))
        with seeds, tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._losses(batch, training=True)[0])
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply(gradients, self._network.trainable_variables)

    def _sums_of_batch(self, batch: Batch) -> tf.Tensor:
        """Returns the sum of the losses and the number of examples that have both, `[2]`."""
        return tf.stack([tf.reduce_sum(part) for part in self._losses(batch, training=False)])

    def _losses(self, batch: Batch, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns each example's loss, 0 where one of the two is missing, and what has both."""
        given, target = self._given, self._target
        x, mask = unpack(batch, [given, target])
        pixels, wanted = (m.prepare(x[m.name], mask[m.name]) for m in (given, target))
        parameters = self._network(pixels, training=training)
        log_prob = target.log_prob(parameters, wanted, mask[target.name])
        known = tf.reshape(mask[target.name], [tf.shape(log_prob)[0], -1])
        both = mask[given.name] * tf.reduce_max(known, axis=1)
        return -log_prob * both, both


class _Best:
    """The weights of a network when its loss was lowest; the later of equal ones."""

    def __init__(self, network: keras.Model):
        self.network, self.loss, self.step = network, math.inf, 0
        self.weights: list[np.ndarray] = []

    def see(self, step: int, loss: float) -> None:
        """Keeps the weights that a network has after a step, if none were better."""
        if loss <= self.loss:
            self.loss, self.step, self.weights = loss, step, self.network.get_weights()

    def restore(self) -> int:
        """Gives the network the best weights; returns the step."""
        if self.weights:
            self.network.set_weights(self.weights)
        return self.step


def _with_both(split: Split) -> Split:
    """Excludes examples that are known to be incomplete, so that every row of a batch teaches."""
    if split.presence is None:
        return split
    parts = [np.reshape(there, [split.num_examples, -1]) for there in split.presence.values()]
    whole = np.all([(part > 0).any(axis=1) for part in parts], axis=0)
    if not whole.any():
        raise UserError(
            "no example that the run sees has both modalities of a supervised network; "
            "--baseline_steps=0 leaves these networks out"
        )
    return split.where(whole)
