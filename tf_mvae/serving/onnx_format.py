"""Exports as ONNX files, with the operations that tf2onnx converts wrongly or not at all."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tf_mvae.extras import needing
from tf_mvae.models import BaseVAE
from tf_mvae.serving.conversion import Runner, cannot_convert
from tf_mvae.serving.tracing import with_plain_names

__all__ = ["write_onnx"]

_OPSET = 18


def write_onnx(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    """Writes an ONNX file per function and returns functions that run them in onnxruntime.

    Args:
        model: The model.
        functions: Its `portable_functions`.
        directory: Where to write `NAME.onnx`.

    Raises:
        UserError: tf2onnx or onnxruntime is not installed, or an operation cannot be converted.
    """
    with needing("--format=onnx", "onnx"):
        import onnxruntime
        import tf2onnx
    tf2onnx.logging.set_level(tf2onnx.logging.FATAL)

    def convert(name, function):
        path = directory / f"{name}.onnx"
        plain, names = with_plain_names(function, lower_case=True)
        try:
            converted, _ = tf2onnx.convert.from_function(
                plain,
                plain.input_signature,
                opset=_OPSET,
                custom_op_handlers={kind: (handler, []) for kind, handler in _TO_ONNX.items()},
            )
            _name_inputs(converted.graph, names)
            path.write_bytes(converted.SerializeToString())
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # the converter and the runtime document no exception types
            raise cannot_convert(name, "ONNX", error) from error
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(None, dict(inputs)), strict=True))

    return {name: convert(name, function) for name, function in functions.items()}


def _name_inputs(graph: Any, names: Mapping[str, str]) -> None:
    """Renames inputs of an ONNX graph, also where its loops and conditions use them."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    for inner in _graphs(graph):
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]


def _graphs(graph: Any) -> Iterator[Any]:
    """Yields an ONNX graph and the graphs nested in its loops and conditions."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graphs(inner)


def _where(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Converts SelectV2 to ONNX's Where.

    tf2onnx by default multiplies both branches by the condition, and `NaN * 0` is NaN: masked NaN
    would reach the output.
    """
    node.type, node.domain = "Where", ""


def _log1p(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Converts Log1p, which ONNX does not have: the logarithm of 1 + x."""
    (x,), one = node.input, _one(context, node)
    (more,) = context.make_node("Add", [x, one]).output
    node.type, node.domain = "Log", ""
    context.replace_input(node, x, more, 0)


def _expm1(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Converts Expm1, which ONNX does not have: exp(x) - 1."""
    (x,), one = node.input, _one(context, node)
    (power,) = context.make_node("Exp", [x]).output
    node.type, node.domain = "Sub", ""
    context.replace_inputs(node, [power, one])


def _one(context: Any, node: Any) -> str:
    """Returns the name of a new constant 1 of the type of a node's input."""
    from tf2onnx.utils import map_onnx_to_numpy_type

    dtype = map_onnx_to_numpy_type(context.get_dtype(node.input[0]))
    (name,) = context.make_const(f"{node.name}_one", np.ones([], dtype)).output
    return name


_TO_ONNX = {"SelectV2": _where, "Log1p": _log1p, "Expm1": _expm1}
