"""The type in which networks compute."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["inner_optimizer", "layers_compute_in"]


def inner_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer inside of one that scales losses (float16); else itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@contextlib.contextmanager
def layers_compute_in(policy: str | keras.DTypePolicy) -> Iterator[None]:
    """Makes layers that are created meanwhile compute in a type.

    Args:
        policy: A dtype policy of Keras, or its name: `'float32'`, `'mixed_bfloat16'` or
            `'mixed_float16'`. Weights are float32 with each.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
