"""Exports in other formats than SavedModel: `.keras`, ONNX and LiteRT.

Each exported file is run in its own runtime on example inputs, and its outputs are compared with
the model's, before the version's directory appears.
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
from tf_mvae.extras import needing
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

# The largest allowed difference, relative for values above 1, absolute below. Other runtimes add up
# in another order.
TOLERANCE = 1e-4

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
    """Exports a model for another runtime as a numbered version, and checks its outputs.

    The check compares the exported functions with the model on random inputs; for outputs `a` of
    the export and `b` of the model the difference is `max |a - b| / max(|b|, 1)`, and at most
    `TOLERANCE`. The directory also contains `tf_mvae.json` (inputs, outputs and difference of each
    function) and the model card.

    Args:
        model: The model.
        root: The directory of all versions.
        format_name: `'keras'` (`model.keras`), `'onnx'` (`encode.onnx`, `decode.onnx`,
            `generate.onnx`) or `'tflite'` (`model.tflite`, with signatures of these names).
        version: The version's number; default: the largest number plus 1.
        card: Facts about the model's training, for the model card; default: an empty card.

    Returns:
        The version's directory (`ROOT/1` for the first), and the largest difference.

    Raises:
        UserError: The model cannot be converted, the directory cannot be written, a package is
            missing, or the outputs differ by more than `TOLERANCE`. No version is left then.

    Example:
    ```python
    path, difference = export_format(model, "exported", "keras")
    difference < 1e-4  # True
    again = keras.models.load_model(path / "model.keras")
    ```
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
    """Traces a function, checks its operations and describes its inputs and outputs."""
    concrete = function.get_concrete_function()
    check_stock_operations(concrete.graph.as_graph_def())
    outputs = {
        key: tf.TensorSpec(value.shape, value.dtype)
        for key, value in concrete.structured_outputs.items()
    }
    inputs = {spec.name: spec for spec in function.input_signature}
    return describe_function(model, name, inputs, outputs)


def _examples(described: Mapping[str, Any], name: str) -> Arrays:
    """Returns random inputs of a function, with a different modality missing in each example."""
    inputs = example_inputs({"signatures": described}, name, _BATCH)
    masks = [key for key in inputs if key.endswith("_mask")]
    # Example 0 has every modality, example i does not have the i-th; then from the start.
    for index, key in enumerate(masks):
        inputs[key][1 + index :: 1 + len(masks)] = 0
    return inputs


def _difference(
    answer: Arrays, function: tf.types.experimental.PolymorphicFunction, inputs: Arrays
) -> float:
    """Returns the largest difference of outputs; NaN if their names or shapes differ."""
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
    """Writes `model.keras`, loads it again and returns the loaded model's functions."""
    path = directory / "model.keras"
    model.save(path)
    try:
        loaded = keras.models.load_model(path)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the .keras file cannot be loaded again: {error}; register the classes of your own "
            "networks with keras.saving.register_keras_serializable"
        ) from error
    again = portable_functions(loaded)

    def runner(name):
        function = again[name]

        def run(inputs):
            values = function(*[inputs[spec.name] for spec in function.input_signature])
            return {key: value.numpy() for key, value in values.items()}

        return run

    return {name: runner(name) for name in functions}


def _onnx(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    """Writes an ONNX file per function and returns functions that run them in onnxruntime."""
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
                custom_op_handlers={"SelectV2": (_where, [])},
            )
            _name_inputs(converted.graph, names)
            path.write_bytes(converted.SerializeToString())
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # the converter and the runtime document no exception types
            raise UserError(
                f"{name} cannot be converted to ONNX: {_reason(error)}; change the network that "
                "has this operation, or export another format (saved_model, keras)"
            ) from error
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


def _where(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Converts SelectV2 to ONNX's Where.

    tf2onnx by default multiplies both branches by the condition, and `NaN * 0` is NaN: masked NaN
    would reach the output.
    """
    node.type, node.domain = "Where", ""


def _graphs(graph: Any) -> Iterator[Any]:
    """Yields an ONNX graph and the graphs nested in its loops and conditions."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _graphs(inner)


def _tflite(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    """Writes `model.tflite` and returns functions that run its signatures in LiteRT."""
    # LiteRT has no TensorFlow loops, so functions are traced again with recurrences unrolled.
    functions = portable_functions(model)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of tf.lite that a user can do nothing about
        with unrolled(model):
            save_signatures(ServedModel(model), folder, functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        try:
            content = converter.convert()
        except Exception as error:  # the converter documents no exception types
            raise UserError(
                f"the model cannot be converted to LiteRT: {_reason(error)}; change the network "
                "that has this operation, or export another format (saved_model, onnx)"
            ) from error
        (directory / "model.tflite").write_bytes(content)
        interpreter = tf.lite.Interpreter(model_content=content)
    runners = {name: interpreter.get_signature_runner(name) for name in functions}
    return {name: (lambda inputs, run=run: run(**inputs)) for name, run in runners.items()}


def _reason(error: Exception) -> str:
    """Returns a converter's error in one line: the operations that it does not support, if any."""
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


# By format: writes the files, and returns the exported functions, run in the format's own runtime.
FORMATS: dict[str, Callable[..., dict[str, Runner]]] = {
    "keras": _keras,
    "onnx": _onnx,
    "tflite": _tflite,
}
