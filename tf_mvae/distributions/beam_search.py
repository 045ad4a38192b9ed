"""Beam search: the most probable sequences of an autoregressive network."""

import keras
import tensorflow as tf

from tf_mvae.ops.loops import bounded_loop
from tf_mvae.ops.tokens import END, PAD, START

__all__ = ["beam_search"]


def beam_search(
    network: keras.layers.Layer, context: tf.Tensor, length: int, width: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Looks for the most probable sequences, keeping `width` beginnings at every step.

    Args:
        network: See `tf_mvae.distributions.sequences.TokenSequences`.
        context: What the network sees, the same for the beginnings of a row,
            `[rows * width, size]`.
        length: The most symbols of a sequence.
        width: The number of beginnings to keep.

    Returns:
        Ids int32 `[rows, width, length]`, the most probable first, and log-probabilities
        `[rows, width]`, -inf for sequences beyond those that there are.
    """
    constant, state = network.start(context)
    size = tf.shape(context)[0] // width
    # All beams are equal at first, so only the first one counts in the first step, [rows, width].
    score = tf.tile([[0.0] + [-float("inf")] * (width - 1)], [size, 1])
    previous = tf.fill(tf.stack([size, width]), START)
    tokens = tf.fill(tf.stack([size, width, length]), PAD)
    places = tf.range(length)

    def going(step, score, previous, *_):
        return tf.reduce_any(previous != PAD)

    def extend(step, score, previous, tokens, state):
        logits, state = network.step(tf.reshape(previous, [-1]), constant, state)
        symbols = logits.shape[-1]
        log_prob = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        log_prob = tf.reshape(log_prob, tf.stack([size, width, symbols]))
        over = (previous == END) | (previous == PAD)
        # A finished sequence continues only with padding, which has the place of `END`.
        stays = tf.where(tf.range(symbols) == 0, 0.0, -float("inf"))
        gain = tf.where(over[:, :, tf.newaxis], stays, log_prob)
        # The beams compete: the best `width` continuations of all, [rows, width * symbols].
        extended = tf.reshape(score[:, :, tf.newaxis] + gain, tf.stack([size, width * symbols]))
        score, best = tf.math.top_k(extended, width)
        parent, symbol = best // symbols, best % symbols

        def inherit(part):
            return tf.gather(part, parent, batch_dims=1)

        def inherit_rows(part):
            # [rows * width, ...] as [rows, width, ...]; `parent` indexes the second axis.
            beams = tf.reshape(part, tf.concat([[size, width], tf.shape(part)[1:]], 0))
            return tf.reshape(inherit(beams), tf.shape(part))

        chosen = tf.where(inherit(over), PAD, symbol + END)
        tokens = tf.where(places == step, chosen[:, :, tf.newaxis], inherit(tokens))
        return step + 1, score, chosen, tokens, tf.nest.map_structure(inherit_rows, state)

    start = (tf.constant(0), score, previous, tokens, state)
    _, score, _, tokens, _ = bounded_loop(going, extend, start, length)
    return tokens, score
