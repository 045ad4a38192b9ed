"""The product of experts, with or without the prior expert, and the quotient of MVAE-Q."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae.ops.gaussian_product import gaussian_product
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.kind import Encoded, ExpertKind, bounded, experts_as_posteriors

__all__ = ["Product", "Quotient", "product_without_prior"]


@keras.saving.register_keras_serializable("tf_mvae")
class Product(ExpertKind):
    """`q(z | S) ∝ p(z) prod_{i in S} q~(z | x_i)` (Wu and Goodman, NeurIPS 2018, section 2.1).

    With `prior_expert=False` it is `prod_{i in S} q(z | x_i)`, normalised, and the prior for
    the empty subset (Hwang et al., NeurIPS 2021; Sutter et al., ICLR 2021).

    Example:

    ```python
    image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
    label = Modality("label", likelihoods.Categorical(10))
    model = MultimodalVAE([image, label], posterior_kind=Product(prior_expert=False))
    ```
    """

    takes_groups = True

    def __init__(self, prior_expert: bool = True):
        """Creates the kind.

        Args:
            prior_expert: Whether the prior is a factor of every product.
        """
        self.prior_expert = prior_expert

    def expert(self, loc: tf.Tensor, log_variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `ExpertKind.expert`; the product with a prior expert bounds what it multiplies."""
        return (loc, log_variance) if self.prior_expert else super().expert(loc, log_variance)

    def of(self, encoded: Encoded, subset: tf.Tensor) -> DiagonalGaussian:
        """See `PosteriorKind.of`."""
        with tf.name_scope("product_of_experts"):
            if self.prior_expert:
                return DiagonalGaussian(*gaussian_product(*encoded.experts, subset))
            return product_without_prior(encoded.experts, subset)

    def alone(self, encoded: Encoded, present: tf.Tensor) -> DiagonalGaussian:
        """See `ExpertKind.alone`; at a cost linear in the number of columns."""
        if not self.prior_expert:
            return experts_as_posteriors(encoded, present)
        columns, latent = encoded.experts.loc.shape[1:]
        # Each column of each example is a batch entry with one expert, [batch * column, 1, latent].
        loc, log_variance = (tf.reshape(part, [-1, 1, latent]) for part in encoded.experts)
        with tf.name_scope("product_of_experts"):
            products = gaussian_product(loc, log_variance, tf.reshape(present, [-1, 1]))
        return DiagonalGaussian(
            # [batch * column, latent] as [column, batch, latent].
            *(tf.transpose(tf.reshape(p, [-1, columns, latent]), [1, 0, 2]) for p in products)
        )

    def get_config(self) -> dict[str, Any]:
        """See `PosteriorKind.get_config`."""
        return {"prior_expert": self.prior_expert}


@keras.saving.register_keras_serializable("tf_mvae")
class Quotient(Product):
    """`q(z | S) ∝ prod_{i in S} q(z | x_i) / p(z)^(|S| - 1)` (Wu and Goodman, section 2.1).

    Every `q(z | x_i)` is a posterior, not an expert next to the prior. The quotient is a
    distribution if the precisions add up to more than `|S| - 1`; here each posterior's
    variance is `sigmoid(s)` of the network's output s, below the prior's 1, so that it always
    is. Then `q(z | x_i) / p(z)` is Gaussian with log-variance s and mean
    `loc_i (1 + exp(s))`, and the posterior of any subset is the prior times these.
    """

    def __init__(self):
        """Creates the kind."""
        super().__init__()

    def expert(self, loc: tf.Tensor, log_variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the quotient `q(z | x_i) / p(z)`."""
        log_variance = bounded(log_variance)
        return loc * (1 + tf.exp(log_variance)), log_variance

    def own_posterior(self, expert: DiagonalGaussian) -> DiagonalGaussian:
        """Returns `q(z | x_i)`, which contains the prior."""
        loc = expert.loc * tf.math.sigmoid(-expert.log_variances)
        return DiagonalGaussian(loc, tf.math.log_sigmoid(expert.log_variances))

    def get_config(self) -> dict[str, Any]:
        """See `PosteriorKind.get_config`."""
        return {}


def product_without_prior(experts: DiagonalGaussian, subset: tf.Tensor) -> DiagonalGaussian:
    """Returns the normalised product of the experts of a subset, the prior for the empty one.

    Args:
        experts: `[batch, column, latent]`.
        subset: `[batch, column]` or `[term, batch, column]`.
    """
    contains = tf.cast(subset > 0, experts.loc.dtype)
    used = contains if subset.shape.rank == 2 else tf.reduce_max(contains, axis=0)
    there = used[:, :, tf.newaxis] > 0
    loc, log_variance = (tf.where(there, part, 0.0) for part in experts)
    precision = tf.exp(-bounded(log_variance))
    empty = 1 - tf.reduce_max(contains, axis=-1)[..., tf.newaxis]
    total = tf.einsum("...bm,bml->...bl", contains, precision) + empty
    product = tf.einsum("...bm,bml->...bl", contains, precision * loc) / total
    return DiagonalGaussian(product, -tf.math.log(total))
