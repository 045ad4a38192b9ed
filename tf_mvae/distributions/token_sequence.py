"""The likelihood of a sequence of symbols, each symbol given those before it."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.distributions.sequences import TokenSequences
from tf_mvae.errors import UserError
from tf_mvae.ops.tokens import END, FIRST_WORD, PAD, blank_rest

__all__ = ["TokenSequence"]


@keras.saving.register_keras_serializable("tf_mvae")
class TokenSequence(Likelihood):
    """Likelihood of a sentence, a string of digits: ids `[length]`, each given those before.

    A modality's decoder outputs the context, which the network sees at every step next to the
    symbol before. Data are integers in `0 .. vocabulary_size - 1`, laid out as described in
    `tf_mvae.ops.tokens`: words, an end, padding. The network's weights are trained and
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
            vocabulary_size: The number of ids, including the three symbols.
            length: The most symbols of a sequence, its end among them.
            network: The network that predicts each symbol, such as
                `tf_mvae.layers.RecurrentDecoder`.
            context_size: The number of a decoder's outputs for a latent.
            words: The words of the ids, in order, for readable text; default: the ids.

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
            raise UserError(
                f"vocabulary_size must be above {FIRST_WORD}: a sequence needs a word next to its "
                f"{FIRST_WORD} symbols; it is {vocabulary_size}"
            )
        if words is not None and len(words) != vocabulary_size:
            raise UserError(f"words holds {len(words)} for {vocabulary_size} ids")
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
        """See `Likelihood.rows_per_example`: one per symbol."""
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
        """Converts rows of ids to readable text.

        Args:
            ids: `[rows, length]`; anything after an end is ignored.

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
        """Casts ids to int32, with padding for anything after an end."""
        return blank_rest(tf.cast(value, self.dtype))

    def fits(self, shape: tf.TensorShape) -> bool:
        """Accepts shorter rows as well: the rest is padding."""
        return shape.rank == 1 and (shape[0] is None or shape[0] <= self.length)

    def accepts(self, dtype: tf.DType) -> bool:
        """Accepts integers only."""
        return dtype.is_integer

    def describe_range(self) -> str:
        """See `Likelihood.describe_range`."""
        return (
            f"integers in 0..{self.vocabulary_size - 1}: words from {FIRST_WORD} on, then {END} "
            f"for the end and {PAD} for padding"
        )
