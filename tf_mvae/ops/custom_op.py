"""Loads the compiled product of experts, and decides where it is used.

The shared library is optional. `make -C custom_ops op` builds it, and so does installing the
package on a machine with a C++ compiler. The environment variable `TF_MVAE_CUSTOM_OPS` has the
values `auto` (default: use the library if it loads), `0` (never) and `1` (always; an error if it
does not load).
"""

import contextlib
import ctypes
import functools
import os
import pathlib
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from tf_mvae.errors import UserError
from tf_mvae.ops import xla

__all__ = ["CustomOp", "chosen", "library", "reference_only", "status"]

SWITCH = "TF_MVAE_CUSTOM_OPS"
_FOLDER = pathlib.Path(__file__).parent
_BUILD = "build it with `make -C custom_ops op` or `pip install .`, or set TF_MVAE_CUSTOM_OPS=0"
_local = threading.local()


class CustomOp(NamedTuple):
    """The loaded library.

    Attributes:
        module: The ops as Python functions.
        path: The library's file.
        has_gpu_kernels: Whether it was built with GPU kernels.
        instruction_set: The instruction set of its CPU kernels on this machine: `avx512`, `avx2` or
            `baseline`.
    """

    module: ModuleType
    path: pathlib.Path
    has_gpu_kernels: bool
    instruction_set: str


@functools.cache
def library() -> CustomOp | None:
    """Returns the library, or None if it cannot be used; it is loaded at the first call.

    A missing library is logged once as information, one that cannot be loaded as a warning.
    """
    found, problem = _load(_FOLDER)
    if found is None:
        present = any(_FOLDER.glob("libgaussian_product.*.so"))
        log = logging.warning if present else logging.info
        log("the product of experts runs as TensorFlow's own ops: %s", problem)
    return found


def status() -> str:
    """Returns a line that says which implementation `auto` uses in this process, and why."""
    found = library()
    if found is None:
        return f"TensorFlow's own ops: {_load(_FOLDER)[1]}"
    devices = "CPU and GPU" if found.has_gpu_kernels else "CPU"
    return f"compiled op for {devices} ({found.instruction_set}): {found.path}"


def chosen(use_custom_op: bool | None = None) -> CustomOp | None:
    """Returns the library if the op is to be used for the operation being built, else None.

    The op is not used in functions that XLA compiles, nor inside `reference_only`. On a machine
    with a GPU, `auto` uses it only if it was built with GPU kernels.

    Args:
        use_custom_op: True: always; False: never; None: the environment variable decides.

    Raises:
        UserError: The op is required, here or by the environment, and cannot be loaded.
    """
    if use_custom_op is None:
        use_custom_op = _switch()
    if use_custom_op is False or getattr(_local, "reference_only", False) or xla.is_compiling():
        return None
    found = library()
    if use_custom_op:
        if found is None:
            raise UserError(
                f"the compiled product of experts is required, but {_load(_FOLDER)[1]}; {_BUILD}"
            )
        return found
    if found is not None and not found.has_gpu_kernels and tf.config.list_physical_devices("GPU"):
        return None
    return found


@contextlib.contextmanager
def reference_only() -> Iterator[None]:
    """Makes graphs that are traced inside use TensorFlow's own operations only, for export."""
    _local.reference_only = getattr(_local, "reference_only", False) + 1
    try:
        yield
    finally:
        _local.reference_only -= 1


def _switch() -> bool | None:
    """Returns the environment variable's value: True, False, or None for `auto`."""
    text = os.environ.get(SWITCH, "auto")
    known = {"0": False, "1": True, "auto": None, "": None}
    if text not in known:
        raise UserError(f"{SWITCH} is {text!r}; set it to 0, 1 or auto")
    return known[text]


@functools.cache
def _load(folder: pathlib.Path) -> tuple[CustomOp | None, str]:
    """Loads the library in a folder; returns it and "", or None and the reason."""
    minor = ".".join(tf.__version__.split(".")[:2])
    path = folder / f"libgaussian_product.tf{minor}.so"
    if not path.exists():
        others = sorted(other.name for other in folder.glob("libgaussian_product.*.so"))
        if others:
            return None, f"the library is {', '.join(others)}, and this is TensorFlow {minor}"
        return None, "the library is not built"
    try:
        module = tf.load_op_library(str(path))
        names = ctypes.CDLL(str(path))
        names.tf_mvae_instruction_set.restype = ctypes.c_char_p
        instructions = names.tf_mvae_instruction_set().decode()
        return CustomOp(module, path, bool(names.tf_mvae_has_gpu_kernels()), instructions), ""
    except (tf.errors.OpError, OSError, AttributeError) as error:
        return None, f"{path.name} cannot be loaded: {str(error).splitlines()[0]}"
