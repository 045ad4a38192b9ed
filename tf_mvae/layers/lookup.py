"""Networks of few different inputs, run once an input instead of once a row."""

import itertools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_mvae.layers.grouped import GroupedDense, GroupedEmbedding
from tf_mvae.layers.sequential import MaskedSequential

__all__ = ["looked_up", "num_inputs", "once_an_input"]

# Layers that compute every row separately, without random numbers.
_ROW_BY_ROW = (
    GroupedDense,
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.Flatten,
    keras.layers.Reshape,
)


def num_inputs(*networks: keras.layers.Layer) -> int | None:
    """Returns how many different inputs of one number networks in a row have, if these are few.

    That is so where the first begins with an embedding, and what follows treats every row by
    itself: together they are then a table. None where it does not (batch normalisation mixes
    rows, dropout draws for each), or where that cannot be known.

    Example:

    ```python
    num_inputs(mlp_encoder([512, 512], num_classes=10))   # 10
    num_inputs(mlp_encoder([512, 512]))                   # None
    ```
    """
    first, *rest = itertools.chain.from_iterable(
        network.layers if isinstance(network, MaskedSequential) else [network]
        for network in networks
    )
    if any(type(layer) not in _ROW_BY_ROW for layer in rest):
        return None
    if type(first) is GroupedEmbedding:
        return first.num_classes
    if type(first) is keras.layers.Embedding and not first.mask_zero:
        return first.input_dim
    return None


def once_an_input(
    networks: Sequence[keras.layers.Layer],
    run: Callable[[tf.Tensor, tf.Tensor, bool], tf.Tensor],
    inputs: tf.Tensor,
    mask: tf.Tensor,
    training: bool,
) -> tf.Tensor:
    """Returns `run(inputs, mask, training)`, of each different input once where these are fewer.

    Args:
        networks: What `run` runs, one after the other.
        run: Gives `[..., rows, size]`.
        inputs: `[..., rows]`, or rows of more than one number, which all run.
        mask: 1 where a row counts, `[..., rows]`.
        training: Whether this is a training step.
    """
    mask = tf.convert_to_tensor(mask)
    number = num_inputs(*networks)
    if inputs.shape.rank > mask.shape.rank or not number or number >= (inputs.shape[-1] or 0):
        return run(inputs, mask, training)
    shape = [*inputs.shape[:-1], number]
    every = tf.broadcast_to(tf.range(number, dtype=inputs.dtype), shape)
    return looked_up(run(every, tf.ones(shape), training), inputs)


def looked_up(table: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """Returns the table's rows, `[..., rows, size]`.

    A product with 0s and 1s, whose gradient is one as well: for a few classes it takes less
    time than gathering rows and adding up their gradients.

    Args:
        table: `[..., classes, size]`.
        inputs: Classes, `[..., rows]`.
    """
    one_hot = tf.one_hot(tf.cast(inputs, tf.int32), table.shape[-2], dtype=table.dtype)
    return tf.matmul(one_hot, table)
