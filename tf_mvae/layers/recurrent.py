"""Recurrent encoder and decoder of sequences of symbols.

Ids are laid out as described in `tf_mvae.ops.tokens`. The paper's networks for MultiMNIST's text
are the defaults: embeddings of 200, a bidirectional GRU of 200 whose two outputs are added up, and
two layers of GRU of 200 to decode (Wu and Goodman, NeurIPS 2018, appendix).
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.layers.dropout import next_seed
from tf_mvae.ops import random
from tf_mvae.ops.loops import outputs_of_steps, unrolled_loops
from tf_mvae.ops.tokens import END, FIRST_WORD, START, counted

__all__ = ["POOLINGS", "RecurrentDecoder", "RecurrentEncoder", "unrolled"]

POOLINGS = ("last", "max")


@contextlib.contextmanager
def unrolled(*networks: keras.layers.Layer) -> Iterator[None]:
    """Makes recurrent layers that are traced inside straight-line programs, without loops.

    LiteRT converts such programs only. The results are those of the loops. A program holds as
    many copies of a step as its sequence has steps, so their number must be known.

    Args:
        *networks: Layers and models. All of Keras' recurrent layers inside them are unrolled
            (GRU, LSTM, a user's own included); this package's own loops are in any case.

    Example:

    ```python
    with unrolled(model):
        concrete = tf.function(model.encode).get_concrete_function(...)
    ```
    """
    inside = [layer for network in networks for layer in network._flatten_layers()]
    recurrent = [layer for layer in inside if isinstance(layer, keras.layers.RNN)]
    before = [layer.unroll for layer in recurrent]
    try:
        for layer in recurrent:
            layer.unroll = True
        with unrolled_loops():
            yield
    finally:
        for layer, own in zip(recurrent, before, strict=True):
            layer.unroll = own


@keras.saving.register_keras_serializable("tf_mvae")
class RecurrentEncoder(keras.layers.Layer):
    """Encodes a sequence in both directions, and sums the states of the two.

    With `pooling="last"` the forward GRU's state is taken behind the last symbol, the backward
    one's in front of the first, so that both have read everything. With `pooling="max"` the states
    of both are summed at every symbol, and the features are the greatest value of each unit over
    the symbols (Conneau et al., EMNLP 2017): the gradient of a feature reaches the symbol that it
    is about without passing through the states behind it.

    Features do not depend on how much padding there is. A sequence of nothing has features 0. A
    symbol that is not known (`tf_mvae.ops.tokens.GAP`) has an embedding of its own.

    Example:

    ```python
    RecurrentEncoder(12)(tf.constant([[4, 7, 2, 0, 0]])).shape      # [1, 200]
    ```
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 200,
        units: int = 200,
        pooling: str = "last",
        **kwargs,
    ):
        """Creates the layer, from ids `[batch, length]` to `[batch, units]`.

        Args:
            vocabulary_size: How many ids there are.
            embedding_size: Numbers that stand for an id.
            units: Size of each direction's state.
            pooling: `'last'` or `'max'`: how states become features.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: A size is not an integer of 1 or more, or the pooling is neither.
        """
        super().__init__(**kwargs)
        self.vocabulary_size = checks.positive_integer("vocabulary_size", vocabulary_size)
        self.embedding_size = checks.positive_integer("embedding_size", embedding_size)
        self.units = checks.positive_integer("units", units)
        self.pooling = checks.one_of("pooling", pooling, POOLINGS)
        self.embedding = keras.layers.Embedding(self.vocabulary_size, self.embedding_size)
        every = {"return_sequences": self.pooling == "max"}
        # cuDNN's kernel does not work under XLA, and differs from the CPU's. Two layers,
        # not `Bidirectional`: it makes its two from the configuration of a third that it drops,
        # and while a model is loaded Keras knows layers by their addresses, so that the next
        # encoder, whose third may stand at the same address, is handed this one's layers.
        self.forward = keras.layers.GRU(self.units, use_cudnn=False, **every)
        self.backward = keras.layers.GRU(self.units, use_cudnn=False, go_backwards=True, **every)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights."""
        self.embedding.build(input_shape)
        for direction in (self.forward, self.backward):
            direction.build((*input_shape, self.embedding_size))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns features of ids `[batch, length]`."""
        symbols, mask = self.embedding(inputs), counted(inputs, gaps=True)
        forward, backward = self.forward(symbols, mask=mask), self.backward(symbols, mask=mask)
        if self.pooling == "last":
            return forward + backward
        states = forward + tf.reverse(backward, [1])  # [batch, length, units]
        there = tf.cast(mask, tf.bool)[..., tf.newaxis]
        greatest = tf.reduce_max(tf.where(there, states, states.dtype.min), axis=1)
        return tf.where(tf.reduce_any(there, axis=1), greatest, tf.zeros_like(greatest))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple:
        """Returns `[batch, units]`."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "pooling": self.pooling,
        }


@keras.saving.register_keras_serializable("tf_mvae")
class RecurrentDecoder(keras.layers.Layer):
    """Generates a sequence symbol by symbol: layers of GRU with a context as input of every step.

    It is the network of `tf_mvae.likelihoods.TokenSequence`. The first layer sees the
    embedding of the symbol before and the context, and all layers' first states are made of
    the context. The GRU is that of Cho et al. (EMNLP 2014) in cuDNN's form, where the reset
    gate acts behind the recurrent product.

    What the first layer makes of a symbol does not depend on the context, so with many
    contexts for one sequence (terms of an ELBO, importance samples) it is computed once.

    In training, word dropout hides symbols from the steps behind them (Bowman et al., *Generating
    sentences from a continuous space*, CoNLL 2016), so that the latent is needed: their
    embedding is omitted. Draws follow from the step's seed, as `SeededDropout`'s.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 200,
        units: int = 200,
        num_layers: int = 2,
        word_dropout: float = 0.0,
        **kwargs,
    ):
        """Creates the layer.

        Args:
            vocabulary_size: How many ids there are.
            embedding_size: Numbers that stand for an id.
            units: Size of each layer's state.
            num_layers: The number of layers.
            word_dropout: Share of symbols that training hides.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            ValueError: There is no layer, or word dropout is not in [0, 1].
        """
        super().__init__(**kwargs)
        self.vocabulary_size = checks.integer("vocabulary_size", vocabulary_size, FIRST_WORD + 1)
        self.embedding_size = checks.positive_integer("embedding_size", embedding_size)
        self.units = checks.positive_integer("units", units)
        self.num_layers = checks.positive_integer("num_layers", num_layers)
        self.word_dropout = checks.fraction("word_dropout", word_dropout)
        gates, dense = 3 * self.units, keras.layers.Dense
        self.embedding = keras.layers.Embedding(self.vocabulary_size, self.embedding_size)
        self.from_symbol = dense(gates, use_bias=False)
        self.from_context = dense(gates)
        self.from_below = [dense(gates) for _ in range(self.num_layers - 1)]
        self.from_state = [
            dense(gates, kernel_initializer="orthogonal") for _ in range(self.num_layers)
        ]
        self.first_state = dense(self.num_layers * self.units, "tanh")
        self.to_logits = dense(self.vocabulary_size - END)

    def build(
        self, context_shape: Sequence[int | None], tokens_shape: Sequence[int | None]
    ) -> None:
        """Makes the weights."""
        self.embedding.build(tuple(tokens_shape))
        self.from_symbol.build((None, self.embedding_size))
        for layer in (self.from_context, self.first_state):
            layer.build((None, context_shape[-1]))
        for layer in (*self.from_below, *self.from_state, self.to_logits):
            layer.build((None, self.units))

    def call(self, context: tf.Tensor, tokens: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits of each symbol given those before it, with teacher forcing.

        Args:
            context: `[..., size]`.
            tokens: Ids, `[..., length]`; leading axes broadcast against the context's.
            training: Whether words are dropped.

        Returns:
            `[..., length, vocabulary_size - 2]`, for the ids from `END` on.
        """
        by_time = _time_first(self._read(tokens, training))
        constant, state = self.start(context)
        lead = _broadcast_lead(context, tokens)
        state = [_as_rows(part, lead) for part in state]

        def advance(step, state):
            gates = by_time[step] + constant  # which broadcasts
            return self._step(tf.reshape(gates, [-1, gates.shape[-1]]), state)

        outputs = outputs_of_steps(advance, state, tokens.shape[-1] or tf.shape(tokens)[-1])
        logits = self.to_logits(tf.transpose(outputs, [1, 0, 2]))
        return tf.reshape(logits, tf.concat([lead, tf.shape(logits)[1:]], 0))

    def start(self, context: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the context's inputs to the gates, and the layers' initial states.

        Args:
            context: `[..., size]`.
        """
        return self.from_context(context), tf.split(
            self.first_state(context), self.num_layers, axis=-1
        )

    def step(
        self, previous: tf.Tensor, constant: tf.Tensor, state: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Takes one step.

        Args:
            previous: The ids before, `[rows]`; `START` at the first step.
            constant: The context's inputs to the gates from `start`, `[rows, gates]`.
            state: The state, of `start` or the step before.

        Returns:
            Logits of the next ids from `END` on, `[rows, vocabulary_size - 2]`, and the state.
        """
        gates = self.from_symbol(self.embedding(previous)) + constant
        output, state = self._step(gates, state)
        return self.to_logits(output), state

    def compute_output_shape(
        self, context_shape: Sequence[int | None], tokens_shape: Sequence[int | None]
    ) -> tuple:
        """Returns `[..., length, vocabulary_size - 2]`."""
        lead = tf.broadcast_static_shape(
            tf.TensorShape(context_shape[:-1]), tf.TensorShape(tokens_shape[:-1])
        )
        return (*lead, tokens_shape[-1], self.vocabulary_size - END)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "num_layers": self.num_layers,
            "word_dropout": self.word_dropout,
        }

    def _read(self, tokens: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the previous symbol's inputs to the gates, `[..., length, gates]`."""
        first = tf.zeros_like(tokens[..., :1]) + START
        previous = tf.concat([first, tokens[..., :-1]], axis=-1)
        gates = self.from_symbol(self.embedding(previous))
        if not (training and self.word_dropout):
            return gates
        uniform = random.stateless_uniform(tf.shape(previous), next_seed(self.name))
        keep = (uniform >= self.word_dropout) | (previous == START)
        return gates * tf.cast(keep, gates.dtype)[..., tf.newaxis]

    def _step(self, gates: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Takes one step of all layers; returns the topmost one's output, and the states."""
        following = []
        for index, own in enumerate(state):
            if index:
                gates = self.from_below[index - 1](following[-1])
            following.append(_gru(gates, self.from_state[index](own), own))
        return following[-1], following


def _gru(from_input: tf.Tensor, from_state: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    """Returns a GRU's next state, `[rows, units]`.

    Args:
        from_input: The input's part of the update gate, the reset gate and the
            candidate, `[rows, 3 * units]`.
        from_state: The state's part of them, of the same shape.
        state: The state, `[rows, units]`.
    """
    update, reset, new = tf.split(from_input, 3, axis=-1)
    update_of_state, reset_of_state, new_of_state = tf.split(from_state, 3, axis=-1)
    update = tf.sigmoid(update + update_of_state)
    candidate = tf.tanh(new + tf.sigmoid(reset + reset_of_state) * new_of_state)
    return candidate + update * (state - candidate)


def _time_first(tensor: tf.Tensor) -> tf.Tensor:
    """Moves the second last axis to the front."""
    last = tensor.shape.rank - 1
    return tf.transpose(tensor, [last - 1, *range(last - 1), last])


def _broadcast_lead(*tensors: tf.Tensor) -> tf.Tensor:
    """Returns the shape to which all but the last axes broadcast, a constant where known."""
    one, other = (tensor.shape[:-1] for tensor in tensors)
    if one.is_fully_defined() and other.is_fully_defined():
        return tf.constant(tf.broadcast_static_shape(one, other).as_list(), tf.int32)
    return tf.broadcast_dynamic_shape(*(tf.shape(tensor)[:-1] for tensor in tensors))


def _as_rows(tensor: tf.Tensor, lead: tf.Tensor) -> tf.Tensor:
    """Returns `[rows, size]`, once for each entry of the leading axes."""
    size = tensor.shape[-1]
    return tf.reshape(tf.broadcast_to(tensor, tf.concat([lead, [size]], 0)), [-1, size])
