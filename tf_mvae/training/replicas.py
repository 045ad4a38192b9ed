"""Trains a model on several devices and machines.

Keras' `fit` does not run under `MultiWorkerMirroredStrategy` (keras issues 20329 and 20585), and
under `MirroredStrategy` not with XLA, gradient accumulation or averaged weights. So this module has
its own training loop, with the same callbacks: each replica computes the gradients of its part of a
batch, TensorFlow's strategy sums them, and each replica's optimizer takes the same step.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.batch import check_dataset
from tf_mvae.data.sharding import Part
from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.ops.replicas import equal_parts
from tf_mvae.training.compilation import needs_no_xla
from tf_mvae.training.stopping import SIGNALS, StopRequest

__all__ = ["LostWorker", "Replicas", "lost_workers_named"]

# The errors of collective operations when a process has ended or was restarted.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.FailedPreconditionError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class LostWorker(Exception):
    """Another process of the run has ended."""


@contextlib.contextmanager
def lost_workers_named(several_processes: bool = True) -> Iterator[None]:
    """Converts TensorFlow's errors of collective operations to `LostWorker`.

    Args:
        several_processes: Whether several processes train together; otherwise errors are unchanged.
    """
    try:
        yield
    except _LOST as error:
        if not several_processes:
            raise
        raise LostWorker(error.message.splitlines()[0]) from error


class Replicas:
    """Copies of a model, one for each replica of this process, which are trained together.

    The copies are ordinary models with ordinary variables. Gradients, the sums of batch
    normalisation and metrics are summed over replicas. A batch is divided into equal parts, in the
    order of the replicas, and losses are means over the complete batch. So a step is the same as
    that of a single replica with the complete batch, except for rounding, and all copies stay
    equal.

    Attributes:
        models: The copies. Callbacks, checkpoints and exports use the first.
        is_chief: Whether this process writes checkpoints and results.
        number: The number of replicas of all processes.
        stop: The request to stop this process; all processes stop after the same step.
    """

    def __init__(self, strategy: tf.distribute.Strategy, make_model: Callable[[], BaseVAE]):
        """Makes the copies.

        Args:
            strategy: A `MirroredStrategy` or a `MultiWorkerMirroredStrategy`.
            make_model: Makes a compiled model with a built optimizer.

        Raises:
            UserError: The model cannot be compiled by XLA over several replicas.
        """
        self._strategy = strategy
        self.is_chief = strategy.extended.should_checkpoint
        self.number = strategy.num_replicas_in_sync
        self._devices = list(strategy.extended.worker_devices)
        self.models = []
        for device in self._devices:
            with tf.device(device):
                self.models.append(make_model())
        self._ids: list[int] = []
        strategy.experimental_distribute_values_from_function(self._note_id)
        self.stop = StopRequest()
        self._jit = bool(self.models[0].jit_compile)
        if self._jit and needs_no_xla(self.models[0]):
            raise UserError(
                "batch normalisation and self-training sum over replicas within a step, which XLA "
                "cannot compile; add --jit_compile=false"
            )
        # Each copy has its own traced functions, because they use the variables of its device.
        self._gradients = [self._compiled(m.loss_gradients) for m in self.models]
        self._apply = [self._compiled(_applier(m)) for m in self.models]
        self._sums = [self._compiled(m.evaluation_sums) for m in self.models]
        self._train_step = tf.function(self._train_step_of_all, autograph=False)
        self._test_step = tf.function(self._test_step_of_all, autograph=False)
        self._share = tf.function(self._share_of_all, autograph=False)
        self._vote = tf.function(self._votes_of_all, autograph=False)

    def share(self, values: Sequence[int]) -> list[int]:
        """Returns the chief's integers in every process, and sets all copies to the chief's state.

        Args:
            values: Integers; their number must be the same in all processes.
        """
        for dtype in (tf.float32, tf.int64, tf.int32):
            variables = [v for v in _state(self.models[0]) if v.dtype == dtype]
            shared = self._share(variables) if variables else []
            for model in self.models:
                if self.is_chief and model is self.models[0]:
                    continue
                own = [v for v in _state(model) if v.dtype == dtype]
                for variable, value in zip(own, shared, strict=True):
                    variable.assign(value)
        return [int(n) for n in self._share([tf.constant(values, tf.int64)])[0]]

    def fit(
        self,
        x: tf.data.Dataset,
        validation_data: tf.data.Dataset,
        initial_epoch: int,
        epochs: int,
        steps_per_epoch: int,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: int = 0,
    ) -> None:
        """Trains as `BaseVAE.fit`.

        Args:
            x: The rows of every training batch that belong to this process (`part`).
            validation_data: Complete validation batches.
            initial_epoch: The index of the first epoch.
            epochs: The index of the epoch to stop before.
            steps_per_epoch: The number of batches per epoch.
            callbacks: Keras callbacks.
            verbose: As for Keras' `fit`.

        Raises:
            UserError: The data do not fit the modalities.
        """
        model = self.models[0]
        callback_list = keras.callbacks.CallbackList(
            callbacks, model=model, epochs=epochs, steps=steps_per_epoch, verbose=verbose
        )
        batches = iter(check_dataset(x, model.batch_inputs))
        validation = check_dataset(validation_data, model.batch_inputs)
        callback_list.on_train_begin()
        votes = None
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            callback_list.on_epoch_begin(epoch)
            for step in range(steps_per_epoch):
                callback_list.on_train_batch_begin(step)
                sums, cast = self._train_step(self._distributed(next(batches)), self._asked())
                # Uses the votes of the previous step, so that nothing waits for this one.
                self.stop.agree(votes)
                votes = cast
                callback_list.on_train_batch_end(step, self._updated(sums))
            logs = dict(self._updated(None))
            callback_list.on_test_begin()
            logs |= {f"val_{name}": value for name, value in self._evaluated(validation).items()}
            callback_list.on_test_end(logs)
            callback_list.on_epoch_end(epoch, {n: float(value) for n, value in logs.items()})
        callback_list.on_train_end()

    def evaluate(
        self, x: tf.data.Dataset, verbose: int = 0, return_dict: bool = True
    ) -> dict[str, tf.Tensor]:
        """Evaluates as `BaseVAE.evaluate`.

        Args:
            x: Complete batches.
            verbose: As for Keras' `evaluate`; nothing is shown.
            return_dict: As for Keras' `evaluate`; always by name.

        Raises:
            UserError: The data do not fit the modalities.
        """
        return dict(self._evaluated(check_dataset(x, self.models[0].batch_inputs)))

    def _note_id(self, context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        """Records the ids of the replicas of this process."""
        self._ids.append(context.replica_id_in_sync_group)
        return tf.zeros([])

    def _compiled(self, function: Callable) -> Callable:
        """Returns a function that runs on equal parts of a batch, compiled if XLA is used."""

        def of_part(*arguments):
            with equal_parts():
                return function(*arguments)

        return tf.function(of_part, jit_compile=True, autograph=False) if self._jit else of_part

    @property
    def part(self) -> Part:
        """The rows of every batch that this process uses."""
        return Part(self._ids[0], len(self._ids), self.number)

    def _distributed(self, part: Any) -> Any:
        """Distributes this process's part of a batch to its replicas.

        Raises:
            UserError: The rows cannot be divided equally.
        """
        size = tf.nest.flatten(part)[0].shape[0]
        rows = size // len(self._ids)
        if rows * len(self._ids) != size:
            raise UserError(
                f"a training batch of {size} examples cannot be divided equally among "
                f"{len(self._ids)} replicas; choose another batch size and drop the remainder"
            )

        def own(context):
            start = (context.replica_id_in_sync_group - self._ids[0]) * rows
            return _rows(part, start, rows)

        return self._strategy.experimental_distribute_values_from_function(own)

    def _index(self) -> int:
        """Returns the index of the copy of the replica that runs this code."""
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return self._ids.index(int(tf.get_static_value(number)))

    def _train_step_of_all(self, batch: Any, asked: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Takes a step on all replicas.

        Args:
            batch: The distributed batch.
            asked: Whether this process was sent each signal, `[signal]`.

        Returns:
            The sums of the metrics, and the number of processes that were sent each signal.
        """
        reached: list[int] = []

        def replica_step(part):
            context, index = tf.distribute.get_replica_context(), self._index()
            gradients, sums = self._gradients[index](part)
            # As Keras' optimizers do, it leaves alone what has no influence on the loss.
            reached[:] = [place for place, each in enumerate(gradients) if each is not None]
            there = [gradients[place] for place in reached]
            parts = [*there, *sums, self._own_vote(asked)]
            added = context.all_reduce(tf.distribute.ReduceOp.SUM, parts)
            return added[: len(there)], added[len(there) : -1], added[-1]

        gradients, sums, votes = self._strategy.run(replica_step, args=(batch,))
        local = self._strategy.experimental_local_results
        for index, device in enumerate(self._devices):
            own: list[Any] = [None] * len(self.models[0].trainable_variables)
            for place, gradient in zip(reached, gradients, strict=True):
                own[place] = local(gradient)[index]
            with tf.device(device):
                self._apply[index](own)
        return [local(each)[0] for each in sums], local(votes)[0]

    def _test_step_of_all(self, batch: Any) -> list[tf.Tensor]:
        """Returns the sums of the metrics over all replicas' parts of a validation batch."""

        def replica_step(part):
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, self._sums[self._index()](part))

        sums = self._strategy.run(replica_step, args=(batch,))
        return [self._strategy.experimental_local_results(each)[0] for each in sums]

    def _share_of_all(self, values: list[Any]) -> list[tf.Tensor]:
        """Returns the chief's values on all replicas: a sum with zeros of the others."""

        def replica_step():
            context = tf.distribute.get_replica_context()
            chief = tf.equal(context.replica_id_in_sync_group, 0)
            own = [tf.where(chief, v, tf.zeros_like(v)) for v in values]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        found = self._strategy.run(replica_step)
        return [self._strategy.experimental_local_results(value)[0] for value in found]

    def _evaluated(self, batches: tf.data.Dataset) -> Mapping[str, tf.Tensor]:
        """Returns exact means over all examples.

        Every process evaluates a batch by itself if it cannot be divided equally, such as the last.
        """
        self.models[0].reset_metrics()
        for batch in batches:
            rows = tf.nest.flatten(batch)[0].shape[0]
            if rows % self.number:
                logs = self._updated(self._sums[0](batch))
                continue
            share = rows // self.number
            part = _rows(batch, self._ids[0] * share, share * len(self._ids))
            logs = self._updated(self._test_step(self._distributed(part)))
        self.stop.agree(self._vote(self._asked()))  # no step follows the last evaluation
        return logs

    def _asked(self) -> tf.Tensor:
        """Returns 1 for the signal that this process was sent, `[signal]`."""
        return tf.constant([float(self.stop.asked == number) for number in SIGNALS])

    def _votes_of_all(self, asked: tf.Tensor) -> tf.Tensor:
        """Returns the number of processes that were sent each signal."""

        def replica_step():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, self._own_vote(asked))

        return self._strategy.experimental_local_results(self._strategy.run(replica_step))[0]

    def _own_vote(self, asked: tf.Tensor) -> tf.Tensor:
        """Returns what a replica adds: a process votes once, by its first replica."""
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return asked * tf.cast(number == self._ids[0], tf.float32)

    def _updated(self, sums: Sequence[tf.Tensor] | None) -> dict[str, tf.Tensor]:
        """Adds sums and counts to the metrics, and returns the means."""
        if sums is not None:
            for metric, (total, count) in zip(self.models[0].metrics, sums, strict=True):
                metric.total.assign_add(total)
                metric.count.assign_add(count)
        return self.models[0].metric_results()


def _applier(model: BaseVAE) -> Callable[[list[Any]], None]:
    return lambda gradients: model.apply_gradients(gradients)


def _rows(batch: Any, start: int, number: int) -> Any:
    return tf.nest.map_structure(lambda value: value[start : start + number], batch)


def _state(model: BaseVAE) -> list[tf.Variable]:
    return [v.value for v in (*model.variables, *model.optimizer.variables)]
