"""The result of importance sampling: an estimate of each example's log-likelihood."""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """An importance-sampled log-likelihood of each example, in nats.

    Attributes:
        log_likelihood: The estimate, `[batch]`; 0 if the target is missing.
        standard_error: Its standard error over the samples, `[batch]`, estimated from the sampled
            weights. It is too small (by half, say) if the effective sample size is below some tens,
            because the largest weights were not sampled. For a conditional likelihood from shared
            samples it is a jackknife over 100 blocks of samples, NaN for one block.
        effective_sample_size: `(sum w)^2 / sum w^2`, between 1 and the number of
            samples, `[batch]`. For a conditional likelihood from shared samples it is the smaller
            one of numerator and denominator.
        log_weight_variance: The variance of `log w` over the samples, in nats^2, `[batch]`.
        path: The estimate from the first samples only, `[chunk, batch]`.
        path_samples: The number of samples of each entry of `path`, `[chunk]`.
    """

    log_likelihood: tf.Tensor
    standard_error: tf.Tensor
    effective_sample_size: tf.Tensor
    log_weight_variance: tf.Tensor
    path: tf.Tensor
    path_samples: tf.Tensor

    def minus(self, other: "Estimate") -> "Estimate":
        """Returns the difference of two estimates from independent samples.

        The standard error is `sqrt(e_1^2 + e_2^2)`. The effective sample size and the variance of
        the log weights are those of this estimate.

        Args:
            other: The estimate to subtract.
        """
        return self._replace(
            log_likelihood=self.log_likelihood - other.log_likelihood,
            standard_error=tf.sqrt(self.standard_error**2 + other.standard_error**2),
            path=self.path - other.path,
        )
