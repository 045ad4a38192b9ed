"""Finds and loads the compiled product of experts, and says whether it is to be used.

The shared library is built by `make -C custom_ops op` or by installing the package where a
C++ compiler is; nothing needs it. `TF_MVAE_CUSTOM_OPS` decides: `auto` (the default) uses
it where it loads, `0` never, and `1` makes its absence an error.
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
        has_gpu_kernels: Whether it was built for GPUs too.
        instruction_set: What its CPU kernels use here: `avx512`, `avx2` or `baseline`.
    """

    module: ModuleType
    path: pathlib.Path
    has_gpu_kernels: bool
    instruction_set: str


@functools.cache
def library() -> CustomOp | None:
    """Returns the library, loaded at the first call; None, and one log line, where it is not.

    A missing library is logged as information, one that cannot be used as a warning.
    """
    found, problem = _load(_FOLDER)
    if found is None:
        present = any(_FOLDER.glob("libgaussian_product.*.so"))
        log = logging.warning if present else logging.info
        log("the product of experts runs as TensorFlow's own ops: %s", problem)
    return found


def status() -> str:
    """Says in one line what `auto` comes to in this process, and why."""
    found = library()
    if found is None:
        return f"TensorFlow's own ops: {_load(_FOLDER)[1]}"
    devices = "CPU and GPU" if found.has_gpu_kernels else "CPU"
    return f"compiled op for {devices} ({found.instruction_set}): {found.path}"


def chosen(use_custom_op: bool | None = None) -> CustomOp | None:
    """Returns the library if the op is to be used at this place, else None.

    The op is not used inside a function that XLA compiles and inside `reference_only`, nor,
    unless it has kernels for it, where there is a GPU.

    Args:
        use_custom_op: What the caller says; the environment decides where it is None.

    Raises:
        UserError: The op is asked for, here or by the environment, and cannot be had.
    """
    if use_custom_op is None:
        use_custom_op = _switch()
    if use_custom_op is False or getattr(_local, "reference_only", 0) or _is_compiled_by_xla():
        return None
    found = library()
    if use_custom_op:
        if found is None:
            raise UserError(
                f"the compiled product of experts is asked for: {_load(_FOLDER)[1]}; {_BUILD}"
            )
        return found
    if found is not None and not found.has_gpu_kernels and tf.config.list_physical_devices("GPU"):
        return None
    return found


@contextlib.contextmanager
def reference_only() -> Iterator[None]:
    """What is traced within has no op of ours in it, as a graph for elsewhere must not have."""
    _local.reference_only = getattr(_local, "reference_only", 0) + 1
    try:
        yield
    finally:
        _local.reference_only -= 1


def _switch() -> bool | None:
    """Returns what the environment says: True, False, or None for auto."""
    text = os.environ.get(SWITCH, "auto")
    known = {"0": False, "1": True, "auto": None, "": None}
    if text not in known:
        raise UserError(f"{SWITCH} must be 0, 1 or auto; it is {text!r}")
    return known[text]


@functools.cache
def _load(folder: pathlib.Path) -> tuple[CustomOp | None, str]:
    """Returns the library that lies in a folder, or None and why there is none."""
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


def _is_compiled_by_xla() -> bool:
    """Whether a function is being traced here that XLA will compile.

    TensorFlow says so nowhere in public; TensorFlow Probability asks in the same way.
    """
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))
