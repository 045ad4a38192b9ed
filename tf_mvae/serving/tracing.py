"""Traces and saves graphs for export, and checks their operations.

TensorFlow Serving, the C API and other Python programs run an exported graph without this package.
So it may contain only operations that every TensorFlow has: no Python function, and no operation
that another library registers.
"""

import inspect
import keyword
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_mvae.errors import UserError
from tf_mvae.ops.custom_op import reference_only

__all__ = ["check_stock_operations", "operations", "save_signatures", "trace", "with_plain_names"]

_PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")


def trace(
    function: Callable[..., dict[str, tf.Tensor]],
    specs: Sequence[tf.TensorSpec],
    defaults: Mapping[str, tf.Tensor] | None = None,
) -> tf.types.experimental.PolymorphicFunction:
    """Wraps a function of named tensors as a `tf.function` that does not use the custom op.

    Args:
        function: Takes tensors by name and returns tensors by name.
        specs: The inputs, with their names.
        defaults: Defaults of optional inputs, by name; a SavedModel stores them in the signature.
            Inputs with a default are placed after the others.

    Returns:
        The function with one input signature; it is traced when it is saved.
    """
    defaults = defaults or {}
    specs = sorted(specs, key=lambda spec: spec.name in defaults)
    names = [spec.name for spec in specs]

    def call(*values):
        with reference_only():
            return function(**dict(zip(names, values, strict=True)))

    # `tf.saved_model.save` reads defaults from the function's own signature.
    parameter = inspect.Parameter
    call.__signature__ = inspect.Signature(
        parameter(
            f"{name}_" if keyword.iskeyword(name) else name,
            parameter.POSITIONAL_OR_KEYWORD,
            default=defaults.get(name, parameter.empty),
        )
        for name in names
    )
    call.__name__ = function.__name__
    return tf.function(call, input_signature=specs, autograph=False)


def with_plain_names(
    function: tf.types.experimental.PolymorphicFunction, lower_case: bool = False
) -> tuple[tf.types.experimental.PolymorphicFunction, dict[str, str]]:
    """Replaces inputs' names that TensorFlow does not accept, or changes.

    TensorFlow accepts neither Python keywords (`class`, `from`) nor two names that differ only in
    case, and converts all names of a graph to lower case.

    Args:
        function: The result of `trace`.
        lower_case: Whether to replace all names with capitals too.

    Returns:
        The function with replaced names, and a mapping from each replacement to the original name.
    """
    specs, names = function.input_signature, {}
    lower = [spec.name.lower() for spec in specs]
    for index, spec in enumerate(specs):
        own = spec.name
        capitals = own != lower[index] and (lower_case or lower.count(lower[index]) > 1)
        if keyword.iskeyword(own) or capitals:
            names[f"{lower[index]}__{index}"] = own
    if not names:
        return function, {}
    plain = {own: name for name, own in names.items()}
    specs = [tf.TensorSpec(s.shape, s.dtype, plain.get(s.name, s.name)) for s in specs]
    return tf.function(function.python_function, input_signature=specs, autograph=False), names


def save_signatures(
    module: tf.Module,
    directory: str | os.PathLike,
    functions: Mapping[str, tf.types.experimental.PolymorphicFunction],
) -> None:
    """Writes a SavedModel with functions of `trace` as signatures.

    Inputs whose names TensorFlow does not accept are traced under other names, and renamed in the
    file.

    Args:
        module: The object that tracks the variables.
        directory: The directory to write to.
        functions: The functions by their signatures' names.
    """
    traced = {key: with_plain_names(function) for key, function in functions.items()}
    signatures = {key: function for key, (function, _) in traced.items()}
    # A served model is not trained, and saving gradients takes a fifth of the time.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(directory), signatures, options)
    names = {key: own for key, (_, own) in traced.items() if own}
    if names:
        _rename_inputs(pathlib.Path(directory) / "saved_model.pb", names)


def _rename_inputs(path: pathlib.Path, names: Mapping[str, Mapping[str, str]]) -> None:
    """Renames inputs in a SavedModel's file; `names` maps, per signature, old names to new ones."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    graph = saved.meta_graphs[0]
    for key, own in names.items():
        signature = graph.signature_def[key]
        for fields in (signature.inputs, signature.defaults):
            for name in own.keys() & set(fields):
                fields[own[name]].CopyFrom(fields[name])
                del fields[name]
    # Python calls of a loaded signature use the keywords that are stored here.
    objects = graph.object_graph_def.nodes
    holder = next(
        n
        for n in objects
        if n.WhichOneof("kind") == "user_object" and n.user_object.identifier == "signature_map"
    )
    for child in holder.children:
        if child.local_name in names:
            found = objects[child.node_id].bare_concrete_function.argument_keywords
            found[:] = [names[child.local_name].get(name, name) for name in found]
    path.write_bytes(saved.SerializeToString())


def operations(graph: tf.compat.v1.GraphDef) -> set[str]:
    """Returns the types of all operations of a graph and of its functions.

    Calls of the graph's own functions are excluded.
    """
    library = graph.library.function
    nodes = [*graph.node, *(node for function in library for node in function.node_def)]
    return {node.op for node in nodes} - {function.signature.name for function in library}


def check_stock_operations(graph: tf.compat.v1.GraphDef, others: Sequence[str] = ()) -> None:
    """Checks that every operation of a graph is part of TensorFlow, and that none runs Python.

    Args:
        graph: The graph with its functions.
        others: Operations of other libraries to allow; a program that loads the graph needs these
            libraries.

    Raises:
        UserError: An operation is not allowed; the message has its name.
    """
    for name in sorted(operations(graph)):
        if name in _PYTHON:
            raise UserError(
                "a network or likelihood runs a Python function (tf.py_function or "
                f"tf.numpy_function, operation {name}), which an exported graph cannot contain; "
                "write it in TensorFlow operations"
            )
        if not hasattr(tf.raw_ops, name) and name not in others:
            raise UserError(
                f"a network or likelihood uses the operation {name}, which is not TensorFlow's "
                "own, so the exported graph could not be loaded without another library; write it "
                "in TensorFlow operations"
            )
