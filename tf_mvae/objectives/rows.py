"""The number of rows of latents that a decoder runs for, among those that a batch may need."""

import functools
import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from tf_mvae.modality import Modality
from tf_mvae.ops import xla

__all__ = ["RowPlan", "log_likelihood_of"]

_ROUNDING = 1e-6  # a fraction of rows is a quotient: its rounding must not cost a row


class RowPlan:
    """Decodes the rows that are needed, or a little more where XLA compiles.

    A term with weight 0 for an example need not be decoded. Which rows (terms of examples) are
    needed is known at run time only. TensorFlow decodes these alone. XLA's shapes are static: there
    are programs for some numbers of rows, and the smallest one with enough rows runs. The largest
    one has all rows: a batch that needs more rows than expected takes longer, but its results are
    the same.

    Attributes:
        shares: By modality, the largest fraction of all terms of all examples that a training
            batch needs decoded, if known.
    """

    def __init__(self, shares: Mapping[str, float] | None = None):
        """Creates a plan; without shares every row may be needed."""
        self.shares = dict(shares or {})

    def log_likelihood(
        self,
        modality: Modality,
        value: tf.Tensor,
        z: tf.Tensor,
        counts: tf.Tensor,
        terms: int,
        drawn: int,
    ) -> tf.Tensor:
        """Returns a training step's `log_likelihood_of`, 0 where it does not count.

        Args:
            modality: A single modality.
            value: Its prepared data, `[batch, *event_shape]`.
            z: Samples, `[sample, row, batch, latent]`: a row is a term that may be decoded to the
                modality.
            counts: Above 0 where the likelihood counts, `[row, batch]`.
            terms: The number of all terms.
            drawn: The number of these terms that are sampled subsets: one sample serves the
                whole batch, so that a modality is in some of them, more, or all.
        """
        rows, batch = counts.shape
        name, compiling = modality.name, xla.is_compiling()
        if not self._spares(name, terms, rows, drawn) or _has_losses(modality.decoder):
            return log_likelihood_of(modality, value, z, counts, True)
        needed = tf.reduce_sum(tf.cast(counts > 0, tf.int32))
        if not compiling:
            # One at least: batch normalisation has no moments of no rows.
            return _few_log_likelihoods(modality, value, z, counts, tf.maximum(needed, 1))
        # XLA has no branches with loops of different lengths in them.
        unlike = not batch or modality.likelihood.is_sequence
        levels = [] if unlike else self._levels(name, terms, rows, batch, drawn)
        if len(levels) < 2:
            return log_likelihood_of(modality, value, z, counts, True)
        # Rows come into every program in the same way, since TensorFlow wants branches of like
        # intermediates.
        programs = [
            functools.partial(_few_log_likelihoods, modality, value, z, counts, level)
            for level in levels
        ]
        level = tf.reduce_sum(tf.cast(needed > tf.constant(levels[:-1]), tf.int32))
        return tf.switch_case(level, programs)

    def _spares(self, name: str, terms: int, rows: int, drawn: int) -> bool:
        """Returns whether a training batch may leave some rows undecoded; see `log_likelihood`."""
        if name in self.shares:
            return self.shares[name] * terms < rows - _ROUNDING
        return drawn > 0

    def _levels(self, name: str, terms: int, rows: int, batch: int, drawn: int) -> list[int]:
        """Returns the numbers of decoded rows that XLA has programs for, ascending."""
        everything = rows * batch
        if name in self.shares:
            expected = math.ceil(self.shares[name] * terms * batch - _ROUNDING)
            return sorted({max(1, min(expected, everything)), everything})
        levels = sorted({drawn // 2, (3 * drawn + 3) // 4, drawn})
        return [(rows - drawn + level) * batch for level in levels]


def _has_losses(decoder: keras.layers.Layer) -> bool:
    """Returns whether a decoder adds losses of what it computes, which cannot leave a branch."""
    layers = decoder._flatten_layers()
    return any(layer.activity_regularizer is not None or layer._losses for layer in layers)


def log_likelihood_of(
    modality: Modality, value: tf.Tensor, z: tf.Tensor, counts: tf.Tensor, training: bool
) -> tf.Tensor:
    """Returns `log p(value | z)` of a single modality, `[sample, term, batch]`; see `RowPlan`."""
    lead = tf.shape(z)[:3]
    rows = tf.reshape(z, [-1, z.shape[-1]])
    mask = tf.reshape(tf.broadcast_to(tf.cast(counts > 0, z.dtype), lead), [-1])
    parameters = modality.decode(rows, mask, training)
    shape = tf.concat([lead, modality.likelihood.parameter_shape], 0)
    return modality.log_prob_of_present(tf.reshape(parameters, shape), value, training)


def _few_log_likelihoods(
    modality: Modality, value: tf.Tensor, z: tf.Tensor, counts: tf.Tensor, rows: int | tf.Tensor
) -> tf.Tensor:
    """Returns `log_likelihood_of`, 0 where it does not count, decoding `rows` rows a sample.

    Rows that count are brought together, before others.
    """
    needed = tf.reshape(tf.cast(counts > 0, z.dtype), [-1])
    value = tf.stop_gradient(value)  # branches would return gradients of data that none wants
    chosen = tf.argsort(needed, direction="DESCENDING", stable=True)[:rows]
    there = tf.gather(needed, chosen)
    latent = tf.gather(tf.reshape(z, [tf.shape(z)[0], -1, z.shape[-1]]), chosen, axis=1)
    found = log_likelihood_of(
        modality,
        tf.gather(value, chosen % tf.shape(value)[0]),
        latent[:, tf.newaxis],
        there[tf.newaxis],
        True,
    )
    places = tf.one_hot(chosen, tf.shape(needed)[0], dtype=z.dtype)
    full = tf.matmul(found[:, 0] * there, places)  # [sample, term * batch]
    return tf.reshape(full, tf.shape(z)[:3])
