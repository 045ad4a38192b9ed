"""What importance sampling returns: an estimate of each example's log-likelihood."""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """An importance-sampled log-likelihood of each example, in nats.

    Attributes:
        log_likelihood: The estimate, `[batch]`; 0 where the whole target is missing.
        standard_error: Its standard error over the samples, `[batch]`, as the weights that
            were drawn show it: too small, by half say, where the effective sample size is
            below some tens, because the largest weights have not been drawn. Of a conditional
            likelihood from shared draws it is the jackknife's over 100 blocks of draws, NaN of
            one block.
        effective_sample_size: `(sum w)^2 / sum w^2`, between 1 and the number of
            samples, `[batch]`. Of a conditional likelihood from shared draws it is the smaller
            one of the two sums'.
        log_weight_variance: The variance of `log w` over the samples, `[batch]`.
        path: The estimate after some of the samples, `[chunk, batch]`.
        path_samples: After how many, `[chunk]`.
    """

    log_likelihood: tf.Tensor
    standard_error: tf.Tensor
    effective_sample_size: tf.Tensor
    log_weight_variance: tf.Tensor
    path: tf.Tensor
    path_samples: tf.Tensor

    def minus(self, other: "Estimate") -> "Estimate":
        """Returns the difference of two estimates whose draws are independent.

        Its standard error is the root of the sum of squares; effective sample size and variance
        of the log weights are those of this estimate.
        """
        return self._replace(
            log_likelihood=self.log_likelihood - other.log_likelihood,
            standard_error=tf.sqrt(self.standard_error**2 + other.standard_error**2),
            path=self.path - other.path,
        )
