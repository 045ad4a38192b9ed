"""Descriptions of an export: its modalities, and the inputs and outputs of each signature."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.models import BaseVAE
from tf_mvae.serving.imputation import describe_imputed, quantiles_name
from tf_mvae.serving.inputs import DRAWS
from tf_mvae.serving.modality_description import (
    bounds,
    describe_modalities,
    of_one,
    range_in_words,
)
from tf_mvae.serving.portable import expected_prefix, noise_name
from tf_mvae.serving.signatures import ALL_PRESENT

__all__ = ["describe", "describe_function"]

# Upper limits of `num_samples`. `log_likelihood` adds up its samples chunk by chunk, in bounded
# memory, so its limit is higher.
_MOST_SAMPLES, _MOST_STREAMED = 10_000, 1_000_000

_MEANINGS = {
    "serving_default": "The posterior's mean given the observed modalities, and every modality's "
    "expected value.",
    "encode": "The posterior of the latent given the observed modalities.",
    "decode": "Every modality's expected value given a latent.",
    "generate": "Samples of the latent given the observed modalities, and every modality's "
    "expected value for each.",
    "sample": "Samples of the latent from the prior, and every modality's expected value for each.",
    "log_likelihood": "The importance-sampled log-likelihood of the observed values of each "
    "example, in nats.",
    "impute": "Missing values filled in, with their standard deviations, quantiles and "
    "probabilities.",
}
# Names of the leading axes of a signature's outputs; the others have `batch` alone.
_LEADING = {"generate": ["num_samples", "batch"], "sample": ["num_samples"]}


def describe(
    model: BaseVAE, signatures: Mapping[str, meta_graph_pb2.SignatureDef]
) -> dict[str, Any]:
    """Describes a model's modalities, and the inputs and outputs of each signature, for JSON.

    Args:
        model: The model.
        signatures: The SavedModel's signatures by name.

    Returns:
        The entries of `describe_modalities`, and `signatures`: by name of a signature its
        `meaning`, `inputs` and `outputs`. An input or output has, under its name, `dtype`, `shape`
        (numbers, and the strings `batch` and `num_samples` for free axes), `low` and `high` (as
        those of a modality) and `meaning`; an input also `required`, and `default` if it is not
        required.

    Example:
    ```python
    import json

    export_saved_model(model, "exported")
    with open("exported/assets.extra/tf_mvae.json") as file:
        description = json.load(file)  # `describe` wrote it
    description["signatures"]["decode"]["inputs"]["z"]["shape"]  # ["batch", 2]
    ```
    """
    return {
        **describe_modalities(model),
        "signatures": {
            name: _signature(model, name, signature)
            for name, signature in sorted(signatures.items())
        },
    }


def describe_function(
    model: BaseVAE,
    name: str,
    inputs: Mapping[str, tf.TensorSpec],
    outputs: Mapping[str, tf.TensorSpec],
    defaults: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Describes the inputs and outputs of one function, as `describe` does for a signature.

    Args:
        model: The model.
        name: The function's name.
        inputs: Its inputs by name.
        outputs: Its outputs by name.
        defaults: The default values of optional inputs, by name.

    Returns:
        `meaning`, `inputs` and `outputs`, as in `describe`.
    """
    defaults = defaults or {}
    own = name.removesuffix(ALL_PRESENT)
    meaning = _MEANINGS[own]
    if own != name:
        meaning += " All modalities are observed."
    described = {}
    for key, spec in sorted(inputs.items()):
        lead = ["num_samples", "batch"] if key == noise_name(model) else ["batch"]
        # Settings of a request (`seed`, ...) have no batch axis.
        draws = key in DRAWS or (own == "impute" and key == quantiles_name(model))
        field = _typed(spec, [] if draws else lead) | _input(model, own, key)
        if key in defaults and spec.shape.rank and not draws:
            field["meaning"] += " May be omitted."
        field["required"] = key not in defaults
        if key in defaults:
            field["default"] = defaults[key].tolist() if defaults[key].size else None
        described[key] = field
    lead = _LEADING.get(own, ["batch"])
    return {
        "meaning": meaning,
        "inputs": described,
        "outputs": {
            key: _typed(spec, lead) | _output(model, own, key)
            for key, spec in sorted(outputs.items())
        },
    }


def _signature(model: BaseVAE, name: str, signature: meta_graph_pb2.SignatureDef) -> dict[str, Any]:
    """Describes a signature of a SavedModel."""
    inputs, outputs = (
        {
            key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))
            for key, info in fields.items()
        }
        for fields in (signature.inputs, signature.outputs)
    )
    defaults = {key: tf.make_ndarray(value) for key, value in signature.defaults.items()}
    return describe_function(model, name, inputs, outputs, defaults)


def _typed(spec: tf.TensorSpec, lead: Sequence[str]) -> dict[str, Any]:
    """Returns `dtype` and `shape` of a tensor; `lead` names its leading axes."""
    sizes = [] if spec.shape.rank is None else spec.shape.as_list()
    return {"dtype": spec.dtype.name, "shape": [*lead, *sizes[len(lead) :]]}


def _input(model: BaseVAE, signature: str, key: str) -> dict[str, Any]:
    """Returns `low`, `high` and `meaning` of a signature's input."""
    by_name = {one.name: one for one in model.batch_inputs}
    if signature == "impute" and key == quantiles_name(model):
        meaning = "Probabilities of the quantiles, above 0 and below 1."
        return {"low": 0, "high": 1, "meaning": meaning}
    if key in by_name:
        likelihood = by_name[key].likelihood
        what = key if by_name[key].role == "modality" else f"covariate {key}, which is required"
        meaning = f"The {what}: {range_in_words(likelihood)}."
        return {**bounds(likelihood), "meaning": meaning}
    if key.endswith("_mask"):
        name = key.removesuffix("_mask")
        what = f"an element of {name}" if by_name[name].element_mask else name
        meaning = f"1 if {what} is observed, 0 if it is missing; its value then has no effect."
        return {"low": 0, "high": 1, "meaning": meaning}
    if key == "num_samples":
        streamed = signature == "log_likelihood"
        return {
            "low": 1,
            "high": _MOST_STREAMED if streamed else _MOST_SAMPLES,
            "meaning": "Number of samples of the latent" + (" per example." if streamed else "."),
        }
    if key == "seed":
        info = np.iinfo(np.int32)
        meaning = "Two integers; the same seed gives the same result."
        return {"low": int(info.min), "high": int(info.max), "meaning": meaning}
    if key == "temperature":
        meaning = "Factor on the latent's standard deviation; 0 returns the mean."
        return {"low": 0, "high": None, "meaning": meaning}
    if key == noise_name(model):
        return _latent("Independent standard normal numbers; they replace a seed.")
    return _latent()


def _output(model: BaseVAE, signature: str, key: str) -> dict[str, Any]:
    """Returns `low`, `high` and `meaning` of a signature's output."""
    by_name = {modality.name: modality for modality in model.modalities}
    prefix = expected_prefix(model)
    by_name |= {prefix + name: modality for name, modality in by_name.items()}
    unbounded = {"low": None, "high": None}
    if signature == "impute":
        return describe_imputed(key, lambda name: bounds(by_name[name].likelihood))
    if key in by_name:
        return _expected(by_name[key].name, by_name[key].likelihood)
    if key == "z":
        return _latent("The posterior's mean." if signature == "serving_default" else None)
    return {
        "loc": {**unbounded, "meaning": "The posterior's mean."},
        "log_variance": {**unbounded, "meaning": "Logarithm of the posterior's variance."},
        "log_likelihood": {
            **unbounded,
            "meaning": "log p of the observed values of the example"
            + (f" given {', '.join(given)}" if (given := model.given_to_decoders) else "")
            + ", in nats; on average below the true value. 0 if nothing is observed (with a "
            "sampler an estimate of 0).",
        },
        "standard_error": {
            "low": 0,
            "high": None,
            "meaning": "Standard error of the log-likelihood over the samples, in nats; too small "
            "if the effective sample size is below some tens.",
        },
        "effective_sample_size": {
            "low": 1,
            "high": None,
            "meaning": "(sum w)^2 / sum w^2 of the importance weights w: the number of equal "
            "weights that would be as precise.",
        },
    }[key]


def _expected(name: str, likelihood: Likelihood) -> dict[str, Any]:
    """Returns `low`, `high` and `meaning` of a modality's expected value."""
    likelihood = of_one(likelihood)
    if likelihood.is_categorical:
        meaning = f"Probability of each class of {name}, in the order of class_names."
        return {"low": 0, "high": 1, "meaning": meaning}
    if likelihood.is_sequence:
        meaning = f"Ids of {name}, the most probable symbol at each step."
        return {**bounds(likelihood), "meaning": meaning}
    meaning = f"Expected value of {name}."
    if likelihood.is_binary:
        return {"low": 0, "high": 1, "meaning": meaning}
    return {"low": 0 if np.min(likelihood.low) >= 0 else None, "high": None, "meaning": meaning}


def _latent(meaning: str | None = None) -> dict[str, Any]:
    """Returns `low`, `high` and `meaning` of an input or output of latents."""
    meaning = meaning or "The latent; its prior is the standard normal distribution."
    return {"low": None, "high": None, "meaning": meaning}
