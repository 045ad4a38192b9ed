"""Runs Keras' `fit` from any position of a run to its end."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_mvae.batch import out_of_range
from tf_mvae.training.callbacks import CheckpointWriter
from tf_mvae.training.feeding import Feed
from tf_mvae.training.replicas import Replicas

__all__ = ["fit_to_end"]


def fit_to_end(
    trained: keras.Model | Replicas,
    feed: Feed,
    writer: CheckpointWriter,
    callbacks: Sequence[keras.callbacks.Callback],
    prepare: Callable[[int], None] = lambda steps: None,
) -> None:
    """Trains from the position of a checkpoint writer to the end of the run.

    Args:
        trained: A compiled model, or its replicas.
        feed: The run's batches.
        writer: The writer of checkpoints, which has the current position.
        callbacks: Further callbacks.
        prepare: Called before each `fit` with its number of steps per epoch.

    Raises:
        UserError: A value in the data is out of range.
        Stopped: A signal asked to stop; a checkpoint has been written.
    """
    validation = feed.validation()
    try:
        while writer.position.epoch < feed.config.epochs:
            _fit_from_here(trained, feed, writer, validation, callbacks, prepare)
    except tf.errors.InvalidArgumentError as error:
        raise out_of_range(error) from error
    finally:
        writer.on_train_end()  # restores the signal handlers after an error too


def _fit_from_here(
    trained: keras.Model | Replicas,
    feed: Feed,
    writer: CheckpointWriter,
    validation: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    prepare: Callable[[int], None],
) -> None:
    """Runs `fit` to the end of an interrupted epoch, or to the end of the run."""
    here = writer.position
    steps = feed.steps_per_epoch - here.step_in_epoch
    listeners = [writer.finite_epochs(), *callbacks, writer]
    if steps == 0:
        _end_epoch(trained, here.epoch, feed.config.epochs, validation, listeners)
        return
    prepare(steps)
    trained.fit(
        feed.training(here),
        validation_data=validation,
        initial_epoch=here.epoch,
        epochs=here.epoch + 1 if here.step_in_epoch else feed.config.epochs,
        steps_per_epoch=steps,
        # The writer is last, so metrics are written before the checkpoint. If the process is killed
        # between the two, the resumed run drops the line and writes it again.
        callbacks=listeners,
        verbose=0,
    )


def _end_epoch(
    trained: keras.Model | Replicas,
    epoch: int,
    epochs: int,
    validation: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Validates and ends an epoch that was interrupted after its last step.

    Keras' `fit` cannot do this, because it needs at least one step.
    """
    known = {"epochs": epochs, "steps": 0, "verbose": 0}
    model = trained.models[0] if isinstance(trained, Replicas) else trained
    listeners = keras.callbacks.CallbackList(list(callbacks), model=model, **known)
    listeners.on_train_begin()
    listeners.on_epoch_begin(epoch)  # restores the metrics of the epoch's steps
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    listeners.on_test_begin()  # averages of the weights take their place
    found = trained.evaluate(validation, verbose=0, return_dict=True)
    logs |= {f"val_{name}": float(value) for name, value in found.items()}
    listeners.on_test_end(logs)
    listeners.on_epoch_end(epoch, logs)
    listeners.on_train_end()
