"""Descriptions of a model's modalities and covariates, for JSON."""

import json
from typing import Any

import numpy as np

from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.distributions.members import MemberLikelihood
from tf_mvae.models import BaseVAE

__all__ = ["bounds", "describe_modalities", "of_one", "range_in_words"]

_FLOAT_MAX = float(np.finfo(np.float32).max)


def describe_modalities(model: BaseVAE) -> dict[str, Any]:
    """Describes a model's modalities, in a form for JSON.

    Args:
        model: The model.

    Returns:
        `model`, `latent_dim`, `targets` (the names of generated modalities), `conditions` (the
        names of required inputs), and `modalities`: by name the `likelihood`, the `shape` of an
        example, `dtype`, `holds` (the range in words), `low` and `high` (null without a bound;
        nested lists in the shape of an example if its elements have different ones), `is_image`,
        and `element_mask` (true if single elements may be missing). If some elements of an array of
        floats are whole numbers (classes, events), `whole` says which. Classes have `class_names`,
        groups `members` (one entry of the array each), and modalities with columns of several
        types `columns`. Modalities of a table with a schema have `table_columns`, in the order of
        the array: `name`, `type`, and `categories` (an entry is the place of its category) or `loc`
        and `scale` (a number is `(x - loc) / scale`). A model with covariates also has
        `covariates`: by name `shape`, `dtype`, `holds`, `low`, `high`, and `class_names` of
        classes.
    """
    modalities = {}
    for modality in model.modalities:
        likelihood = modality.likelihood
        entry = {
            "likelihood": type(of_one(likelihood)).__name__,
            "shape": list(likelihood.event_shape),
            "dtype": likelihood.dtype.name,
            "holds": likelihood.describe_range(),
            **bounds(likelihood),
            "is_image": likelihood.is_image,
        }
        if likelihood.is_categorical:
            entry["class_names"] = list(likelihood.class_names)
        if modality.mask_shape:
            entry["members"] = list(modality.column_names)
        if modality.element_mask:
            entry["element_mask"] = True
        if likelihood.dtype.is_floating and np.any(likelihood.whole):
            entry["whole"] = np.broadcast_to(likelihood.whole, likelihood.event_shape).tolist()
        if getattr(likelihood, "names", None):
            entry["columns"] = list(likelihood.names)
        if modality.table_columns is not None:
            entry["table_columns"] = json.loads(modality.table_columns)
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
    """Returns the entry `covariates` of `describe_modalities`."""
    found = {}
    for covariate in model.covariates:
        likelihood = covariate.likelihood
        found[covariate.name] = {
            "shape": list(likelihood.event_shape),
            "dtype": likelihood.dtype.name,
            "holds": likelihood.describe_range(),
            **bounds(likelihood),
        }
        if likelihood.is_categorical:
            found[covariate.name]["class_names"] = list(likelihood.class_names)
    return found


def of_one(likelihood: Likelihood) -> Likelihood:
    """Returns the likelihood of one member of a group, and any other likelihood as it is.

    Args:
        likelihood: The likelihood of a modality.
    """
    return likelihood.member if isinstance(likelihood, MemberLikelihood) else likelihood


def range_in_words(likelihood: Likelihood) -> str:
    """Describes the range of prepared data in words; `describe_range` covers raw data too.

    Args:
        likelihood: The likelihood of a modality or a covariate.
    """
    low, high = bounds(likelihood).values()
    both = isinstance(low, float) and isinstance(high, float)
    return f"numbers in [{low:g}, {high:g}]" if both else likelihood.describe_range()


def bounds(likelihood: Likelihood) -> dict[str, Any]:
    """Returns `low` and `high`, the range of prepared data, None if there is no bound.

    Elements with different bounds, such as columns of different types, have nested lists of them
    in the shape of an example.

    Args:
        likelihood: The likelihood of a modality or a covariate.
    """
    number = int if likelihood.dtype.is_integer else float

    def known(value):
        if isinstance(value, list):
            return [known(one) for one in value]
        return number(value) if abs(value) < _FLOAT_MAX else None

    found = {}
    for name in ("low", "high"):
        values = np.asarray(getattr(likelihood, name))
        if len(np.unique(values)) == 1:
            found[name] = known(values.flat[0])
        else:
            found[name] = known(np.broadcast_to(values, likelihood.event_shape).tolist())
    return found
