"""Masks of the symbols of a sequence."""

import numpy as np
import pytest

from tf_mvae.ops.tokens import END, FIRST_WORD, PAD, START, blank_rest, counted

ROWS = {
    "ended": ([5, 3, END, PAD, PAD], [5, 3, END, PAD, PAD]),
    "garbage behind the end": ([5, END, 7, START, END], [5, END, PAD, PAD, PAD]),
    "no end": ([5, 4, 3, 6, 7], [5, 4, 3, 6, 7]),
    "a beginning": ([5, 4, PAD, 6, END], [5, 4, PAD, PAD, PAD]),
    "nothing": ([PAD, 4, END, 6, 7], [PAD] * 5),
    "a start is no symbol": ([START, 4, END, 6, 7], [PAD] * 5),
    "empty sentence": ([END, 4, END, 6, 7], [END, PAD, PAD, PAD, PAD]),
}


@pytest.mark.parametrize("row, kept", ROWS.values(), ids=ROWS)
def test_nothing_behind_the_end_counts(row, kept, mode):
    row = np.array(row, np.int32)
    assert mode(blank_rest)(row).numpy().tolist() == kept
    assert mode(counted)(row).numpy().tolist() == [id != PAD for id in kept]
    assert mode(counted)(row[None, None]).shape == (1, 1, 5)


def test_the_symbols_are_sentencepieces():
    assert (PAD, START, END, FIRST_WORD) == (0, 1, 2, 3)
