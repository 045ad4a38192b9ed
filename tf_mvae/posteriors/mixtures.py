"""Mixtures of experts, and of products of experts."""

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.kind import Encoded, ExpertKind
from tf_mvae.posteriors.mixture import GaussianMixture
from tf_mvae.posteriors.product import product_without_prior

__all__ = ["MixtureOfExperts", "MixtureOfProducts", "component_subsets"]

_ENUMERATED = 5


@keras.saving.register_keras_serializable("tf_mvae")
class MixtureOfExperts(ExpertKind):
    """`q(z | S) = 1/|S| sum_{i in S} q(z | x_i)`; the prior for the empty subset.

    (Shi, Siddharth, Paige and Torr, *Variational mixture-of-experts autoencoders for
    multi-modal deep generative models*, NeurIPS 2019, equation 2.)

    Example:

    ```python
    image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
    label = Modality("label", likelihoods.Categorical(10))
    model = MultimodalVAE([image, label], posterior_kind=MixtureOfExperts(),
                          objective=objectives.MixtureElbo())
    ```
    """

    is_mixture = True

    def of(self, encoded: Encoded, subset: tf.Tensor) -> GaussianMixture:
        """See `PosteriorKind.of`."""
        return GaussianMixture.of_components(encoded.experts, subset)


@keras.saving.register_keras_serializable("tf_mvae")
class MixtureOfProducts(ExpertKind):
    """`q(z | S) = 1/K sum_{k} prod_{i in S_k} q(z | x_i)` over subsets `S_k` of S.

    (Sutter, Daunhawer and Vogt, *Generalized multimodal ELBO*, ICLR 2021, equations 8 and
    9.) The `S_k` are all non-empty subsets of S if there are at most 5 modalities. Beyond,
    they are S itself, its single modalities, and those of `num_subsets` subsets, drawn once
    from `subset_seed`, that S contains.

    Given S, latents are drawn from the component of S itself, the product of all experts that are
    there, as the authors' tables have it. The other components know less of what is given.
    `latents='posterior'` draws from the mixture.
    """

    is_mixture = True
    default_latents = "product"

    def __init__(self, num_subsets: int = 16, subset_seed: int = 0):
        """Creates the kind.

        Args:
            num_subsets: Random subsets that are components where there are more than 5
                modalities.
            subset_seed: Seed of their choice.
        """
        self.num_subsets = checks.non_negative_integer("num_subsets", num_subsets)
        self.subset_seed = checks.non_negative_integer("subset_seed", subset_seed)

    def components(self, subset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the subsets that are components of `q(z | S)`, and which count.

        Args:
            subset: S, `[batch, column]`.

        Returns:
            `[component, batch, column]` and `[component, batch]`. The first component is S.
        """
        columns = subset.shape[-1]
        listed = tf.constant(component_subsets(columns, self.num_subsets, self.subset_seed))
        listed = listed[:, tf.newaxis]  # [component, 1, column]
        inside = tf.reduce_min(subset + 1 - listed, axis=-1) > 0
        # S itself comes first; where it is a listed one, that one does not count again.
        same = tf.reduce_all(listed == subset, axis=-1)
        counts = tf.cast(inside & ~same, subset.dtype)
        some = tf.reduce_max(subset, axis=-1)[tf.newaxis]
        return (
            tf.concat([subset[tf.newaxis], listed * counts[..., tf.newaxis]], 0),
            tf.concat([some, counts], 0),
        )

    def of(self, encoded: Encoded, subset: tf.Tensor) -> GaussianMixture:
        """See `PosteriorKind.of`."""
        if subset.shape.rank == 3:
            parts = [self.of(encoded, subset[term]) for term in range(subset.shape[0])]
            return GaussianMixture(*(tf.stack(part) for part in zip(*parts, strict=True)))
        subsets, counts = self.components(subset)
        products = product_without_prior(encoded.experts, subsets)
        # [component, batch, latent] as [batch, component, latent].
        components = DiagonalGaussian(*(tf.transpose(p, [1, 0, 2]) for p in products))
        return GaussianMixture.of_components(components, tf.transpose(counts))

    def product(self, encoded: Encoded, subset: tf.Tensor) -> DiagonalGaussian:
        """See `PosteriorKind.product`."""
        return product_without_prior(encoded.experts, subset)

    def get_config(self) -> dict[str, Any]:
        """See `PosteriorKind.get_config`."""
        return {"num_subsets": self.num_subsets, "subset_seed": self.subset_seed}


def component_subsets(columns: int, num_subsets: int, seed: int) -> np.ndarray:
    """Returns the subsets that a mixture of products is made of, `[component, column]`.

    Args:
        columns: The number of modalities.
        num_subsets: Random subsets next to the single modalities, for more than 5 modalities; all
            of two modalities or more, without that of all, if there are fewer.
        seed: Seed of the choice.
    """
    if columns <= _ENUMERATED:
        rows = [r for r in itertools.product((0.0, 1.0), repeat=columns) if any(r)]
        return np.array(sorted(rows, key=sum), np.float32)
    num_subsets = min(num_subsets, 2**columns - columns - 2)
    rng = np.random.default_rng(seed)
    chosen_rows = {tuple(row) for row in np.eye(columns)}
    while len(chosen_rows) < columns + num_subsets:
        chosen = rng.permutation(columns)[: rng.integers(2, columns)]
        chosen_rows.add(tuple(np.isin(np.arange(columns), chosen).astype(float)))
    return np.array(sorted(chosen_rows, key=lambda row: (sum(row), row)), np.float32)
