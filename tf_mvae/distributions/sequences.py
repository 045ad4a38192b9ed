"""Sequences of symbols, each symbol given those before it.

    p(x) = prod_t p(x_t | x_1 .. x_(t-1), context),   up to and including the end

`tf_mvae.distributions.token_sequence` is the likelihood of a modality whose latent makes the
context.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tf_mvae.distributions.beam_search import beam_search
from tf_mvae.errors import UserError
from tf_mvae.ops import random
from tf_mvae.ops.loops import bounded_loop
from tf_mvae.ops.tokens import END, GAP, PAD, START, blank_rest

__all__ = ["TokenSequences"]


class TokenSequences(tfd.Distribution):
    """A distribution of symbol sequences given a context and an autoregressive network.

    Events are rows of ids, int32 `[length]`, as `tf_mvae.ops.tokens` has them. The
    probabilities of all sequences add up to 1; a row without an end has the probability of
    all sequences that begin so, and anything after an end does not count. `log_prob(value,
    gaps=True)` is that of the known symbols if some are a `GAP`:

        sum over known t of log p(x_t | what is known of x_1 .. x_(t-1), context)

    Of gaps at the end that is the exact marginal probability. Behind a gap the network predicts
    without the symbol, as it learns to from data with gaps.

    The network is a Keras layer that offers

    - `network(context, tokens, training=False)`: logits of every next symbol with the given
      ones before it (teacher forcing), `[..., length, vocabulary_size - 2]`, where the leading
      axes of context and tokens broadcast;
    - `network.start(context)`: what it carries from step to step for `context` `[rows, size]`:
      a constant part and a state, each a structure of tensors `[rows, ...]`;
    - `network.step(previous, constant, state)`: logits `[rows, vocabulary_size - 2]` of the
      symbol behind `previous` `[rows]`, and the next state.

    Logits are those of `END` and the words, ids 2 to `vocabulary_size - 1`: padding and start
    are never said. `tf_mvae.layers.RecurrentDecoder` is such a network.

    Example:

    ```python
    network = tf_mvae.layers.RecurrentDecoder(vocabulary_size=12)
    said = TokenSequences(tf.zeros([4, 64]), network, length=8)
    said.sample(3, seed=[0, 1], temperature=0.5).shape      # [3, 4, 8]
    said.log_prob(said.mode())                              # [4], in nats
    sequences, log_prob = said.beam_search(width=5)         # [4, 5, 8], [4, 5]
    ```
    """

    def __init__(
        self,
        context: tf.Tensor,
        network: keras.layers.Layer,
        length: int,
        validate_args: bool = False,
        name: str = "TokenSequences",
    ):
        """Creates the distribution.

        Args:
            context: The network's input at every step, `[..., size]`.
            network: See the class.
            length: The most symbols of a sequence, its end among them.
            validate_args: As in TFP; there is nothing to validate.
            name: Name of the operations.
        """
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._context = tf.convert_to_tensor(context, tf.float32)
            self._network = network
            self._length = int(length)
            super().__init__(
                dtype=tf.int32,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=True,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(
        cls, dtype: tf.DType, num_classes: int | None = None
    ) -> dict[str, tfp.util.ParameterProperties]:
        return {"context": tfp.util.ParameterProperties(event_ndims=1)}

    @property
    def context(self) -> tf.Tensor:
        """The network's input at every step, `[..., size]`."""
        return self._context

    def _batch_shape(self):
        return self._context.shape[:-1]

    def _batch_shape_tensor(self, context=None):
        return tf.shape(self._context if context is None else context)[:-1]

    def _event_shape(self):
        return tf.TensorShape([self._length])

    def _event_shape_tensor(self):
        return tf.constant([self._length], tf.int32)

    def _log_prob(self, value, training=False, gaps=False):
        value = blank_rest(tf.cast(value, tf.int32), gaps)
        alone = self._context.shape.rank == value.shape.rank == 1  # networks want a batch
        context = self._context if self._context.shape.rank > 1 else self._context[tf.newaxis]
        # The steps behind a gap see padding before them, which no step of a whole sequence does.
        seen = tf.where(value == GAP, PAD, value) if gaps else value
        logits = self._network(context, seen, training=training)
        logits = tf.cast(logits[0] if alone else logits, tf.float32)
        counts = value >= END  # gaps and padding do not count
        labels = tf.broadcast_to(tf.where(counts, value - END, 0), tf.shape(logits)[:-1])
        surprise = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return -tf.reduce_sum(tf.where(counts, surprise, 0.0), axis=-1)

    def _mode(self):
        """The greedy sequence, which is not always the most probable one: see `beam_search`."""
        found = self._say(self._rows(), lambda step, logits: _argmax(logits))
        return self._shaped(found)

    def _sample_n(self, n, seed=None, temperature=1.0):
        # A number, too, gives the same sequences each time; TFP would count its calls.
        seed = tfp.random.sanitize_seed([0, seed] if isinstance(seed, int) else seed)
        temperature = tf.convert_to_tensor(temperature, tf.float32)

        def choose(step, logits):
            uniform = random.stateless_uniform(tf.shape(logits), random.fold_in(seed, step))
            # Gumbel's maximum: logits and noise of 2^-25 steps, never the logarithm of 0.
            uniform = tf.clip_by_value(uniform, 2.0**-25, 1 - 2.0**-24)
            noise = -tf.math.log(-tf.math.log(uniform))
            return _argmax(logits + temperature * noise)

        found = self._say(tf.tile(self._rows(), [n, 1]), choose)
        return self._shaped(found, [n])

    def completion(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns sequences with the known symbols, and greedy ones in the gaps, `[..., length]`.

        A sequence ends in a gap only if no known symbol follows. With nothing known it is the mode.

        Args:
            tokens: Ids, int32 `[..., length]`, as many rows as contexts; `GAP` where they are not
                known. The rest of a row without an end is not known either.
        """
        rows = blank_rest(tf.reshape(tokens, [-1, self._length]), gaps=True)
        known = rows >= END
        # Whether a known symbol follows, [rows, length].
        count = tf.cumsum(tf.cast(known, tf.int32), axis=-1, exclusive=True, reverse=True)
        follows = count > 0

        def choose(step, logits):
            word = 1 + _argmax(logits[:, 1:])  # the end is the first of the logits
            best = tf.where(follows[:, step], word, _argmax(logits))
            return tf.where(known[:, step], rows[:, step] - END, best)

        return self._shaped(self._say(self._rows(), choose))

    def beam_search(self, width: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Looks for the most probable sequences, keeping `width` beginnings at every step.

        Args:
            width: The number of sequences; if it is that of all sequences, the first one is the
                mode.

        Returns:
            Sequences int32 `[..., width, length]`, the most probable first, and their
            log-probabilities `[..., width]`; -inf for sequences beyond those that there are.

        Raises:
            ValueError: `width` is below 1.
        """
        if width < 1:
            raise UserError(f"width must be at least 1; it is {width}")
        rows = tf.repeat(self._rows(), width, axis=0)
        tokens, score = beam_search(self._network, rows, self._length, width)
        lead = tf.concat([self._batch_shape_tensor(), [width]], 0)
        return (
            tf.reshape(tokens, tf.concat([lead, [self._length]], 0)),
            tf.reshape(score, lead),
        )

    def _rows(self) -> tf.Tensor:
        return tf.reshape(self._context, [-1, self._context.shape[-1]])

    def _shaped(self, found: tf.Tensor, before: Sequence[Any] = ()) -> tf.Tensor:
        shape = [before, self._batch_shape_tensor(), [self._length]]
        return tf.reshape(found, tf.concat([tf.cast(part, tf.int32) for part in shape], 0))

    def _say(
        self, context: tf.Tensor, choose: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Generates sequences, `[rows, length]`, of symbols from `choose(step, logits)`."""
        constant, state = self._network.start(context)
        first = tf.fill(tf.shape(context)[:1], START)
        tokens = tf.fill(tf.stack([tf.shape(context)[0], self._length]), PAD)
        places = tf.range(self._length)

        def going(step, previous, *_):
            return tf.reduce_any(previous != PAD)

        def say(step, previous, tokens, state):
            logits, state = self._network.step(previous, constant, state)
            chosen = choose(step, tf.cast(logits, tf.float32)) + END
            over = (previous == END) | (previous == PAD)
            chosen = tf.where(over, PAD, chosen)
            return step + 1, chosen, tf.where(places == step, chosen[:, tf.newaxis], tokens), state

        start = (tf.constant(0), first, tokens, state)
        return bounded_loop(going, say, start, self._length)[2]


def _argmax(logits: tf.Tensor) -> tf.Tensor:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
