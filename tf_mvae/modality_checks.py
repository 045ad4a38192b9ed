"""Checks of what a user describes a modality or a group with."""

import re
from collections.abc import Sequence
from typing import Any

import keras
from absl import logging

from tf_mvae import checks
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.layers import MaskedBatchNormalization, MaskedSequential

__all__ = [
    "check_member_likelihood",
    "check_name",
    "check_weight",
    "checked_members",
    "refuse_batch_norm",
    "warn_of_unmasked_batch_norm",
]

# Names of other tensors in what models give and in the signatures of exported ones.
_RESERVED = (
    *("everything", "loc", "log_variance", "num_samples", "seed", "temperature", "z"),
    "self",  # TensorFlow takes no input of this name
)


def check_name(role: str, name: Any) -> None:
    """Checks the name of a modality or a covariate.

    Args:
        role: Which of them it is.
        name: The name.

    Raises:
        ValueError: It is no identifier, or it is the name of another tensor.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"a {role}'s name is letters, digits and underscores, not {name!r}")
    if name in _RESERVED or name.endswith("_mask"):
        raise ValueError(f"a {role}'s name is not {name!r}, which stands for something else")


def checked_members(group: str, members: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of a group's members.

    Raises:
        ValueError: There are none, two are equal, or one has other characters than letters,
            digits and underscores.
    """
    members = tuple(members)
    for member in members:
        if not re.fullmatch(r"[A-Za-z0-9_]+", member):
            raise ValueError(
                f"group {group!r}: a member's name is letters, digits and underscores, "
                f"not {member!r}"
            )
    if not members or len(set(members)) < len(members):
        raise ValueError(f"group {group!r}: members must have names that differ: {members}")
    return members


def check_member_likelihood(group: str, likelihood: Any) -> None:
    """Checks the likelihood of a group's member.

    Raises:
        TypeError: It is no likelihood.
        ValueError: It has a network, which does not run for all members as one.
    """
    if not isinstance(likelihood, Likelihood):
        raise TypeError(
            f"group {group!r}: likelihood must be a tf_mvae.likelihoods.Likelihood, not "
            f"{likelihood!r}"
        )
    if likelihood.network is not None:
        raise ValueError(
            f"group {group!r}: members' networks run as one, which a "
            f"{type(likelihood).__name__} does not; make each a Modality"
        )


def check_weight(owner: str, argument: str, weight: Any) -> float:
    """Returns the weight of a likelihood.

    Raises:
        UserError: It is not a finite number of 0 or more.
    """
    try:
        return checks.non_negative(argument, weight)
    except UserError as error:
        raise UserError(f"{owner}: weights must not be negative or NaN: {error}") from None


def warn_of_unmasked_batch_norm(modality: str, network: keras.layers.Layer) -> None:
    """Warns of batch normalisation whose averages include examples without the modality."""
    masked = isinstance(network, MaskedSequential)
    layers = network.layers if masked else network._flatten_layers()
    for layer in layers:
        if type(layer) is keras.layers.BatchNormalization:
            logging.warning(
                "modality %r: %s averages over examples that do not have the modality too; put "
                "tf_mvae.layers.MaskedBatchNormalization in a tf_mvae.layers.MaskedSequential",
                modality,
                layer.name,
            )


def refuse_batch_norm(group: str, network: keras.layers.Layer) -> None:
    """Checks that a group's network does not normalise over the members.

    Raises:
        ValueError: It does.
    """
    layers = network.layers if isinstance(network, MaskedSequential) else [network]
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization | MaskedBatchNormalization):
            raise ValueError(
                f"group {group!r}: {layer.name} would normalise over the members; leave it out"
            )
