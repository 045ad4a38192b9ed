"""Conditional likelihoods: ratios of two sums of importance weights over the same samples."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_mvae.ops.importance import LogWeightSums, log_add

__all__ = ["BlockSums", "RatioSums"]

# The lower bound of calibration factors.
_LEAST_FACTOR = 0.01


class BlockSums(NamedTuple):
    """Sums over blocks of samples, `[block, batch]` each; the jackknife omits one block at a time.

    Attributes:
        joint: `log sum w_k p(x_T | z_k)`.
        joint_part: `log sum part_k w_k p(x_T | z_k)`.
        given: `log sum w_k`.
        given_part: `log sum part_k w_k`.
        count: The number of samples.
        balance: The sum of `c_k = 2 part_k - 1`.
        squares: The sum of `c_k^2`.
    """

    joint: tf.Tensor
    joint_part: tf.Tensor
    given: tf.Tensor
    given_part: tf.Tensor
    count: tf.Tensor
    balance: tf.Tensor
    squares: tf.Tensor


class RatioSums(NamedTuple):
    """Sums for an estimate of a conditional likelihood.

        p(x_T | x_S) ~ sum_k u_k w_k p(x_T | z_k) / sum_k u_k w_k
        w_k = p(x_S | z_k) p(z_k) / q(z_k),   q = (q_0 + q_1) / 2
        u_k = 1 - a (c_k - mean c),           c_k = (q_0(z_k) - q_1(z_k)) / (q_0(z_k) + q_1(z_k))

    Both sums are over the same samples of the mixture q of `q_0 = q(z | x_T, x_S)` and
    `q_1 = q(z | x_S)`. The factors u are a control variate for mixtures (Owen and Zhou, JASA 2000):
    c has expectation 0, and the slope a makes its weighted mean 0 too. If both posteriors are
    exact, the estimate is then exact for any number of samples. The slope is bounded so that no
    factor is below 0.01, so the estimate is always a weighted mean of `p(x_T | z_k)`.

    Weights are stored relative to a reference weight of each example, which avoids rounding errors
    for large log-likelihoods.

    Attributes:
        reference: The largest `log w` of the first chunk, `[batch]`.
        joint: Sums of `w_k p(x_T | z_k)`.
        given: Sums of `w_k`.
        blocks: Sums over blocks of samples.
        low: The smallest `log p(x_T | z_k)` and the smallest `c_k`, `[2, batch]`.
        high: The largest ones, `[2, batch]`.
    """

    reference: tf.Tensor
    joint: LogWeightSums
    given: LogWeightSums
    blocks: BlockSums
    low: tf.Tensor
    high: tf.Tensor

    @classmethod
    def nothing(cls, size: int, blocks: int) -> "RatioSums":
        """Returns the sums over no samples, for `size` examples."""
        none, zeros = LogWeightSums.nothing(size), tf.zeros([blocks, size])
        least, ends = tf.fill([blocks, size], -math.inf), tf.fill([2, size], math.inf)
        sums = BlockSums(*[least] * 4, *[zeros] * 3)
        return cls(tf.zeros([size]), none, none, sums, ends, -ends)

    def add(
        self,
        log_weight: tf.Tensor,
        log_target: tf.Tensor,
        part: tf.Tensor,
        number: tf.Tensor,
        block: tf.Tensor,
    ) -> "RatioSums":
        """Adds the first `number` rows of a chunk.

        Args:
            log_weight: `log w`, `[chunk, batch]`.
            log_target: `log p(x_T | z)`, `[chunk, batch]`.
            part: `q_0(z) / (q_0(z) + q_1(z))`, `[chunk, batch]`; 1 if the proposal is not a
                mixture.
            number: The number of rows to add, a float32 scalar; the rest is ignored.
            block: The block of each row, int32 `[chunk]`.
        """
        first = self.given.count == 0
        reference = tf.where(first, tf.reduce_max(log_weight, axis=0), self.reference)
        given = log_weight - reference
        joint, balance = given + log_target, 2 * part - 1
        rows = tf.range(tf.cast(tf.shape(given)[0], number.dtype), dtype=number.dtype)
        counts = (rows < number)[:, tf.newaxis]
        log_part = tf.math.log(part)
        logs = [joint, joint + log_part, given, given + log_part]
        plain = [tf.ones_like(given), balance, balance**2]
        blocks = [
            _add_logs(one, tf.where(counts, more, -math.inf), block)
            for one, more in zip(self.blocks[:4], logs, strict=True)
        ]
        blocks += [
            one + tf.math.unsorted_segment_sum(tf.where(counts, more, 0.0), block, one.shape[0])
            for one, more in zip(self.blocks[4:], plain, strict=True)
        ]
        ends, counts = tf.stack([log_target, balance], axis=1), counts[..., tf.newaxis]
        return RatioSums(
            reference,
            self.joint.add(joint, number),
            self.given.add(given, number),
            BlockSums(*blocks),
            tf.minimum(self.low, tf.reduce_min(tf.where(counts, ends, math.inf), axis=0)),
            tf.maximum(self.high, tf.reduce_max(tf.where(counts, ends, -math.inf), axis=0)),
        )

    def log_ratio(self) -> np.ndarray:
        """Returns the estimate of `log p(x_T | x_S)`, `[batch]` float64.

        It is clipped to the range of `log p(x_T | z_k)`, so that rounding cannot make the estimated
        probability of a class larger than 1.
        """
        logs, plain = self.blocks[:4], self.blocks[4:]
        total = [np.logaddexp.reduce(np.asarray(part, np.float64)) for part in logs]
        total += [np.sum(np.asarray(part, np.float64), axis=0) for part in plain]
        return np.clip(self._calibrated(BlockSums(*total)), self.low[0], self.high[0])

    def log_ratios_without(self) -> np.ndarray:
        """Returns the estimate without each block, `[block, batch]` float64; NaN for one block."""
        logs, plain = self.blocks[:4], self.blocks[4:]
        rest = [_log_sum_without(np.asarray(part, np.float64)) for part in logs]
        sums = [np.asarray(part, np.float64) for part in plain]
        rest += [part.sum(axis=0) - part for part in sums]
        with np.errstate(invalid="ignore", divide="ignore"):  # one block only
            return self._calibrated(BlockSums(*rest))

    def _calibrated(self, sums: BlockSums) -> np.ndarray:
        """Returns the logarithm of the ratio of calibrated sums; see the class for the formula."""
        mean = sums.balance / sums.count
        variance = sums.squares / sums.count - mean**2
        some = variance > 1e-9
        slope = np.where(some, mean / np.where(some, variance, 1), 0)
        low, high = (np.asarray(end[1], np.float64) for end in (self.low, self.high))
        # Bounds of the slope: 1 - slope (c - mean) >= _LEAST_FACTOR at the smallest and largest c.
        most = 1 - _LEAST_FACTOR
        slope = np.clip(
            slope, -most / np.maximum(mean - low, 1e-9), most / np.maximum(high - mean, 1e-9)
        )
        # sum u w = sum w - slope sum w (c - mean) with c = 2 part - 1, relative to sum w.
        parts = [
            total + np.log1p(-slope * (2 * np.exp(part - total) - 1 - mean))
            for total, part in ((sums.joint, sums.joint_part), (sums.given, sums.given_part))
        ]
        return parts[0] - parts[1]


def _log_sum_without(blocks: np.ndarray) -> np.ndarray:
    """Returns the logarithm of the sum without each block, from logarithms of the blocks' sums."""
    # From sums of the blocks before and after: a difference of sums would lose digits.
    none = np.full([1, *blocks.shape[1:]], -np.inf)
    before = np.concatenate([none, np.logaddexp.accumulate(blocks)[:-1]])
    after = np.concatenate([none, np.logaddexp.accumulate(blocks[::-1])[:-1]])[::-1]
    return np.logaddexp(before, after)


def _add_logs(blocks: tf.Tensor, rows: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """Adds rows `[chunk, batch]` to their blocks `[block, batch]`; all are logarithms."""
    number = blocks.shape[0]
    largest = tf.math.unsorted_segment_max(rows, block, number)
    largest = tf.maximum(largest, rows.dtype.min)  # -inf - -inf is NaN
    parts = tf.exp(rows - tf.gather(largest, block))
    return log_add(
        blocks, largest + tf.math.log(tf.math.unsorted_segment_sum(parts, block, number))
    )
