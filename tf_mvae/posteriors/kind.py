"""The base class of posterior kinds, which combine experts to `q(z | S)`."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.ops.gaussian_product import log_variance_limit
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.posterior import Posterior

__all__ = ["Encoded", "ExpertKind", "PosteriorKind", "bounded", "experts_as_posteriors"]


class Encoded(NamedTuple):
    """A batch, encoded once for every subset.

    Attributes:
        experts: The modalities' Gaussian experts, `[batch, column, latent]`; every member of
            a group is a column. None for models without experts.
        joint: The posterior that a joint network gives, `[batch, latent]`; None for kinds
            without one.
    """

    experts: DiagonalGaussian | None
    joint: DiagonalGaussian | None = None


class PosteriorKind(abc.ABC):
    """Turns a batch's experts into `q(z | S)`, for any subsets S.

    A kind has no weights; the layers that it needs are made by `make_layers` and belong to
    the model.

    Attributes:
        takes_groups: Whether a `ModalityGroup` may be among the modalities.
        min_modalities: The least number of modalities.
        is_mixture: Whether `q(z | S)` is a mixture.
        default_latents: What latents are drawn from, given S, if a model has no sampler:
            `'posterior'` is `q(z | S)`, and `'product'` what `product` returns.
    """

    takes_groups = False
    min_modalities = 1
    is_mixture = False
    default_latents = "posterior"

    def make_layers(
        self, modalities: Sequence[Modality], latent_dim: int
    ) -> dict[str, keras.layers.Layer]:
        """Returns the layers that a model keeps for this kind, by the attribute's name."""
        return {}

    def joint(
        self,
        model: keras.Model,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        training: bool,
    ) -> DiagonalGaussian | None:
        """Returns a joint network's posterior; None without one, or if x is not complete."""
        return None

    @abc.abstractmethod
    def of(self, encoded: Encoded, subset: tf.Tensor) -> Posterior:
        """Returns `q(z | S)`.

        Args:
            encoded: The batch.
            subset: 1 where S contains a column, `[batch, column]` or `[term, batch, column]`;
                S contains only observed modalities.

        Returns:
            Distributions `[batch]` or `[term, batch]`.
        """

    def product(self, encoded: Encoded, subset: tf.Tensor) -> DiagonalGaussian:
        """Returns the product of the experts of S, if it is one part of `q(z | S)`, `[batch]`.

        Args:
            encoded: The batch.
            subset: As `of` takes it, `[batch, column]`.

        Raises:
            UserError: This kind has no such part.
        """
        raise UserError(
            "latents='product' is for MoPoE, whose q(z | S) is a mixture of products; "
            "give latents='posterior'"
        )

    def everything(self, encoded: Encoded, present: tf.Tensor) -> Posterior:
        """Returns `q(z | all that an example has)`, `[1, batch]`.

        Args:
            encoded: The batch.
            present: 1 where an example has a column, `[batch, column]`.
        """
        return self.of(encoded, present[tf.newaxis])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this kind."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PosteriorKind":
        """Creates a kind from the result of `get_config`."""
        return cls(**config)


class ExpertKind(PosteriorKind):
    """A kind for models in which each modality has an expert, or posterior, of its own."""

    def expert(self, loc: tf.Tensor, log_variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns a modality's expert from its network's output; most kinds bound it."""
        return loc, bounded(log_variance)

    def own_posterior(self, expert: DiagonalGaussian) -> DiagonalGaussian:
        """Returns the public form of an expert; the same, for most kinds."""
        return expert

    def alone(self, encoded: Encoded, present: tf.Tensor) -> DiagonalGaussian:
        """Returns each `q(z | x_i)`, `[column, batch]`; see `everything` for the arguments.

        For most kinds it is the modality's own expert.
        """
        return experts_as_posteriors(encoded, present)


def bounded(log_variance: tf.Tensor) -> tf.Tensor:
    """Returns log-variances within `log_variance_limit`: densities and gradients stay finite."""
    limit = log_variance_limit(log_variance.dtype)
    return tf.clip_by_value(log_variance, -limit, limit)


def experts_as_posteriors(encoded: Encoded, present: tf.Tensor) -> DiagonalGaussian:
    """Returns each expert as a posterior, the prior if it is missing, `[column, batch]`."""
    there = present[:, :, tf.newaxis]
    return DiagonalGaussian(*(tf.transpose(part * there, [1, 0, 2]) for part in encoded.experts))
