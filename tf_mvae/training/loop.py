"""Keras' `fit`, from wherever a run stands to its very end."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_mvae.batch import out_of_range
from tf_mvae.training.callbacks import CheckpointWriter
from tf_mvae.training.feeding import Feed

__all__ = ["fit_to_end"]


def fit_to_end(
    trained: keras.Model,
    feed: Feed,
    writer: CheckpointWriter,
    callbacks: Sequence[keras.callbacks.Callback],
    prepare: Callable[[int], None] = lambda steps: None,
) -> None:
    """Trains to the very end.

    Args:
        trained: A compiled model, or what has its `fit`.
        feed: Its batches, and how many epochs there are.
        writer: Writes checkpoints, and knows where the run stands.
        callbacks: Others.
        prepare: Is called with the number of steps of an epoch before `fit` is.

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
        writer.on_train_end()  # an error must not leave signals unheeded


def _fit_from_here(
    trained: keras.Model,
    feed: Feed,
    writer: CheckpointWriter,
    validation: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    prepare: Callable[[int], None],
) -> None:
    """Runs `fit`: to the end of an epoch that was interrupted, or to the very end."""
    here = writer.position
    steps = feed.steps_per_epoch - here.step_in_epoch
    prepare(steps)
    trained.fit(
        feed.training(here),
        validation_data=validation,
        initial_epoch=here.epoch,
        epochs=here.epoch + 1 if here.step_in_epoch else feed.config.epochs,
        steps_per_epoch=steps,
        # Metrics are written before the checkpoint: a kill between the two makes the
        # resumed run drop the line and write it again.
        callbacks=[writer.finite_epochs(), *callbacks, writer],
        verbose=0,
    )
