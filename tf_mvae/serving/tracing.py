"""Where every graph that leaves the package is traced, and what may be in it.

A graph is served where this package is not: by TensorFlow Serving, the C API, another
Python. So it may hold operations that every TensorFlow has, and nothing else: no Python
function, and no operation that some library registered.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.ops.custom_op import reference_only

__all__ = ["check_stock_operations", "operations", "trace"]

_PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")


def trace(
    function: Callable[..., dict[str, tf.Tensor]],
    specs: Sequence[tf.TensorSpec],
    defaults: Mapping[str, tf.Tensor] | None = None,
) -> tf.types.experimental.PolymorphicFunction:
    """Makes a function of named tensors a graph's, to be traced on the reference path.

    Args:
        function: Takes the tensors by name and returns tensors by name.
        specs: The inputs, with their names.
        defaults: By name, what stands in for an input that is left out: a SavedModel keeps
            it in the signature. Such inputs stand behind the others.

    Returns:
        The function, with one input signature; it is traced where it is saved.
    """
    defaults = defaults or {}
    specs = sorted(specs, key=lambda spec: spec.name in defaults)
    names = [spec.name for spec in specs]

    def call(*values):
        with reference_only():
            return function(**dict(zip(names, values, strict=True)))

    # `tf.saved_model.save` reads names and defaults from the function's own signature.
    parameter = inspect.Parameter
    call.__signature__ = inspect.Signature(
        parameter(
            name, parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name, parameter.empty)
        )
        for name in names
    )
    call.__name__ = function.__name__
    return tf.function(call, input_signature=specs, autograph=False)


def operations(graph: tf.compat.v1.GraphDef) -> set[str]:
    """Returns the types of all operations of a graph and of the functions in it.

    Calls of the graph's own functions are no operations.
    """
    library = graph.library.function
    nodes = [*graph.node, *(node for function in library for node in function.node_def)]
    return {node.op for node in nodes} - {function.signature.name for function in library}


def check_stock_operations(graph: tf.compat.v1.GraphDef, others: Sequence[str] = ()) -> None:
    """Checks that every operation of a graph is TensorFlow's own, and none runs Python.

    Args:
        graph: The graph with its functions.
        others: Operations of libraries that whoever loads the graph has to have.

    Raises:
        UserError: One is not; its name is told.
    """
    for name in sorted(operations(graph)):
        if name in _PYTHON:
            raise UserError(
                "a network or likelihood runs a Python function (tf.py_function or "
                f"tf.numpy_function, operation {name}), which no exported graph can hold; write "
                "it in TensorFlow operations"
            )
        if not hasattr(tf.raw_ops, name) and name not in others:
            raise UserError(
                f"a network or likelihood holds the operation {name}, which is not TensorFlow's "
                "own: the exported graph could not be loaded without the library that has it"
            )
