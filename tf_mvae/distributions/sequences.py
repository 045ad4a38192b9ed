"""Sequences of symbols, each symbol given those before it.

    p(x) = prod_t p(x_t | x_1 .. x_(t-1), context),   up to and including the end

`TokenSequences` is the distribution, `TokenSequence` the likelihood of a modality whose latent
makes the context.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.ops import random
from tf_mvae.ops.loops import bounded_loop
from tf_mvae.ops.tokens import END, FIRST_WORD, PAD, START, blank_rest, counted

__all__ = ["TokenSequence", "TokenSequences"]

tfd = tfp.distributions


class TokenSequences(tfd.Distribution):
    """A distribution of symbol sequences given a context and an autoregressive network.

    Events are rows of ids, int32 `[length]`, as `tf_mvae.ops.tokens` has them. The
    probabilities of all sequences add up to 1; a row without an end has the probability of
    all sequences that begin so, and what stands behind an end does not count.

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
            context: What the network sees at every step, `[..., size]`.
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
        """What the network sees at every step, `[..., size]`."""
        return self._context

    def _batch_shape(self):
        return self._context.shape[:-1]

    def _batch_shape_tensor(self, context=None):
        return tf.shape(self._context if context is None else context)[:-1]

    def _event_shape(self):
        return tf.TensorShape([self._length])

    def _event_shape_tensor(self):
        return tf.constant([self._length], tf.int32)

    def _log_prob(self, value, training=False):
        value = blank_rest(tf.cast(value, tf.int32))
        alone = self._context.shape.rank == value.shape.rank == 1  # networks want a batch
        context = self._context if self._context.shape.rank > 1 else self._context[tf.newaxis]
        logits = self._network(context, value, training=training)
        logits = tf.cast(logits[0] if alone else logits, tf.float32)
        counts = counted(value)
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

    def beam_search(self, width: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Looks for the most probable sequences, keeping `width` beginnings at every step.

        Args:
            width: How many; with as many as there are sequences, the first is the mode.

        Returns:
            Sequences int32 `[..., width, length]`, the most probable first, and their
            log-probabilities `[..., width]`; -inf for sequences beyond those that there are.

        Raises:
            ValueError: `width` is below 1.
        """
        if width < 1:
            raise ValueError(f"width must be at least 1; it is {width}")
        rows = tf.repeat(self._rows(), width, axis=0)
        tokens, score = _beam_search(self._network, rows, self._length, width)
        lead = tf.concat([self._batch_shape_tensor(), [width]], 0)
        return (
            tf.reshape(tokens, tf.concat([lead, [self._length]], 0)),
            tf.reshape(score, lead),
        )

    def _rows(self) -> tf.Tensor:
        return tf.reshape(self._context, [-1, self._context.shape[-1]])

    def _shaped(self, found: tf.Tensor, before: list = ()) -> tf.Tensor:
        shape = [before, self._batch_shape_tensor(), [self._length]]
        return tf.reshape(found, tf.concat([tf.cast(part, tf.int32) for part in shape], 0))

    def _say(
        self, context: tf.Tensor, choose: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """Says one sequence a row, `[rows, length]`, as `choose(step, logits)` picks symbols."""
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


def _beam_search(
    network: keras.layers.Layer, context: tf.Tensor, length: int, width: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Searches from `context` `[rows * width, size]`: tokens `[rows, width, length]`, scores."""
    constant, state = network.start(context)
    size = tf.shape(context)[0] // width
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
        # What is over goes on in one way, padding, which stands in the end's place.
        stays = tf.where(tf.range(symbols) == 0, 0.0, -float("inf"))
        gain = tf.where(over[:, :, tf.newaxis], stays, log_prob)
        extended = tf.reshape(score[:, :, tf.newaxis] + gain, tf.stack([size, width * symbols]))
        score, best = tf.math.top_k(extended, width)
        parent, symbol = best // symbols, best % symbols

        def inherit(part):
            return tf.gather(part, parent, batch_dims=1)

        def inherit_rows(part):
            beams = tf.reshape(part, tf.concat([[size, width], tf.shape(part)[1:]], 0))
            return tf.reshape(inherit(beams), tf.shape(part))

        chosen = tf.where(inherit(over), PAD, symbol + END)
        tokens = tf.where(places == step, chosen[:, :, tf.newaxis], inherit(tokens))
        return step + 1, score, chosen, tokens, tf.nest.map_structure(inherit_rows, state)

    start = (tf.constant(0), score, previous, tokens, state)
    _, score, _, tokens, _ = bounded_loop(going, extend, start, length)
    return tokens, score


def _argmax(logits: tf.Tensor) -> tf.Tensor:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


@keras.saving.register_keras_serializable("tf_mvae")
class TokenSequence(Likelihood):
    """Likelihood of a sentence, a string of digits: ids `[length]`, each given those before.

    A modality's decoder puts out the context, which the network sees at every step next to the
    symbol before. Data are integers in `0 .. vocabulary_size - 1`, laid out as
    `tf_mvae.ops.tokens` says: words, an end, padding. The network's weights are trained and
    saved with the modality.

    `expected_value` is the greedy sequence of ids, since sequences have no mean.

    Attributes:
        network: See `TokenSequences`.

    Example:

    ```python
    network = tf_mvae.layers.RecurrentDecoder(vocabulary_size=12, units=200, num_layers=2)
    text = Modality("text", TokenSequence(12, 6, network, context_size=200))
    ```
    """

    low = 0.0
    dtype = tf.int32
    placeholder = 0.0

    def __init__(
        self,
        vocabulary_size: int,
        length: int,
        network: keras.layers.Layer,
        context_size: int = 200,
        words: list[str] | None = None,
    ):
        """Creates the likelihood.

        Args:
            vocabulary_size: How many ids there are, the three symbols among them.
            length: The most symbols of a sequence, its end among them.
            network: What says each symbol, such as `tf_mvae.layers.RecurrentDecoder`.
            context_size: How many numbers a decoder makes of a latent.
            words: What the ids stand for, in order, for people to read; ids if omitted.

        Raises:
            ValueError: There is no word, no room for a symbol, or the words are not as many as
                the ids.
        """
        vocabulary_size = checks.positive_integer("vocabulary_size", vocabulary_size)
        length = checks.positive_integer("length", length)
        context_size = checks.positive_integer("context_size", context_size)
        if not isinstance(network, keras.layers.Layer):
            raise UserError(
                "network must be a Keras layer such as tf_mvae.layers.RecurrentDecoder; "
                f"it is {network!r}"
            )
        if vocabulary_size <= FIRST_WORD:
            raise ValueError(
                f"vocabulary_size must be above {FIRST_WORD}: a sequence needs a word in addition "
                f"to its {FIRST_WORD} symbols; it is {vocabulary_size}"
            )
        if words is not None and len(words) != vocabulary_size:
            raise ValueError(f"words holds {len(words)} for {vocabulary_size} ids")
        super().__init__((length,), (context_size,))
        self.vocabulary_size = vocabulary_size
        self.words = None if words is None else tuple(words)
        self.network = network
        self.high = float(vocabulary_size - 1)

    @property
    def is_sequence(self) -> bool:
        """Yes."""
        return True

    @property
    def length(self) -> int:
        """The most symbols of a sequence, its end among them."""
        return self.event_shape[0]

    @property
    def rows_per_example(self) -> int:
        """See `Likelihood.rows_per_example`: one a symbol."""
        return self.length

    def get_config(self) -> dict[str, Any]:
        """See `Likelihood.get_config`."""
        return {
            "vocabulary_size": self.vocabulary_size,
            "length": self.length,
            "network": keras.saving.serialize_keras_object(self.network),
            "context_size": self.parameter_shape[0],
            "words": None if self.words is None else list(self.words),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TokenSequence":
        """See `Likelihood.from_config`."""
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})

    def text(self, ids: Any) -> list[str]:
        """Returns what rows of ids say, for people.

        Args:
            ids: `[rows, length]`; what stands after an end is omitted.

        Returns:
            Words joined as they are, with a space for each of SentencePiece's U+2581; ids
            joined by spaces where the words are not known.
        """
        said = []
        for row in np.asarray(blank_rest(tf.constant(np.asarray(ids), tf.int32))):
            row = [number for number in row.tolist() if number > END]
            if self.words is None:
                said.append(" ".join(map(str, row)))
            else:
                whole = "".join(self.words[number] for number in row)
                said.append(whole.replace("\u2581", " ").strip())
        return said

    def build(self, parameters: tf.Tensor) -> None:
        """See `Likelihood.build`: makes the network's weights."""
        self.log_prob(parameters, tf.zeros([1, self.length], tf.int32))

    def distribution(self, parameters: tf.Tensor) -> TokenSequences:
        """See `Likelihood.distribution`."""
        return TokenSequences(parameters, self.network, self.length)

    def log_prob(
        self, parameters: tf.Tensor, value: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """See `Likelihood.log_prob`."""
        return self.distribution(parameters).log_prob(value, training=training)

    def expected_value(self, parameters: tf.Tensor) -> tf.Tensor:
        """Returns the greedy sequences, int32 `[..., length]`."""
        return self.distribution(parameters).mode()

    def expected_over_samples(self, parameters: tf.Tensor) -> tf.Tensor:
        """See `Likelihood.expected_over_samples`."""
        return self.expected_value(parameters[0])

    def prepare(self, value: tf.Tensor) -> tf.Tensor:
        """Casts ids to int32, with padding for whatever stands behind an end."""
        return blank_rest(tf.cast(value, self.dtype))

    def fits(self, shape: tf.TensorShape) -> bool:
        """Says yes to shorter rows as well: the rest is padding."""
        return shape.rank == 1 and (shape[0] is None or shape[0] <= self.length)

    def accepts(self, dtype: tf.DType) -> bool:
        """Says yes to integers only."""
        return dtype.is_integer

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return (
            f"integers in 0..{self.vocabulary_size - 1}: words from {FIRST_WORD} on, then {END} "
            f"for the end and {PAD} for padding"
        )
