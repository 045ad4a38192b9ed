"""Sequences of symbols as rows of ids, and masks of their symbols.

A sequence is a row of ids, `[length]`: words, then `END`, then padding up to the static length.
Three ids are the same for every vocabulary: `PAD` 0, `START` 1, which is only the input of a
decoder's first step, and `END` 2. The first word is 3. SentencePiece has the same ids if it is
trained with `pad_id=0, bos_id=1, eos_id=2`.

A row without `END` is the beginning of a sequence whose rest is unknown. A row of padding has no
known symbol.

In prepared data of a modality with an `element_mask`, `GAP` (the id of `START`, which no sequence
contains) is a symbol that is not known.
"""

import tensorflow as tf

__all__ = ["END", "FIRST_WORD", "GAP", "PAD", "START", "blank_rest", "counted"]

PAD, START, END, FIRST_WORD = 0, 1, 2, 3
GAP = START


def counted(tokens: tf.Tensor, gaps: bool = False) -> tf.Tensor:
    """Returns which entries belong to the sequence: words, and `END`; bool `[..., length]`.

    Entries after the first `END`, `PAD` or `START` do not belong to it.

    Args:
        tokens: Ids, int32 `[..., length]`.
        gaps: Whether `GAP` stands for a symbol, and belongs to the sequence.

    Example:

    ```python
    from tf_mvae.ops.tokens import counted

    counted(tf.constant([5, 4, 2, 9, 0]))  # [True, True, True, False, False]
    ```
    """
    ends = (tokens == END) | (tokens == PAD) if gaps else tokens <= END
    symbols = tf.cast(ends, tf.int32)
    # A sum, because LiteRT has no cumulative product.
    before = tf.math.cumsum(symbols, axis=-1, exclusive=True)
    return (before == 0) & (tokens >= (GAP if gaps else END))


def blank_rest(tokens: tf.Tensor, gaps: bool = False) -> tf.Tensor:
    """Replaces ids that do not belong to the sequence (`counted`) by `PAD`, `[..., length]`.

    Args:
        tokens: Ids, int32 `[..., length]`.
        gaps: See `counted`.
    """
    return tf.where(counted(tokens, gaps), tokens, PAD)
