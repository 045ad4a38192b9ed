"""The networks that a modality has if its user gives none."""

import math
from collections.abc import Sequence

import keras

from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.layers import RecurrentEncoder, mlp_decoder, mlp_encoder
from tf_mvae.layers.mlp import LogCounts, default_width
from tf_mvae.layers.sequential import MaskedSequential

__all__ = [
    "default_decoder",
    "default_encoder",
    "encoder_width",
    "num_classes",
    "sees_covariates",
    "with_log_counts",
]


def default_encoder(
    likelihood: Likelihood, units: Sequence[int] | None = None
) -> keras.layers.Layer:
    """Returns the network from prepared data to features that a modality has by default.

    It is `mlp_encoder`, for counts (`Poisson`) of their logarithms, `log(1 + x)`, and for
    sequences a `RecurrentEncoder` instead.

    Args:
        likelihood: Of the modality.
        units: Widths of the layers; default: two layers of `tf_mvae.layers.mlp.default_width`, a
            function of the size of an example or of the number of classes.
    """
    if likelihood.is_sequence:
        return RecurrentEncoder(likelihood.vocabulary_size)
    units = [encoder_width(likelihood)] * 2 if units is None else units
    encoder = mlp_encoder(units, num_classes(likelihood))
    return with_log_counts(encoder) if likelihood.is_count else encoder


def default_decoder(likelihood: Likelihood) -> keras.layers.Layer:
    """Returns the network from a latent to a likelihood's parameters that is the default."""
    shape = likelihood.parameter_shape
    return mlp_decoder(shape, [default_width(math.prod(shape))] * 3)


def encoder_width(likelihood: Likelihood) -> int:
    """Returns the width of a default encoder's layers."""
    return default_width(num_classes(likelihood) or math.prod(likelihood.event_shape))


def num_classes(likelihood: Likelihood) -> int | None:
    """Returns the number of classes of a likelihood, None if it is not one of classes."""
    return likelihood.num_classes if likelihood.is_categorical else None


def sees_covariates(likelihood: Likelihood) -> bool:
    """Whether covariates are appended to an encoder's input: it holds several real numbers.

    Encoders of counts take logarithms of theirs.
    """
    real = likelihood.dtype.is_floating and not likelihood.is_count
    return real and bool(likelihood.event_shape)


def with_log_counts(encoder: MaskedSequential) -> MaskedSequential:
    """Returns an encoder of counts that sees their logarithms."""
    return MaskedSequential([LogCounts(), *encoder.layers])
