"""Exponential moving averages of the weights, which Keras' optimizers compute (`use_ema`).

Keras' own callback `SwapEMAWeights` swaps weights and averages by additions and subtractions, which
rounds the weights in every epoch; here they are copied exactly. At the end of `fit` Keras
overwrites the weights by their averages; here they are restored, so that training can continue.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.optimization import inner_optimizer

__all__ = ["AveragedWeights", "averaged", "averages_of"]


def averages_of(model: keras.Model) -> list[tf.Variable] | None:
    """Returns the averages of the trainable variables, in their order; None without averages.

    Args:
        model: A compiled model.
    """
    optimizer = inner_optimizer(model.optimizer)
    if optimizer is None or not optimizer.use_ema:
        return None
    return [variable.value for variable in optimizer._model_variables_moving_average]


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Replaces a model's weights by their averages inside this context, if there are averages.

    Args:
        model: A compiled model.
    """
    averages = averages_of(model)
    if averages is None:
        yield
        return
    weights = _read(model)
    _assign(model, averages)
    try:
        yield
    finally:
        _assign(model, weights)


class AveragedWeights(keras.callbacks.Callback):
    """Validates with the averages of the weights; training continues with the weights."""

    def __init__(self, models: Sequence[keras.Model]):
        """Makes the callback.

        Args:
            models: The trained model, or its copies on all replicas.
        """
        super().__init__()
        self._models = models

    def on_test_begin(self, logs: Any = None) -> None:
        """Replaces the weights by their averages."""
        self._averaged = contextlib.ExitStack()
        for model in self._models:
            self._averaged.enter_context(averaged(model))

    def on_test_end(self, logs: Any = None) -> None:
        """Restores the weights."""
        self._averaged.close()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stores the weights, in case it was the last epoch."""
        self._weights = [_read(model) for model in self._models]

    def on_train_end(self, logs: Any = None) -> None:
        """Restores the weights that Keras overwrote."""
        for model, weights in zip(self._models, self._weights, strict=True):
            _assign(model, weights)


def _read(model: keras.Model) -> list[tf.Tensor]:
    return [tf.identity(variable.value) for variable in model.trainable_variables]


def _assign(model: keras.Model, values: list[Any]) -> None:
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)
