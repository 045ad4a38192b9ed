"""Runs calls of a signature in one batch, and converts the outputs of each."""

import logging
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.serving.server.call import Call
from tf_mvae.serving.server.errors import RequestError, from_tensorflow
from tf_mvae.serving.server.saved_model import ServedVersion

__all__ = ["is_independent", "run_together"]

_LOG = logging.getLogger(__name__)


def is_independent(version: ServedVersion, call: Call) -> bool:
    """Returns whether a call's examples may run together with other calls, or in parts.

    Args:
        version: The version to call.
        call: The call.
    """
    if call.signature.name not in version.independent:
        return False
    if not all(array.ndim for array in call.inputs.values()):
        return False
    lengths = {len(array) for array in call.inputs.values()}
    # Omitted inputs may be empty. Such calls run only with calls that omit the same inputs.
    return lengths <= {0, call.examples} and call.examples in lengths


def run_together(version: ServedVersion, name: str, calls: list[Call]) -> list[Any]:
    """Runs calls in one batch; if the model raises an error, each call runs alone.

    Args:
        version: The version to call.
        name: The signature's name.
        calls: The calls.

    Returns:
        For each call the result of its `answer.write`, or an exception.
    """
    try:
        outputs = version.run(name, _concatenate(calls))
    except Exception as error:
        if len(calls) > 1 and isinstance(error, tf.errors.OpError):
            return [run_together(version, name, [call])[0] for call in calls]
        said = from_tensorflow(error)
        if said.status >= 500:
            _LOG.exception("model failed", extra={"signature": name, "version": version.version})
        return [said] * len(calls)
    answers: list[Any] = []
    start = 0
    for call in calls:
        stop = start + call.examples
        own = {k: v[start:stop] for k, v in outputs.items()} if len(calls) > 1 else outputs
        answers.append(_guarded(own, call))
        start = stop
    return answers


def _guarded(outputs: dict[str, np.ndarray], call: Call) -> Any:
    try:
        return call.answer.write(outputs, call.examples)
    except RequestError as error:
        return error
    except Exception:
        _LOG.exception("answer not written")
        return RequestError(500, "the answer cannot be written")


def _concatenate(calls: list[Call]) -> dict[str, np.ndarray]:
    if len(calls) == 1:
        return calls[0].inputs
    return {name: np.concatenate([c.inputs[name] for c in calls]) for name in calls[0].inputs}
