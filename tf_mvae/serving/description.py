"""What an export says about itself: modalities, and every field of every signature."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from tf_mvae.distributions.likelihoods import (
    Likelihood,
)
from tf_mvae.distributions.members import MemberLikelihood
from tf_mvae.models import BaseVAE
from tf_mvae.serving.imputation import describe_imputed, quantiles_name
from tf_mvae.serving.inputs import DRAWS
from tf_mvae.serving.portable import expected_prefix, noise_name
from tf_mvae.serving.signatures import ALL_PRESENT

__all__ = ["describe", "describe_function", "describe_modalities"]

_FLOAT_MAX = float(np.finfo(np.float32).max)
# What a request may sensibly ask for; `log_likelihood` streams its samples.
_MOST_SAMPLES, _MOST_STREAMED = 10_000, 1_000_000

_MEANINGS = {
    "serving_default": "What is present in; the posterior's mean and every modality's expected "
    "value out.",
    "encode": "The posterior of the latent given what is present.",
    "decode": "Every modality's expected value given a latent.",
    "generate": "Samples of the latent given what is present, and every modality's expected "
    "value for each.",
    "sample": "Samples of the latent from the prior, and every modality's expected value for each.",
    "log_likelihood": "The importance-sampled log-likelihood of what each example has, in nats.",
    "impute": "What is missing filled in; how sure that is.",
}
_LEADING = {"generate": ["num_samples", "batch"], "sample": ["num_samples"]}


def describe_modalities(model: BaseVAE) -> dict[str, Any]:
    """Returns what is to be known of a model's modalities, as JSON has it.

    Returns:
        `model`, `latent_dim`, `targets` (names of what is generated), `conditions` (names of
        what has to be given), and `modalities`: by name `likelihood`, `shape` of an example,
        `dtype`, `holds` (its range in words), `low` and `high` (null where there is no
        bound), `is_image`, `class_names` of classes, and the `members` of a group, whose
        array has one entry a member; `element_mask`, true where elements may be missing one by one,
        and `columns`, the names of columns of several types. Of a model with covariates
        `covariates`: by name `shape`, `dtype`, `holds`, `low` and `high`, and `class_names` of
        classes.
    """
    modalities = {}
    for modality in model.modalities:
        likelihood = modality.likelihood
        entry = {
            "likelihood": type(_of_one(likelihood)).__name__,
            "shape": list(likelihood.event_shape),
            "dtype": likelihood.dtype.name,
            "holds": likelihood.describe_range(),
            **_bounds(likelihood),
            "is_image": likelihood.is_image,
        }
        if likelihood.is_categorical:
            entry["class_names"] = list(likelihood.class_names)
        if modality.mask_shape:
            entry["members"] = list(modality.column_names)
        if modality.element_mask:
            entry["element_mask"] = True
        if getattr(likelihood, "names", None):
            entry["columns"] = list(likelihood.names)
        modalities[modality.name] = entry
    return {
        "model": type(model).__name__,
        "latent_dim": model.latent_dim,
        "targets": [modality.name for modality in model.targets],
        "conditions": list(model.conditions),
        "modalities": modalities,
        **({"covariates": _covariates(model)} if model.covariates else {}),
    }


def _covariates(model: BaseVAE) -> dict[str, Any]:
    found = {}
    for covariate in model.covariates:
        likelihood = covariate.likelihood
        found[covariate.name] = {
            "shape": list(likelihood.event_shape),
            "dtype": likelihood.dtype.name,
            "holds": likelihood.describe_range(),
            **_bounds(likelihood),
        }
        if likelihood.is_categorical:
            found[covariate.name]["class_names"] = list(likelihood.class_names)
    return found


def describe(
    model: BaseVAE, signatures: Mapping[str, meta_graph_pb2.SignatureDef]
) -> dict[str, Any]:
    """Returns what `describe_modalities` does and, under `signatures`, every field.

    Args:
        model: The model.
        signatures: Of the SavedModel, by name.

    Returns:
        By signature its `meaning`, `inputs` and `outputs`; by name of an input or output
        its `dtype`, `shape` (sizes, and `batch` and `num_samples` by name), `low`, `high`,
        `meaning`, and whether an input is `required`, with its `default` otherwise.
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
    """Returns the fields of one function, as `describe` does.

    Args:
        model: The model.
        name: The function's name.
        inputs: Its inputs by name.
        outputs: Its outputs by name.
        defaults: What stands for inputs that may be omitted.
    """
    defaults = defaults or {}
    own = name.removesuffix(ALL_PRESENT)
    meaning = _MEANINGS[own]
    if own != name:
        meaning += " Everything is present."
    described = {}
    for key, spec in sorted(inputs.items()):
        lead = ["num_samples", "batch"] if key == noise_name(model) else ["batch"]
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
    sizes = [] if spec.shape.rank is None else spec.shape.as_list()
    return {"dtype": spec.dtype.name, "shape": [*lead, *sizes[len(lead) :]]}


def _input(model: BaseVAE, signature: str, key: str) -> dict[str, Any]:
    by_name = {one.name: one for one in model.batch_inputs}
    if signature == "impute" and key == quantiles_name(model):
        meaning = "Probabilities of the quantiles, above 0 and below 1."
        return {"low": 0, "high": 1, "meaning": meaning}
    if key in by_name:
        likelihood = by_name[key].likelihood
        what = key if by_name[key].role == "modality" else f"covariate {key}, always given"
        meaning = f"The {what}: {_range(likelihood)}."
        return {**_bounds(likelihood), "meaning": meaning}
    if key.endswith("_mask"):
        name = key.removesuffix("_mask")
        has = "an element of" if by_name[name].element_mask else "an example has"
        meaning = f"1 where {has} {name}, 0 where not: then its value does not matter."
        if by_name[name].element_mask:
            meaning = meaning.replace(f"{name}, 0", f"{name} is observed, 0")
        return {"low": 0, "high": 1, "meaning": meaning}
    if key == "num_samples":
        streamed = signature == "log_likelihood"
        return {
            "low": 1,
            "high": _MOST_STREAMED if streamed else _MOST_SAMPLES,
            "meaning": "How many samples of the latent" + (" an example." if streamed else "."),
        }
    if key == "seed":
        info = np.iinfo(np.int32)
        meaning = "Two integers; the same ones give the same answer."
        return {"low": int(info.min), "high": int(info.max), "meaning": meaning}
    if key == "temperature":
        meaning = "Factor on the latent's standard deviation; 0 is its mean."
        return {"low": 0, "high": None, "meaning": meaning}
    if key == noise_name(model):
        return _latent("Independent standard normal numbers, in place of a seed.")
    return _latent()


def _output(model: BaseVAE, signature: str, key: str) -> dict[str, Any]:
    by_name = {modality.name: modality for modality in model.modalities}
    prefix = expected_prefix(model)
    by_name |= {prefix + name: modality for name, modality in by_name.items()}
    unbounded = {"low": None, "high": None}
    if signature == "impute":
        return describe_imputed(key, lambda name: _bounds(by_name[name].likelihood))
    if key in by_name:
        return _expected(by_name[key].name, by_name[key].likelihood)
    if key == "z":
        return _latent("The posterior's mean." if signature == "serving_default" else None)
    return {
        "loc": {**unbounded, "meaning": "The posterior's mean."},
        "log_variance": {**unbounded, "meaning": "Logarithm of the posterior's variance."},
        "log_likelihood": {
            **unbounded,
            "meaning": "log p of what the example has"
            + (f" given {', '.join(given)}" if (given := model.given_to_decoders) else "")
            + ", in nats; on average below the true value. 0 where it has nothing.",
        },
        "standard_error": {
            "low": 0,
            "high": None,
            "meaning": "Standard error of the log-likelihood over the samples, in nats; too small "
            "where the effective sample size is below some tens.",
        },
        "effective_sample_size": {
            "low": 1,
            "high": None,
            "meaning": "(sum w)^2 / sum w^2 of the weights w, in number of equal weights.",
        },
    }[key]


def _of_one(likelihood: Likelihood) -> Likelihood:
    """Returns the likelihood of one member of a group."""
    return likelihood.member if isinstance(likelihood, MemberLikelihood) else likelihood


def _expected(name: str, likelihood: Likelihood) -> dict[str, Any]:
    likelihood = _of_one(likelihood)
    if likelihood.is_categorical:
        meaning = f"Probability of each class of {name}, in the order of class_names."
        return {"low": 0, "high": 1, "meaning": meaning}
    if likelihood.is_sequence:
        meaning = f"Ids of {name}, the most probable symbol at each step."
        return {**_bounds(likelihood), "meaning": meaning}
    meaning = f"Expected value of {name}."
    if likelihood.is_binary:
        return {"low": 0, "high": 1, "meaning": meaning}
    return {"low": 0 if np.min(likelihood.low) >= 0 else None, "high": None, "meaning": meaning}


def _latent(meaning: str | None = None) -> dict[str, Any]:
    meaning = meaning or "The latent; its prior is the standard normal distribution."
    return {"low": None, "high": None, "meaning": meaning}


def _range(likelihood: Likelihood) -> str:
    """Says in words what prepared data hold; `describe_range` speaks of raw data too."""
    low, high = _bounds(likelihood).values()
    if low is None or high is None or likelihood.dtype.is_integer:
        return likelihood.describe_range()
    return f"numbers in [{low:g}, {high:g}]"


def _bounds(likelihood: Likelihood) -> dict[str, float | None]:
    """Returns the least and the largest value of prepared data, None where there is none."""
    number = int if likelihood.dtype.is_integer else float
    bounds = {}
    for name in ("low", "high"):
        values = np.unique(getattr(likelihood, name))  # of columns of several types they differ
        known = len(values) == 1 and abs(values[0]) < _FLOAT_MAX
        bounds[name] = number(values[0]) if known else None
    return bounds
