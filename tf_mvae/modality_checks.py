"""Checks of the arguments of modalities and groups."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae import checks
from tf_mvae.distributions import elements
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.layers import MaskedBatchNormalization, MaskedSequential
from tf_mvae.layers.sequential import flat

__all__ = [
    "check_element_dropout",
    "check_likelihood",
    "check_member_likelihood",
    "check_name",
    "check_size_factor",
    "check_weight",
    "check_weights",
    "checked_members",
    "decoded",
    "flat_expert",
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
        UserError: It is no identifier, or it is the name of another tensor.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise UserError(f"a {role}'s name is letters, digits and underscores, not {name!r}")
    if name in _RESERVED or name.endswith("_mask"):
        raise UserError(f"a {role}'s name is not {name!r}, which stands for something else")


def checked_members(group: str, members: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of a group's members.

    Raises:
        UserError: There are none, two are equal, or one has other characters than letters,
            digits and underscores.
    """
    wanted = "a list of names"
    members = tuple(checks.instance(f"group {group!r}: members", members, Iterable, wanted))
    for member in members:
        if not isinstance(member, str) or not re.fullmatch(r"[A-Za-z0-9_]+", member):
            raise UserError(
                f"group {group!r}: a member's name is letters, digits and underscores, "
                f"not {member!r}"
            )
    if not members or len(set(members)) < len(members):
        raise UserError(f"group {group!r}: members must have names that differ: {members}")
    return members


def check_member_likelihood(group: str, likelihood: Any) -> None:
    """Checks the likelihood of a group's member.

    Raises:
        UserError: It is no likelihood, or has a network, which does not run for all members as one.
    """
    check_likelihood(f"group {group!r}", likelihood)
    if likelihood.network is not None:
        raise UserError(
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


def check_likelihood(owner: str, likelihood: Any) -> None:
    """Checks that something is a likelihood.

    Raises:
        UserError: It is not one.
    """
    if not isinstance(likelihood, Likelihood):
        raise UserError(
            f"{owner}: likelihood must be a tf_mvae.likelihoods.Likelihood, not {likelihood!r}; "
            "wrap a function in tf_mvae.likelihoods.CallableLikelihood"
        )


def check_weights(owner: str, own: Any, cross: Any | None) -> tuple[float, float]:
    """Returns the weights of a modality in the terms that contain it and in the others.

    Args:
        owner: Whose weights they are, for messages.
        own: `likelihood_weight`.
        cross: `cross_weight`, or None for the same.

    Raises:
        UserError: A weight is negative or not finite.
    """
    own = check_weight(owner, "likelihood_weight", own)
    return own, check_weight(owner, "cross_weight", own if cross is None else cross)


def check_element_dropout(owner: str, likelihood: Likelihood, masked: bool, rate: Any) -> float:
    """Returns the largest fraction of an example's elements that training hides.

    Args:
        owner: Which modality it is of.
        likelihood: Of the modality.
        masked: Whether single elements may be missing.
        rate: The fraction.

    Raises:
        UserError: Elements cannot be missing one by one, or the fraction is not one.
    """
    rate = checks.fraction("element_dropout", rate)
    if masked:
        elements.check_elements(owner, likelihood)
    elif rate:
        raise UserError(f"{owner}: element_dropout is for element_mask=True")
    return rate


def check_size_factor(owner: str, likelihood: Likelihood, name: str | None) -> str | None:
    """Returns the name of a size factor.

    Raises:
        UserError: The likelihood's means cannot be multiplied by one.
    """
    if name is not None and not likelihood.takes_size_factor:
        raise UserError(
            f"{owner}: size_factor is for counts (Poisson, NegativeBinomial), not for a "
            f"{type(likelihood).__name__}"
        )
    return name


def decoded(
    owner: str, parameters: tf.Tensor, wanted: Sequence[int], leading: int = 1
) -> tf.Tensor:
    """Returns a decoder's output in the shape of a likelihood's parameters.

    Args:
        owner: Whose decoder it is.
        parameters: What it puts out, `[..., numbers]` with `leading` axes before the numbers.
        wanted: The likelihood's `parameter_shape`.
        leading: 1 for rows, 2 for members and rows.

    Raises:
        UserError: The numbers of an example are not as many as the likelihood wants.
    """
    if math.prod(parameters.shape[leading:]) != math.prod(wanted):
        whose = "a member" if leading == 2 else "an example"
        raise UserError(
            f"{owner}: its likelihood wants {tuple(wanted)} numbers of {whose} from the decoder, "
            f"which puts out {tuple(parameters.shape[leading:])}"
        )
    sizes = tf.shape(parameters)
    known = [parameters.shape[axis] for axis in range(leading)]
    first = [sizes[axis] if size is None else size for axis, size in enumerate(known)]
    return tf.reshape(parameters, [*first, *wanted])


def flat_expert(modality: str, parameters: tf.Tensor) -> tf.Tensor:
    """Reshapes the output of an `expert_head` to `[batch, 2 latent]`, the means first.

    Args:
        modality: The modality's name, for the message.
        parameters: `[batch, ..., 2 channels]`; the last axis holds means, then log-variances.

    Raises:
        UserError: The last axis cannot be halved.
    """
    if parameters.shape.rank < 2 or parameters.shape[-1] % 2:
        raise UserError(
            f"modality {modality!r}: half of the last axis of what its expert_head puts out are "
            f"means; it puts out {list(parameters.shape[1:])} for an example"
        )
    return tf.concat([flat(part) for part in tf.split(parameters, 2, axis=-1)], -1)


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
        UserError: It does.
    """
    layers = network.layers if isinstance(network, MaskedSequential) else [network]
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization | MaskedBatchNormalization):
            raise UserError(
                f"group {group!r}: {layer.name} would normalise over the members; leave it out"
            )
