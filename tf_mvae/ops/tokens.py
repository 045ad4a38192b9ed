"""Sequences of symbols as rows of ids: where they end, and what stands behind their end.

A sequence is a row of ids, `[length]`: words, then `END`, then padding up to the static length.
Three ids are the same for every vocabulary, and are SentencePiece's when it is trained with
`pad_id=0, bos_id=1, eos_id=2`: `PAD` 0, `START` 1, which only a decoder's first step sees, and
`END` 2. Words begin with 3.

A row that runs out without an `END` (in padding, or at the static length) is a beginning whose
rest is not known; a row of nothing but padding says nothing at all.
"""

import tensorflow as tf

__all__ = ["END", "FIRST_WORD", "PAD", "START", "blank_rest", "counted"]

PAD, START, END, FIRST_WORD = 0, 1, 2, 3


def counted(tokens: tf.Tensor) -> tf.Tensor:
    """Says which entries are said: words, and the first end; bool `[..., length]`.

    Nothing behind the first `END`, `PAD` or `START` is.

    Args:
        tokens: Ids, int32 `[..., length]`.

    Example:

    ```python
    counted(tf.constant([5, 4, 2, 9, 0]))   # [True, True, True, False, False]
    ```
    """
    symbols = tf.cast(tokens <= END, tf.int32)
    # Not a product of words: LiteRT has sums only.
    before = tf.math.cumsum(symbols, axis=-1, exclusive=True)
    return (before == 0) & (tokens >= END)


def blank_rest(tokens: tf.Tensor) -> tf.Tensor:
    """Returns ids with `PAD` for everything that is not said, `[..., length]`.

    Args:
        tokens: Ids, int32 `[..., length]`.
    """
    return tf.where(counted(tokens), tokens, PAD)
