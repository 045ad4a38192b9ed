"""Eager calls of a model's networks, each compiled once.

Called eagerly, a network of a few layers takes tens of milliseconds, nearly all of it Python;
its graph takes less than one.
"""

from collections.abc import Callable, Hashable
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae.ops.custom_op import chosen

__all__ = ["EagerCalls"]


class EagerCalls:
    """The graphs of a model's functions, by function and kinds of arguments.

    A graph serves every batch size and reads the model's variables, so that it follows new
    weights. It agrees with the eager call up to rounding (about 1e-7). Inside `tf.function`, in
    `tf.data` and under a strategy the function itself is called, and so it is if the model runs
    eagerly (`run_eagerly`) or cannot be traced.

    They are not saved with the model.
    """

    def __init__(self, model: keras.Model):
        """Creates an empty store.

        Args:
            model: The model whose layers the functions run.
        """
        self._model = model
        self._graphs: dict[Hashable, Callable] = {}
        self._parts: list[Any] = []

    def __call__(self, name: Hashable, function: Callable, *inputs: Any, free_axes: int = 1) -> Any:
        """Returns `function(*inputs)`.

        Args:
            name: A unique name of the function.
            function: Takes and returns structures of tensors; it has no other effect.
            *inputs: Tensors, numbers or dicts of tensors.
            free_axes: The number of leading axes of the first input that may change between calls;
                one of every other.
        """
        if not self._compiles():
            return function(*inputs)
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        specs = [
            tf.nest.map_structure(lambda t, n=free_axes if i == 0 else 1: _spec(t, n), each)
            for i, each in enumerate(inputs)
        ]
        leaves = [(spec.shape, spec.dtype) for spec in tf.nest.flatten(specs)]
        names = [tuple(sorted(each)) if isinstance(each, dict) else None for each in inputs]
        key = (name, tuple(names), str(leaves), chosen() is not None)
        if key not in self._graphs:
            self._graphs[key] = _traced(function, specs) or function
        return self._graphs[key](*inputs)

    def _compiles(self) -> bool:
        if not tf.executing_eagerly() or tf.distribute.has_strategy():
            return False
        if self._model.run_eagerly or tf.config.functions_run_eagerly():
            return False
        parts = [m.likelihood for m in self._model.modalities]
        for layer in self._model._flatten_layers():
            # Weights and functions that a layer may exchange: LoRA, quantisation, activations.
            weights = (*layer._trainable_variables, *layer._non_trainable_variables)
            parts += [layer, getattr(layer, "activation", None), *weights]
        same = len(parts) == len(self._parts) and all(
            one is other for one, other in zip(parts, self._parts, strict=True)
        )
        if not same:  # a network was exchanged, or what it computes with
            self._graphs, self._parts = {}, parts
        return True


def _spec(tensor: tf.Tensor, free_axes: int) -> tf.TensorSpec:
    free = min(free_axes, tensor.shape.rank)
    return tf.TensorSpec([None] * free + list(tensor.shape[free:]), tensor.dtype)


def _traced(function: Callable, specs: list[Any]) -> Callable | None:
    """Returns a function's graph, None if it has none."""
    try:
        plain = tf.function(lambda *inputs: function(*inputs), autograph=False)
        return plain.get_concrete_function(*specs)
    except Exception as error:  # whatever a user's layer does that needs values
        logging.info("called eagerly, since it cannot be traced: %s", error)
        return None
