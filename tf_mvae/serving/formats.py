"""Exports in other formats than SavedModel: `.keras`, ONNX and LiteRT.

Each exported file is run in its own runtime on example inputs, and its outputs are compared with
the model's, before the version's directory appears.
"""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.serving.conversion import Arrays, Runner, other_latents
from tf_mvae.serving.description import describe_function
from tf_mvae.serving.directories import write_version
from tf_mvae.serving.examples import example_inputs
from tf_mvae.serving.litert_format import write_litert
from tf_mvae.serving.modality_description import describe_modalities
from tf_mvae.serving.model_card import ModelCard, write_model_card
from tf_mvae.serving.onnx_format import write_onnx
from tf_mvae.serving.portable import portable_functions
from tf_mvae.serving.signatures import signatures
from tf_mvae.serving.tracing import check_stock_operations

__all__ = ["FORMATS", "TOLERANCE", "export_format"]

# The largest allowed difference, relative for values above 1, absolute below. Other runtimes add up
# in another order.
TOLERANCE = 1e-4

_MARKERS = {"keras": "model.keras", "onnx": "decode.onnx", "tflite": "model.tflite"}
_BATCH = 5


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
    if format_name not in FORMATS:
        raise UserError(
            f"format_name must be one of {', '.join(FORMATS)}; it is {format_name!r} "
            "(export_version writes a SavedModel)"
        )
    differences: dict[str, float] = {}
    other = other_latents(model, format_name)

    def write(directory: pathlib.Path) -> None:
        functions = _functions(model, format_name)
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
        if other and format_name != "keras":
            described["generate"]["meaning"] += f" {other}."
        description = describe_modalities(model) | {
            "format": format_name,
            "functions": {name: described[name] for name in runners},
            "largest_difference": differences,
        }
        (directory / "tf_mvae.json").write_text(json.dumps(description, indent=1))
        write_model_card(directory, card or ModelCard(), description)

    return write_version(root, write, version, _MARKERS[format_name]), max(differences.values())


def _functions(
    model: BaseVAE, format_name: str
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns the functions that an export is compared by, which most formats consist of."""
    if format_name == "keras" and model.posterior_kind.is_mixture:
        every = signatures(model)
        return {name: every[name] for name in ("encode", "decode")}
    return portable_functions(model)


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
    expected = _called(function, inputs)
    if set(answer) != set(expected):
        return float("nan")
    pairs = [(np.asarray(answer[name]), value) for name, value in expected.items()]
    if any(one.shape != other.shape for one, other in pairs):
        return float("nan")
    return float(np.max([_relative(one, other) for one, other in pairs]))  # NaN if one is


def _called(function: tf.types.experimental.PolymorphicFunction, inputs: Arrays) -> Arrays:
    """Returns a function's outputs, of inputs by their names."""
    values = function(*[inputs[spec.name] for spec in function.input_signature])
    return {name: value.numpy() for name, value in values.items()}


def _relative(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the largest difference relative to numbers above 1; NaN where only one is NaN."""
    same = (one == other) | ((one != one) & (other != other))  # infinite ones, and NaN
    with np.errstate(invalid="ignore"):
        differences = np.abs(one - other) / np.maximum(np.abs(other), 1)
    return float(np.max(np.where(same, 0, differences), initial=0))


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
    again = _functions(loaded, "keras")
    return {name: functools.partial(_called, again[name]) for name in functions}


# By format: writes the files, and returns the exported functions, run in the format's own runtime.
FORMATS: dict[str, Callable[..., dict[str, Runner]]] = {
    "keras": _keras,
    "onnx": write_onnx,
    "tflite": write_litert,
}
