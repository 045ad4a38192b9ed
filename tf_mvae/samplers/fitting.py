"""Fitting a sampler to a trained model's own posteriors."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import example_weight, present_mask, unpack
from tf_mvae.covariate import as_numbers
from tf_mvae.errors import UserError
from tf_mvae.inference.input_data import (
    checked_evaluation,
    checked_fit,
    checked_input,
    one_line_errors,
)
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.ops.replicas import batch_mean
from tf_mvae.optimization import FusedAdam, inner_optimizer
from tf_mvae.posteriors import Context, subset_context
from tf_mvae.samplers.class_draws import draw_classes
from tf_mvae.samplers.hidden_cells import hide_cells, hides_cells
from tf_mvae.samplers.mixture_flow import MixtureFlow
from tf_mvae.samplers.sampler import LatentSampler
from tf_mvae.samplers.subset_draws import EMPTY_PROBABILITY, FULL_PROBABILITY, draw_subsets

__all__ = ["SamplerTrainer", "fit", "make_optimizer"]

_TRAINING_STREAM, _EVALUATION_STREAM = 11, 12


class SamplerTrainer(keras.Model):
    """Fits `p(z | S)` by maximum likelihood; the model that it is fitted to stays as it is.

        loss = -E[log p(z | S)],   z ~ q(z | all that the example has),   S a random part of that

    A class that the example is missing is drawn from `p(class | z)` first
    (`tf_mvae.samplers.draw_classes`), and examples of classes alone do not count. S has fewer cells
    than the example of a modality with an `element_dropout` (`tf_mvae.samplers.hide_cells`).

    It is a Keras model whose weights are the sampler's: `compile`, `fit`, `evaluate` and
    callbacks work as usual, on the same data as the model's own. The random numbers of a step
    are a function of `seed` and the optimizer's step, so that a fit that continues from a
    checkpoint repeats none.

    Metrics, in nats per example: `loss`, and `kl`, the mean of
    `log q(z | all) - log p(z | S)`: what S does not say about z, and what the sampler misses. A
    sampler without a fast density has a `loss` of its own, and no `kl`.

    Example:

    ```python
    sampler = MixtureFlow(model.latent_dim, model.num_columns)
    trainer = SamplerTrainer(model, sampler)
    trainer.compile(keras.optimizers.Adam(1e-3))
    trainer.fit({"x": {"image": images, "label": labels}}, batch_size=256, epochs=20)
    model.set_sampler(sampler)
    ```
    """

    def __init__(
        self,
        model: BaseVAE,
        sampler: LatentSampler,
        seed: int = 0,
        empty_probability: float = EMPTY_PROBABILITY,
        full_probability: float = FULL_PROBABILITY,
        **kwargs,
    ):
        """Creates the trainer.

        Args:
            model: The trained model.
            sampler: The sampler to fit.
            seed: Seed of the latents and the subsets.
            empty_probability: Probability of the empty subset; see
                `tf_mvae.samplers.draw_subsets`.
            full_probability: Probability that a complete example keeps everything.
            **kwargs: Keras' own arguments for a model.

        Raises:
            UserError: The model has conditions, the sampler does not fit the model, or the
                probabilities add up to more than 1.
        """
        super().__init__(**kwargs)
        _check_model(model).check_sampler(sampler)
        self.seed = checks.integer("seed", seed)
        self.empty_probability = checks.fraction("empty_probability", empty_probability)
        self.full_probability = checks.fraction("full_probability", full_probability)
        if self.empty_probability + self.full_probability > 1:
            raise UserError("empty_probability and full_probability add up to more than 1")
        self._model = lambda: model  # a function: Keras would take its weights for this model's
        self.sampler = sampler
        sampler.trainable = True
        names = ("loss", "kl") if sampler.has_fast_density else ("loss",)
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self._take_gradients: Any = None
        self.built = True

    def compile(self, optimizer: Any = "adam", jit_compile: bool = True, **kwargs) -> None:
        """Configures fitting as `keras.Model.compile`; loss and metrics are the trainer's own.

        Args:
            optimizer: See `keras.Model.compile`.
            jit_compile: Whether XLA compiles the sampler's part of a step, on one replica. The
                model's encoders run outside XLA, whose convolutions are slow on a CPU.
            **kwargs: Keras' own arguments.
        """
        super().compile(optimizer=optimizer, jit_compile=False, **kwargs)
        self._take_gradients = self._gradients
        if jit_compile and self.distribute_strategy.num_replicas_in_sync == 1:
            self._take_gradients = tf.function(self._gradients, autograph=False, jit_compile=True)
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, y: None = None, *args, **kwargs) -> keras.callbacks.History:
        """Fits as `keras.Model.fit`, after checking the data; see `tf_mvae.MVAE.fit`."""
        x, kwargs = checked_fit(x, y, kwargs, self._model().batch_inputs)
        with one_line_errors():
            return super().fit(x, None, *args, **kwargs)

    def evaluate(self, x: Any = None, y: None = None, *args, **kwargs) -> Any:
        """Evaluates as `keras.Model.evaluate`, after checking the data."""
        x, kwargs = checked_evaluation(x, y, kwargs, self._model().batch_inputs)
        with one_line_errors():
            return super().evaluate(x, None, *args, **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one optimizer step; Keras calls it."""
        step = tf.cast(inner_optimizer(self.optimizer)._iterations.value, tf.int32)
        seed = random.fold_in(tf.constant([self.seed, _TRAINING_STREAM]), step)
        context, z, log_q, weight = self._targets(data, seed)
        own = random.fold_in(seed, 2)
        gradients, losses = self._take_gradients(context, z, weight, own)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.sampler.observe(z, weight, step == 0, random.fold_in(seed, 3))
        return self._update_metrics(losses, log_q, weight)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch, with the same random numbers each time; Keras calls it."""
        seed = tf.constant([self.seed, _EVALUATION_STREAM])
        context, z, log_q, weight = self._targets(data, seed)
        losses = self.sampler.loss(context, z, random.fold_in(seed, 2))
        return self._update_metrics(losses, log_q, weight)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """See the class."""
        return list(self._trackers.values())

    def get_config(self) -> dict[str, Any]:
        """Raises an error: the model is saved together with its sampler."""
        raise UserError("save the model: model.set_sampler(sampler), model.save(...)")

    def _targets(
        self, data: Any, seed: tf.Tensor
    ) -> tuple[Context, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns subsets, latents `[batch, latent]`, `log q(z | all)` and examples' weights."""
        model = self._model()
        subset_seed, noise_seed = tf.unstack(random.split(seed, 2), num=2)
        class_seed = random.fold_in(seed, 0)
        x, mask = unpack(data, model.batch_inputs)
        present = present_mask(mask, model.modalities)
        encoded = model._encoded(x, mask)
        everything = model.posterior_kind.of(encoded, present)
        z = everything.sample(1, noise_seed)
        x, mask, counts = draw_classes(model, x, mask, z[0], class_seed)
        completed = present_mask(mask, model.modalities)
        cells = hides_cells(model)
        if cells:
            x, mask = hide_cells(model, x, mask, random.fold_in(seed, 1))
            completed = present_mask(mask, model.modalities)
            encoded = model._encoded(x, mask)
        else:
            encoded = tf.cond(
                tf.reduce_any(completed > present),
                lambda: model._encoded(x, mask),
                lambda: encoded,
            )
        present = completed
        how = self.empty_probability, self.full_probability, cells
        subset = draw_subsets(present, subset_seed, *how)
        covariates = as_numbers(model.covariates, x)
        context = subset_context(model.posterior_kind, encoded, subset, covariates)
        weight = example_weight(data)
        weight = counts if weight is None else counts * weight
        found = context, z[0], everything.log_prob(z)[0], weight
        return tf.nest.map_structure(tf.stop_gradient, found)

    def _gradients(
        self, context: Context, z: tf.Tensor, weight: tf.Tensor, seed: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        variables = [variable.value for variable in self.trainable_variables]
        with tf.GradientTape() as tape:
            losses = self.sampler.loss(context, z, seed)
            loss = batch_mean(losses * weight)
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss / replicas)
        gradients = tape.gradient(scaled, variables, unconnected_gradients="zero")
        return gradients, losses

    def _update_metrics(
        self, losses: tf.Tensor, log_q: tf.Tensor, weight: tf.Tensor
    ) -> dict[str, Any]:
        values = {"loss": losses, "kl": losses + log_q}
        for name, tracker in self._trackers.items():
            tracker.update_state(values[name], sample_weight=weight)
        return {name: tracker.result() for name, tracker in self._trackers.items()}


def make_optimizer(learning_rate: float, steps: int | None) -> keras.optimizers.Optimizer:
    """Returns Adam with a learning rate that falls to 0 along half a cosine.

    Args:
        learning_rate: The first one.
        steps: The number of steps of the decay; None: a constant rate.
    """
    rate = learning_rate
    if steps:
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return FusedAdam(rate, clipnorm=100.0)


def _check_model(model: Any) -> BaseVAE:
    return checks.instance("model", model, BaseVAE, "a model of tf_mvae")


def fit(
    model: BaseVAE,
    data: Any,
    sampler: LatentSampler | None = None,
    epochs: int = 20,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    validation_data: Any = None,
    seed: int = 0,
    jit_compile: bool = True,
    **kwargs,
) -> keras.callbacks.History:
    """Fits a sampler to a trained model and attaches it: `model.sampler`.

    From then on `generate`, `latent_samples` and `sample` draw from it, and `model.save` saves
    it with the model. See `SamplerTrainer` for what is fitted, and for more control.

    Args:
        model: The trained model. Its weights stay as they are.
        data: Training data as for `model.fit`; examples may be incomplete.
        sampler: The sampler to fit; default: the model's, or a new `MixtureFlow`.
        epochs: Passes over the data.
        batch_size: Examples per step, for arrays; a `tf.data` data set has its own batches.
        learning_rate: Adam's; it falls to 0 along half a cosine if the number of batches is
            known.
        validation_data: As `data`; its `val_loss` is reported every epoch. With few examples it
            rises again: `keras.callbacks.EarlyStopping` keeps the best epoch.
        seed: Seed of the latents and the subsets.
        jit_compile: Whether XLA compiles the sampler's part of a step.
        **kwargs: Arguments of `keras.Model.fit`: `callbacks`, `verbose`, `steps_per_epoch`.

    Returns:
        Keras' history.

    Raises:
        UserError: The model has conditions, the sampler does not fit it, or the data do not.

    Example:
    ```python
    model.fit(data, epochs=20)
    tf_mvae.samplers.fit(model, data, epochs=20)
    model.generate({"label": [7]}, num_samples=16)["image"]      # sixteen different sevens
    model.generate({"label": [7]}, 16, latents="posterior")      # z ~ q(z | label) again

    best = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
    tf_mvae.samplers.fit(model, data, epochs=200, validation_data=held_out, callbacks=[best])
    ```
    """
    _check_model(model)
    epochs = checks.positive_integer("epochs", epochs)
    learning_rate = checks.positive("learning_rate", learning_rate)
    if sampler is None:
        sampler = model.sampler or MixtureFlow(
            model.latent_dim, model.num_columns, num_covariates=model.num_covariates
        )
    trainer = SamplerTrainer(model, sampler, seed)
    data = checked_input(data, model.batch_inputs, kwargs.pop("sample_weight", None))
    if isinstance(data, Mapping):
        kwargs["batch_size"] = checks.positive_integer("batch_size", batch_size)
    steps = kwargs.get("steps_per_epoch") or _num_batches(
        data, batch_size, kwargs.get("validation_split", 0.0)
    )
    optimizer = make_optimizer(learning_rate, steps and steps * epochs)
    trainer.compile(optimizer, jit_compile=jit_compile)
    try:
        history = trainer.fit(data, validation_data=validation_data, epochs=epochs, **kwargs)
    finally:
        sampler.trainable = False  # the model's optimizer has none of its weights
    model.set_sampler(sampler)
    return history


def _num_batches(data: Any, batch_size: int, held_out: float) -> int | None:
    """Returns the number of batches of an epoch, None if it is not known."""
    if isinstance(data, Mapping):
        rows = len(next(iter(data["x"].values())))
        return math.ceil(math.floor(rows * (1 - held_out)) / batch_size)
    if isinstance(data, tf.data.Dataset) and data.cardinality() > 0:
        return int(data.cardinality())
    return None
