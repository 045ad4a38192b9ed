"""Sentences of a trained model, of examples with gaps."""

import numpy as np
import pytest

from tests.models.sequences_test import make_batch, make_model
from tf_mvae.visualization import sentences_of

pytestmark = pytest.mark.usefixtures("untraced")


def test_a_sentence_that_is_missing_is_neither_shown_nor_given():
    model, batch = make_model(), make_batch(5)
    for name, there in (("one", [0, 1, 0, 1, 1]), ("two", [0, 1, 1, 0, 1])):
        batch["mask"][name] = np.array(there, np.float32)
    text = sentences_of(model, batch, number=3, seed=1)
    names = [line.split(":")[0].strip() for line in text.splitlines()]
    names = names[: names.index("samples from the prior")]
    one = ["one given one", "two given one"]
    two = ["one given two", "two given two"]
    assert names == [
        *("example 1", "one", "two", *one, *two),
        *("example 2", "two", *two),
        *("example 3", "one", *one),
    ]
    for name, mask in batch["mask"].items():
        batch["x"][name][mask == 0] = 6
    assert sentences_of(model, batch, number=3, seed=1) == text
    for mask in batch["mask"].values():
        mask[:] = 0
    assert sentences_of(model, batch, number=3).startswith("samples from the prior\n")
