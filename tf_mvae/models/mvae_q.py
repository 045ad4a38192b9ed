"""The MVAE whose experts are posteriors, divided by the prior."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae.distributions.product_of_experts import diagonal_normal
from tf_mvae.models.mvae import MVAE
from tf_mvae.ops.gaussian_product import log_variance_limit

__all__ = ["MVAEQ"]


@keras.saving.register_keras_serializable("tf_mvae")
class MVAEQ(MVAE):
    """The MVAE-Q of Wu and Goodman (NeurIPS 2018, section 2.1): a quotient of posteriors.

        q(z | X) ∝ prod_i q(z | x_i) / p(z)^(N - 1)

    Every `q(z | x_i)` is a posterior, not an expert beside the prior. The quotient is a
    distribution where the precisions add up to more than `N - 1`; here each posterior's
    variance is `sigmoid(s)` of the network's output s, below the prior's 1, so that it
    always is. Then `q(z | x_i) / p(z)` is Gaussian with log-variance s and mean
    `loc_i (1 + exp(s))`, and the posterior of any subset, the empty one too, is the prior
    times these.

    The objective, and what it can do, are those of `MVAE`.
    """

    def experts(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None = None, training: bool = False
    ) -> dict[str, tfp.distributions.Distribution]:
        """Returns each given modality's own posterior `q(z | x_i)`, which holds the prior."""
        quotients = super().experts(x, mask, training)
        posteriors = {}
        for name, quotient in quotients.items():
            log_variance = 2 * tf.math.log(quotient.stddev())
            loc = quotient.mean() * tf.math.sigmoid(-log_variance)
            posteriors[name] = diagonal_normal(loc, tf.math.log_sigmoid(log_variance))
        return posteriors

    def _encode_one(self, modality, value, mask, training):
        loc, raw = modality.encode(value, mask, training)
        limit = log_variance_limit(raw.dtype)
        raw = tf.clip_by_value(raw, -limit, limit)
        return loc * (1 + tf.exp(raw)), raw
