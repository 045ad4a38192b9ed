"""Exports as a LiteRT file."""

import pathlib
import tempfile
import warnings
from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.layers import unrolled
from tf_mvae.models import BaseVAE
from tf_mvae.serving.conversion import Runner, cannot_convert
from tf_mvae.serving.portable import portable_functions
from tf_mvae.serving.signatures import ServedModel
from tf_mvae.serving.tracing import save_signatures

__all__ = ["write_litert"]


def write_litert(model: BaseVAE, functions: Mapping, directory: pathlib.Path) -> dict[str, Runner]:
    """Writes `model.tflite` and returns functions that run its signatures in LiteRT.

    Args:
        model: The model.
        functions: Its `portable_functions`; they are traced again.
        directory: Where to write `model.tflite`.

    Raises:
        UserError: An operation cannot be converted.
    """
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
            raise cannot_convert("the model", "LiteRT", error) from error
        (directory / "model.tflite").write_bytes(content)
        interpreter = tf.lite.Interpreter(model_content=content)
    runners = {name: interpreter.get_signature_runner(name) for name in functions}

    def runner(name):
        def run(inputs):
            try:
                return runners[name](**inputs)
            except (RuntimeError, ValueError) as error:
                raise cannot_convert(name, "LiteRT", error) from error

        return run

    return {name: runner(name) for name in functions}
