"""How a model trains and is evaluated as a Keras model."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tf_mvae.batch import example_weight
from tf_mvae.errors import UserError
from tf_mvae.inference.generative import GenerativeModel
from tf_mvae.inference.input_data import (
    checked_evaluation,
    checked_fit,
    checked_input,
    one_line_errors,
    refuse_targets,
)
from tf_mvae.models.member_means import MemberMeans
from tf_mvae.objectives import Elbo
from tf_mvae.objectives.terms import Columns
from tf_mvae.ops import xla
from tf_mvae.ops.replicas import share_of_rows
from tf_mvae.optimization import inner_optimizer, several_steps

__all__ = ["TrainableModel"]

_EVALUATION_STREAM = 1


class _Measured(NamedTuple):
    """A batch's loss, and the values of its metrics.

    Attributes:
        loss: The loss.
        elbo: Its terms.
        weight: The weights of the examples, `[batch]`; None if the batch has none.
        has_guesses: Whether some targets are guesses (self-training) and not data.
    """

    loss: tf.Tensor
    elbo: Elbo
    weight: tf.Tensor | None
    has_guesses: bool


class TrainableModel(GenerativeModel):
    """`compile`, `fit`, `evaluate`, `predict` and metrics of a model that has an `elbo`.

    A subclass gives `elbo`, `kl_weight`, `learns_from_incomplete` and `_step_seed`.
    """

    def _make_trackers(self) -> None:
        """Makes the metrics."""
        self._trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ["loss", "elbo", "kl", *(f"{m.name}_log_likelihood" for m in self.targets)]
        }
        for group in self.targets:
            if group.mask_shape:
                self._trackers[group.name] = MemberMeans(group.column_names, name=group.name)

    def compile(self, optimizer: Any = "adam", **kwargs) -> None:
        """Configures training as `keras.Model.compile`; loss and metrics are the model's own.

        Raises:
            ValueError: A loss, a metric or weights of them are given.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name):
                raise UserError(
                    f"compile takes no {name}: the loss is the negative ELBO and the metrics are "
                    f"the model's own; leave {name} out (kl_weight and each modality's "
                    "likelihood_weight weigh the loss)"
                )
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as the saved one was; Keras calls it."""
        given = keras.saving.deserialize_keras_object(config)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            given.pop(name, None)  # earlier versions took these, and ignored them
        positions = given.pop("optimizer_variables", None)
        self.compile(**given)
        variables, trainable = self.variables, self.trainable_variables
        self.optimizer.build(trainable if positions is None else [variables[i] for i in positions])

    def get_compile_config(self) -> dict[str, Any] | None:
        """Returns the arguments of `compile`; Keras calls it.

        If layers were frozen later, they include the variables that the optimizer has states of.
        """
        config = super().get_compile_config()
        inner = inner_optimizer(self.optimizer) if config else None
        known = inner._trainable_variables if inner is not None and inner.built else []
        positions = {id(variable): i for i, variable in enumerate(self.variables)}
        found = [positions.get(id(variable)) for variable in known]
        if not known or None in found or len(found) == len(self.trainable_variables):
            return config
        return {**config, "optimizer_variables": found}

    def fit(self, x: Any = None, y: None = None, *args, **kwargs) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, after checking the data.

        Args:
            x: A dict of arrays, a `tf.data.Dataset` of batches, a `keras.utils.PyDataset` or a
                generator of batches.
            y: None: there are no targets.
            *args: Keras' own arguments, in its order: `batch_size`, `epochs`, ...
            **kwargs: Keras' own arguments. `validation_data` is as `x`; of arrays also
                `(x, None, sample_weight)`. `sample_weight` is one number of 0 or more for each
                example of arrays (`[examples]`); other data have it in their batches, as
                `"weight"`. It multiplies the example's loss; the mean over a batch is over the
                number of its examples, as Keras has it.

        Raises:
            UserError: The data do not fit the modalities, or an argument has no meaning here.
        """
        self._check_compilation()
        x, kwargs = checked_fit(x, y, kwargs, self.batch_inputs)
        if not self.learns_from_incomplete and isinstance(x, Mapping):
            self._warn_of_incomplete(x["mask"])
        with one_line_errors():
            return super().fit(x, None, *args, **kwargs)

    def evaluate(self, x: Any = None, y: None = None, *args, **kwargs) -> Any:
        """Evaluates as `keras.Model.evaluate`, after checking the data; see `fit`."""
        self._check_compilation()
        x, kwargs = checked_evaluation(x, y, kwargs, self.batch_inputs)
        with one_line_errors():
            return super().evaluate(x, None, *args, **kwargs)

    def predict(self, x: Any, *args, **kwargs) -> Any:
        """Reconstructs and completes as `keras.Model.predict`, after checking the data.

        Modalities may be omitted. See `call` for what is returned. It prepares a data pipeline,
        which takes a tenth of a second: for one batch call the model, or `generate`.
        """
        x = checked_input(x, self.batch_inputs, partial=True)
        with one_line_errors():
            return super().predict(x, *args, **kwargs)

    def train_on_batch(
        self, x: Any, y: None = None, sample_weight: Any = None, class_weight: None = None, **kwargs
    ) -> Any:
        """Takes one step as `keras.Model.train_on_batch`, after checking the batch."""
        refuse_targets("train_on_batch", {"y": y, "class_weight": class_weight})
        batch = checked_input(x, self.batch_inputs, sample_weight)
        return super().train_on_batch(batch, **kwargs)

    def test_on_batch(self, x: Any, y: None = None, sample_weight: Any = None, **kwargs) -> Any:
        """Evaluates one batch as `keras.Model.test_on_batch`, after checking it."""
        refuse_targets("test_on_batch", {"y": y})
        return super().test_on_batch(checked_input(x, self.batch_inputs, sample_weight), **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Completes one batch as `keras.Model.predict_on_batch`, after checking it."""
        return super().predict_on_batch(checked_input(x, self.batch_inputs, partial=True))

    def _check_compilation(self) -> None:
        """Raises an error if XLA is on and Keras' own loop would fail with it."""
        if self.jit_compile is True and self.distribute_strategy.num_replicas_in_sync > 1:
            raise UserError(
                "Keras cannot compile a step for several replicas by XLA; set "
                "compile(jit_compile=False), or train with python -m tf_mvae.train"
            )

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing: a model has all its weights from the start.

        Keras averages the first batch over replicas for this, which fails for truth values and for
        replicas that have different numbers of examples.
        """

    def make_train_function(self, force: bool = False) -> None:
        """Makes the function that `fit` calls for its steps; Keras calls this.

        Where XLA compiles, all of `steps_per_execution` are one program.
        """
        if not self.optimizer.built:
            # A step that makes variables is traced twice. One that scales losses would start again.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        several = self.steps_per_execution > 1 and self.jit_compile and not self.run_eagerly
        here = not tf.distribute.has_strategy()
        alone = here and self.distribute_strategy is tf.distribute.get_strategy()
        own = type(self).train_step is TrainableModel.train_step  # What it returns is known.
        if not (several and alone and own):
            super().make_train_function(force)
        elif self.train_function is None or force:  # type: ignore[has-type]
            self.train_function = several_steps(
                self.train_step, self.get_metrics_result, self.steps_per_execution
            )

    # As in Keras' `fit`: AutoGraph converts hundreds of functions, in which nothing is to convert.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one step of the optimizer; Keras calls it."""
        gradients, measured = self._loss_gradients(data)
        self.apply_gradients(gradients)
        return self._update_metrics(measured)

    def loss_gradients(self, data: Any) -> tuple[list[Any], list[tf.Tensor]]:
        """Returns a replica's part of a step, which is summed over replicas.

        Args:
            data: The replica's part of a batch.

        Returns:
            Gradients of the trainable variables (None for one that has no influence on the loss),
            and each metric's sum and count, `[2]` (`[2, member]` for a group).
        """
        gradients, measured = self._loss_gradients(data)
        return gradients, self._metric_sums(measured)

    def apply_gradients(self, gradients: Sequence[Any]) -> None:
        """Takes a step of the optimizer with gradients of all trainable variables."""
        self.optimizer.apply(gradients, self.trainable_variables)

    @xla.branches_without_constants()
    def _loss_gradients(self, data: Any) -> tuple[list[Any], _Measured]:
        """Returns gradients of the loss, and the values of metrics."""
        step = self._batches_seen()
        kl_weight = self.kl_weight(step) if callable(self.kl_weight) else self.kl_weight
        data, targets = self._completed(data, step)
        seed = self._step_seed(step)
        with tf.GradientTape() as tape:
            elbo = self.elbo(data, kl_weight=kl_weight, seed=seed, training=True, targets=targets)
            loss = elbo.loss + tf.add_n([tf.zeros([]), *self.losses])
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss / replicas)
        gradients = tape.gradient(scaled, [v.value for v in self.trainable_variables])
        # Of a sparse gradient (an embedding's) optimizers square each row by itself: those of one
        # class would not be added up first, and other numbers of replicas would do other steps.
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        return dense, _Measured(loss, elbo, example_weight(data), targets is not None)

    def _completed(self, data: Any, step: tf.Tensor) -> tuple[Any, dict[str, tf.Tensor] | None]:
        """Returns a training batch, and targets for `elbo` where these are not its masks alone."""
        return data, None

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch, at a KL weight of 1; Keras calls it."""
        return self._update_metrics(self._evaluate_batch(data))

    def evaluation_sums(self, data: Any) -> list[tf.Tensor]:
        """Evaluates one batch as `test_step`: each metric's sum and count."""
        return self._metric_sums(self._evaluate_batch(data))

    def _evaluate_batch(self, data: Any) -> _Measured:
        elbo = self.elbo(data, seed=tf.constant([self.seed, _EVALUATION_STREAM]))
        loss = elbo.loss + tf.add_n([tf.zeros([]), *self.losses])
        return _Measured(loss, elbo, example_weight(data), False)

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Reconstructs and completes one batch; Keras calls it."""
        return self(data, training=False)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of training and evaluation, in nats per example.

        `loss` is the training objective. `elbo` and `kl` are those of the term of all observed
        modalities (of a mixture of experts, means over its strata), with all weights 1.
        `NAME_log_likelihood` is the mean over the examples in which the modality is observed; a
        group has the sum over the observed members, and one metric per member.
        """
        return list(self._trackers.values())

    def _batches_seen(self) -> tf.Tensor:
        """Returns the number of batches that the optimizer has processed."""
        # `iterations` counts updates where gradients of several batches make one.
        return tf.cast(inner_optimizer(self.optimizer)._iterations.value, tf.int32)

    def _warn_of_incomplete(self, mask: Mapping[str, np.ndarray]) -> None:
        columns = [np.asarray(mask[name]) for name in self._names]
        table = np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1)
        incomplete = int(np.sum(table.min(axis=1) == 0))
        if incomplete:
            logging.warning(
                "%s learns from complete examples alone: %d of these %d are incomplete, and count "
                "for nothing",
                type(self).__name__,
                incomplete,
                len(table),
            )

    def _update_metrics(self, measured: _Measured) -> dict[str, tf.Tensor]:
        for name, (value, weight) in self._contributions(measured).items():
            self._trackers[name].update_state(value, sample_weight=weight)
        return self.metric_results()

    def metric_results(self) -> dict[str, tf.Tensor]:
        """Returns the metrics' values by name."""
        results = {}
        for name, tracker in self._trackers.items():
            result = tracker.result()
            results |= result if isinstance(result, dict) else {name: result}
        return results

    def _metric_sums(self, measured: _Measured) -> list[tf.Tensor]:
        sums = []
        for value, weight in self._contributions(measured).values():
            weight = tf.cast(weight, tf.float32)
            parts = (value * weight, weight)
            sums.append(tf.stack([tf.reduce_sum(p, 0) if p.shape.rank else p for p in parts]))
        return sums

    def _contributions(self, measured: _Measured) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Returns values and weights that a batch adds to each metric's weighted mean."""
        loss, elbo, weight, has_guesses = measured
        everything, log_likelihood, kl = self.objective.of_everything(elbo)
        counts = everything if weight is None else everything * weight
        columns = Columns(self.modalities).of
        there = {m.name: elbo.present[:, columns[m.name]] for m in self.targets}
        known = log_likelihood
        if has_guesses:  # they count in the loss alone
            known = {n: v * tf.reduce_max(there[n], axis=1) for n, v in known.items()}
        found = {
            "loss": (loss, share_of_rows(tf.shape(everything)[0])),
            "elbo": (tf.add_n([known[m.name] for m in self.targets]) - kl, counts),
            "kl": (kl, counts),
        }
        for name, has in there.items():
            own = log_likelihood[name], counts * tf.reduce_max(has, axis=1)
            found[f"{name}_log_likelihood"] = own
            if name in elbo.members:
                weighted = has if weight is None else has * weight[:, tf.newaxis]
                found[name] = (elbo.members[name], weighted)
        return {name: found[name] for name in self._trackers}
