"""Exports for other runtimes than TensorFlow: `.keras`, ONNX and LiteRT.

Every one is run in its own runtime before it is published, and has to agree with the model.
"""

import json
import os
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.layers import unrolled
from tf_mvae.models import BaseVAE
from tf_mvae.serving.description import describe_function, describe_modalities
from tf_mvae.serving.directories import write_version
from tf_mvae.serving.examples import example_inputs
from tf_mvae.serving.model_card import ModelCard, write_model_card
from tf_mvae.serving.portable import portable_functions
from tf_mvae.serving.signatures import ServedModel
from tf_mvae.serving.tracing import (
    check_stock_operations,
    save_signatures,
    with_plain_names,
)

__all__ = ["FORMATS", "TOLERANCE", "export_format"]

TOLERANCE = 1e-4  # on values of order 1; other runtimes add up in another order

_MARKERS = {"keras": "model.keras", "onnx": "decode.onnx", "tflite": "model.tflite"}
_OPSET = 18
_BATCH = 5

Arrays = Mapping[str, np.ndarray]
Runner = Callable[[Arrays], Arrays]


def export_format(
    model: BaseVAE,
    root: str | os.PathLike,
    format_name: str,
    version: int | None = None,
    card: ModelCard | None = None,
) -> tuple[pathlib.Path, float]:
    """Writes a model for another runtime, `ROOT/1` for the first, and checks that it agrees.

    Next to the file or files are `tf_mvae.json`, with the fields of every function and how
    far each was from the model's own answers, and the model card.

    Args:
        model: The model.
        root: The directory of all versions.
        format_name: `'keras'` (`model.keras`), `'onnx'` (`encode.onnx`, `decode.onnx`,
            `generate.onnx`) or `'tflite'` (`model.tflite`, with signatures of these names).
        version: The version's number; the one after the last if omitted.
        card: What is known of the model's making.

    Returns:
        The version's directory, and the largest difference from the model's own answers.

    Raises:
        UserError: It cannot be written or converted, a package is missing, or what was
            written does not agree with the model; nothing is left then.
    """
    differences: dict[str, float] = {}

    def write(directory: pathlib.Path) -> None:
        functions = portable_functions(model)
        described = {name: _describe(model, name, f) for name, f in functions.items()}
        runners = FORMATS[format_name](model, functions, directory)
        for name, run in runners.items():
            inputs = _examples(described, name)
            differences[name] = _difference(run(inputs), functions[name], inputs)
            if not differences[name] <= TOLERANCE:
                raise UserError(
                    f"the {format_name} export's {name} differs from the model by "
                    f"{differences[name]:.2g}, more than {TOLERANCE}; nothing was exported"
                )
        description = describe_modalities(model) | {
            "format": format_name,
            "functions": {name: described[name] for name in runners},
            "largest_difference": differences,
        }
        (directory / "tf_mvae.json").write_text(json.dumps(description, indent=1))
        write_model_card(directory, card or ModelCard(), description)

    return write_version(root, write, version, _MARKERS[format_name]), max(differences.values())


def _describe(
    model: BaseVAE, name: str, function: tf.types.experimental.PolymorphicFunction
) -> dict[str, Any]:
    concrete = function.get_concrete_function()
    check_stock_operations(concrete.graph.as_graph_def())
    outputs = {
        key: tf.TensorSpec(value.shape, value.dtype)
        for key, value in concrete.structured_outputs.items()
    }
    inputs = {spec.name: spec for spec in function.input_signature}
    return describe_function(model, name, inputs, outputs)


def _examples(described: Mapping[str, Any], name: str) -> Arrays:
    """Returns inputs of a function, another modality missing in each example."""
    inputs = example_inputs({"signatures": described}, name, _BATCH)
    masks = [key for key in inputs if key.endswith("_mask")]
    for index, key in enumerate(masks):
        inputs[key][1 + index :: 1 + len(masks)] = 0
    return inputs


def _difference(
    answer: Arrays, function: tf.types.experimental.PolymorphicFunction, inputs: Arrays
) -> float:
    expected = function(*[inputs[spec.name] for spec in function.input_signature])
    if set(answer) != set(expected):
        return float("nan")
    pairs = [(np.asarray(answer[name]), value.numpy()) for name, value in expected.items()]
    if any(one.shape != other.shape for one, other in pairs):
        return float("nan")
    scales = [np.maximum(np.abs(other), 1) for _, other in pairs]
    return max(
        float(np.max(np.abs(one - other) / scale))
        for (one, other), scale in zip(pairs, scales, strict=True)
    )


def _keras(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    path = directory / "model.keras"
    model.save(path)
    try:
        loaded = keras.models.load_model(path)
    except (TypeError, ValueError) as error:
        raise UserError(f"the .keras file cannot be loaded again: {error}") from error
    again = portable_functions(loaded)

    def runner(name):
        function = again[name]

        def run(inputs):
            values = function(*[inputs[spec.name] for spec in function.input_signature])
            return {key: value.numpy() for key, value in values.items()}

        return run

    return {name: runner(name) for name in functions}


def _onnx(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"--format=onnx needs {error.name}, which is not installed: pip install 'tf-mvae[onnx]'"
        ) from error
    tf2onnx.logging.set_level(tf2onnx.logging.FATAL)

    def convert(name, function):
        path = directory / f"{name}.onnx"
        plain, names = with_plain_names(function, lower_case=True)
        try:
            converted, _ = tf2onnx.convert.from_function(
                plain,
                plain.input_signature,
                opset=_OPSET,
                custom_op_handlers={"SelectV2": (_where, [])},
            )
            _name_inputs(converted.graph, names)
            path.write_bytes(converted.SerializeToString())
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever the converter and the runtime raise
            raise UserError(
                f"{name} cannot be converted to ONNX: {_reason(error)}; change the network that "
                "has this operation, or export another format (saved_model, keras)"
            ) from error
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(None, dict(inputs)), strict=True))

    return {name: convert(name, function) for name, function in functions.items()}


def _name_inputs(graph: Any, names: Mapping[str, str]) -> None:
    """Renames inputs of an ONNX graph."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    for inner in _graphs(graph):
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]


def _where(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Converts SelectV2 to Where, as its definition is.

    tf2onnx multiplies with the condition instead, and a NaN that a mask hides stays NaN.
    """
    node.type, node.domain = "Where", ""


def _graphs(graph: Any) -> Iterator[Any]:
    """Yields an ONNX graph and those of its loops and conditions."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graphs(inner)


def _tflite(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    # LiteRT has no loops of TensorFlow's; these functions are traced without any.
    functions = portable_functions(model)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's own plans for these classes
        with unrolled(model):
            save_signatures(ServedModel(model), folder, functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        try:
            content = converter.convert()
        except Exception as error:  # whatever the converter raises
            raise UserError(
                f"the model cannot be converted to LiteRT: {_reason(error)}; change the network "
                "that has this operation, or export another format (saved_model, onnx)"
            ) from error
        (directory / "model.tflite").write_bytes(content)
        interpreter = tf.lite.Interpreter(model_content=content)
    runners = {name: interpreter.get_signature_runner(name) for name in functions}
    return {name: (lambda inputs, run=run: run(**inputs)) for name, run in runners.items()}


def _reason(error: Exception) -> str:
    """Returns what a converter says in one line: the operations that it does not know, if any."""
    message = str(error).strip()
    for kind in ("Custom ops", "Flex ops", "TF Select ops"):
        found = re.search(rf"{kind}: (.+)", message)
        if found:
            return f"LiteRT does not have the operations {found[1].strip()[:200]}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    failed = re.search(r"failed to legalize operation '([^']+)'", message)
    if failed:
        return f"LiteRT does not have the operation {failed[1].removeprefix('tf.')}"
    line = lines[0] if lines else type(error).__name__
    return re.sub(r"^<unknown>:0: error: (loc\(.*\): )?", "", line)[:300]


FORMATS: dict[str, Callable[..., dict[str, Runner]]] = {
    "keras": _keras,
    "onnx": _onnx,
    "tflite": _tflite,
}
