"""Loops over the steps of a sequence, as a graph loop or unrolled.

LiteRT needs unrolled loops: it cannot convert TensorFlow's graph loops, whose results are in tensor
lists.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

__all__ = ["bounded_loop", "outputs_of_steps", "unrolled_loops"]

_UNROLLED: contextvars.ContextVar[bool] = contextvars.ContextVar("unrolled", default=False)


@contextlib.contextmanager
def unrolled_loops() -> Iterator[None]:
    """Unrolls the loops that are traced inside this context."""
    token = _UNROLLED.set(True)
    try:
        yield
    finally:
        _UNROLLED.reset(token)


def bounded_loop(
    condition: Callable[..., tf.Tensor], body: Callable[..., Any], state: tuple, steps: int
) -> tuple:
    """Runs `body` while `condition` holds, at most `steps` times.

    The shapes of the state must not change. An unrolled loop runs all `steps`, so once `condition`
    is false, `body` must not change the results any more.

    Args:
        condition: Takes the parts of the state, returns a bool scalar.
        body: Takes the parts of the state, returns the next state.
        state: The initial state, a tuple of structures of tensors.
        steps: The largest number of steps.

    Returns:
        The last state.
    """
    shapes = tf.nest.map_structure(lambda part: part.shape, state)

    def keep(*parts):
        return tf.nest.map_structure(tf.ensure_shape, body(*parts), shapes)

    if not _UNROLLED.get():
        return tf.while_loop(condition, keep, state, shapes, maximum_iterations=steps)
    for _ in range(steps):
        state = body(*state)
    return state


def outputs_of_steps(
    advance: Callable[[Any, list[tf.Tensor]], tuple[tf.Tensor, list[tf.Tensor]]],
    state: list[tf.Tensor],
    steps: int | tf.Tensor,
) -> tf.Tensor:
    """Runs a recurrence and returns the outputs of all steps, `[step, ...]`.

    Args:
        advance: Takes a step's number and a state; returns an output, with the shape of the
            first part of the state, and the next state.
        state: The initial state.
        steps: The number of steps; a tensor if it is not known at tracing time.
    """
    if _UNROLLED.get() and not tf.is_tensor(steps):
        outputs = []
        for step in range(steps):
            output, state = advance(step, state)
            outputs.append(output)
        return tf.stack(outputs)
    outputs = tf.TensorArray(state[0].dtype, steps, element_shape=state[0].shape)

    def body(step, outputs, state):
        output, state = advance(step, state)
        return step + 1, outputs.write(step, output), state

    loop = (tf.constant(0), outputs, state)
    _, outputs, _ = tf.while_loop(
        lambda step, *_: step < steps, body, loop, maximum_iterations=steps
    )
    return outputs.stack()
