"""Sequences whose context is not known for certain: a mixture over several contexts."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae.distributions.sequences import TokenSequences
from tf_mvae.ops.tokens import END

__all__ = ["mixture_of_contexts", "mixture_of_sequences"]


def mixture_of_contexts(likelihood: Any, parameters: tf.Tensor) -> TokenSequences:
    """Returns the mixture of a `TokenSequence` over a decoder's outputs for several latents.

    Args:
        likelihood: The likelihood.
        parameters: Decoder outputs, `[K, rows, size]`, with a static K.
    """
    shape = [None, parameters.shape[0], *likelihood.parameter_shape]
    contexts = tf.ensure_shape(tf.transpose(parameters, [1, 0, 2]), shape)
    return mixture_of_sequences(contexts, likelihood.network, likelihood.length)


def mixture_of_sequences(
    contexts: tf.Tensor, network: keras.layers.Layer, length: int
) -> TokenSequences:
    """Returns the distribution of sequences that is a mean over contexts, to be decoded.

        p(x) = (1 / K) sum_k p(x | context_k)

    With contexts of samples `z ~ q(z | source)` it is what a VAE holds `p(x | source)` for. Greedy
    decoding, sampling and beam search use the probabilities of the mixture: at each step the weight
    of a context is the probability of the previous symbols under it. `log_prob` is not offered: it
    is `tf.reduce_logsumexp` of the contexts' own.

    Args:
        contexts: `[rows, K, size]`.
        network: As of `TokenSequences`, with a `vocabulary_size`.
        length: The most symbols of a sequence.

    Example:

    ```python
    sequences, log_prob = mixture_of_sequences(tf.zeros([4, 16, 64]), network, 8).beam_search(5)
    ```
    """
    number = contexts.shape[1]
    rows = tf.reshape(contexts, [-1, number * contexts.shape[2]])
    return TokenSequences(rows, _Mixture(network, number), length)


class _Mixture:
    """A network that runs another one for each context, and mixes the probabilities."""

    def __init__(self, network: keras.layers.Layer, number: int):
        self._network, self._number = network, number

    def start(self, context: tf.Tensor) -> tuple[Any, Any]:
        contexts = tf.reshape(context, [-1, context.shape[-1] // self._number])
        constant, state = tf.nest.map_structure(self._apart, self._network.start(contexts))
        symbols = self._network.vocabulary_size - END
        shape = tf.stack([tf.shape(context)[0], self._number, symbols])
        # Each context's weight, and its last logits, which update the weight.
        weight = tf.fill(shape[:2], -tf.math.log(float(self._number)))
        last = tf.ensure_shape(tf.zeros(shape), [None, self._number, symbols])
        return constant, (tf.ensure_shape(weight, [None, self._number]), last, state)

    def step(self, previous: tf.Tensor, constant: Any, state: Any) -> tuple[tf.Tensor, Any]:
        weight, last, inner = state
        # Before the first step all said the same, and behind an end nothing matters.
        symbol = tf.maximum(previous - END, 0)
        weight += tf.gather(last, symbol, axis=2, batch_dims=1)
        weight -= tf.reduce_logsumexp(weight, axis=1, keepdims=True)
        logits, inner = self._network.step(
            tf.repeat(previous, self._number),
            *(tf.nest.map_structure(self._together, part) for part in (constant, inner)),
        )
        log_prob = self._apart(tf.nn.log_softmax(tf.cast(logits, tf.float32)))
        mixed = tf.reduce_logsumexp(weight[:, :, tf.newaxis] + log_prob, axis=1)
        return mixed, (weight, log_prob, tf.nest.map_structure(self._apart, inner))

    def _apart(self, part: tf.Tensor) -> tf.Tensor:
        """Returns `[rows * K, ...]` as `[rows, K, ...]`."""
        return tf.reshape(part, tf.concat([[-1, self._number], tf.shape(part)[1:]], 0))

    def _together(self, part: tf.Tensor) -> tf.Tensor:
        return tf.reshape(part, tf.concat([[-1], tf.shape(part)[2:]], 0))
