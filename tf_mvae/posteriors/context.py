"""The context of a conditional density of the latent: a subset of an example's modalities."""

from typing import NamedTuple

import tensorflow as tf

from tf_mvae.posteriors.kind import Encoded, PosteriorKind

__all__ = ["Context", "subset_context"]


class Context(NamedTuple):
    """A subset S of each example's modalities, as the encoders see it.

    Attributes:
        loc: Means of `q(z | S)`, `[batch, latent]`.
        log_variance: Log-variances of `q(z | S)`, `[batch, latent]`.
        expert_loc: Means of the experts, `[batch, column, latent]`.
        expert_log_variance: Their log-variances, `[batch, column, latent]`.
        subset: 1 where S contains a column, `[batch, column]`.
        covariates: The encoded covariates, inputs of networks, `[batch, width]`, a width of 0
            without any; None is the same.
    """

    loc: tf.Tensor
    log_variance: tf.Tensor
    expert_loc: tf.Tensor
    expert_log_variance: tf.Tensor
    subset: tf.Tensor
    covariates: tf.Tensor | None = None


def subset_context(
    kind: PosteriorKind,
    encoded: Encoded,
    subset: tf.Tensor,
    covariates: tf.Tensor | None = None,
) -> Context:
    """Returns the context of a subset.

    Args:
        kind: The model's posterior kind.
        encoded: The encoded batch.
        subset: 1 where S contains a column, `[batch, column]`; S contains only what an
            example has.
        covariates: See `Context`; None: the model has none.
    """
    if covariates is None:
        covariates = tf.zeros([tf.shape(subset)[0], 0])
    posterior = kind.of(encoded, subset)
    loc, log_variance = encoded.experts
    mean = posterior.mean()
    return Context(mean, posterior.log_variance(), loc, log_variance, subset, covariates)
