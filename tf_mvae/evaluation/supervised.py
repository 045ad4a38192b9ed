"""Supervised networks from one modality to another, to compare a model with."""

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
# The number of validations during a training, and their batch size.
_LOOKS = 10
_LOOK_BATCH = 100

Batch = dict[str, dict[str, tf.Tensor]]


def translator(given: Modality, target: Modality, latent_dim: int) -> keras.Model:
    """Makes a network of one modality's encoder, a linear layer and another modality's decoder.

    The networks have new weights. The linear layer has the size of the latent, so the network is as
    large as the model, but is trained for this one task.

    Args:
        given: The input modality; its networks are copied without their weights.
        target: The output modality; its networks are copied without their weights.
        latent_dim: The size of the latent.

    Returns:
        A network from prepared data to parameters of the target's likelihood.
    """
    parts = [type(m).from_config(m.get_config()) for m in (given, target)]
    return bottleneck_networks(*parts, latent_dim)[1]


def reader(given: Modality, target: Modality) -> keras.Model:
    """Makes a network of one modality's encoder and a linear layer to another modality.

    This is for a target with few values, such as attributes; see `translator` for others.

    Args:
        given: The input modality; its encoder is copied without its weights.
        target: The output modality.

    Returns:
        A network from prepared data to parameters of the target's likelihood.
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
    """Loads a supervised network from the run directory, or trains and saves it.

    It is trained with the run's batch size for `settings.baseline_steps_of(run)` steps, and has the
    weights with the lowest loss on the validation split.

    Args:
        run: The run.
        settings: The settings of the evaluation.
        given: The input modality.
        target: The output modality.
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
    """Trains a network with the loss `-log p(target | network(given))`.

    The optimizer is Adam with cosine decay of the learning rate from 1e-3 to 0. The validation loss
    is computed ten times during the training, the last time at its end, and the network gets the
    weights with the lowest one.

    Args:
        network: A network from prepared data to parameters of the target's likelihood.
        given: The input modality.
        target: The output modality.
        split: The training examples; those in which one of the two modalities (all members of a
            group) is missing are excluded.
        checks: The validation examples.
        steps: The number of optimizer steps.
        batch_size: Examples per step.
        shuffle_buffer: The number of examples to shuffle among.
        seed: The seed of order and dropout.
        progress: Wraps the batches to show progress; takes `desc` and `total`.

    Returns:
        The step of the best weights; `steps` if no validation example has both modalities.

    Raises:
        UserError: No training example has both modalities.
    """
    split = split.only([given.name, target.name]).complete()
    if not split.num_examples:
        raise UserError(
            "no training example of the run has both modalities of a supervised network; give "
            "--baseline_steps=0 to evaluate without supervised networks"
        )
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
    """Takes optimizer steps of one network, and computes its loss on other examples."""

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
        """Takes one optimizer step; `step` is its number, for the seeds of dropout."""
        seeds = layer_seeds(random.fold_in(tf.constant([self._seed, _STREAM]), step))
        with seeds, tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._losses(batch, training=True)[0])
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply(gradients, self._network.trainable_variables)

    def _sums_of_batch(self, batch: Batch) -> tf.Tensor:
        """Returns the sum of losses and the number of examples with both modalities, `[2]`."""
        return tf.stack([tf.reduce_sum(part) for part in self._losses(batch, training=False)])

    def _losses(self, batch: Batch, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns losses, 0 if a modality is missing, and whether both are observed, `[batch]`."""
        given, target = self._given, self._target
        x, mask = unpack(batch, [given, target])
        pixels, wanted = (m.prepare(x[m.name], mask[m.name]) for m in (given, target))
        parameters = self._network(pixels, training=training)
        log_prob = target.log_prob(parameters, wanted, mask[target.name])
        known = tf.reshape(mask[target.name], [tf.shape(log_prob)[0], -1])
        both = mask[given.name] * tf.reduce_max(known, axis=1)
        return -log_prob * both, both


class _Best:
    """The weights with the lowest loss; of equal losses, the latest."""

    def __init__(self, network: keras.Model):
        self.network, self.loss, self.step = network, math.inf, 0
        self.weights: list[np.ndarray] = []

    def see(self, step: int, loss: float) -> None:
        """Stores the current weights if no loss was lower."""
        if loss <= self.loss:
            self.loss, self.step, self.weights = loss, step, self.network.get_weights()

    def restore(self) -> int:
        """Sets the best weights, and returns their step."""
        if self.weights:
            self.network.set_weights(self.weights)
        return self.step
