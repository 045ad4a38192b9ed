"""Batches of a fixed composition."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data import Split, training_batches
from tf_mvae.data.pairing import paired_masks, with_masks
from tf_mvae.data.strata import cut
from tf_mvae.errors import UserError

NUMBER = 200
NAMES = ["image", "label"]


@pytest.fixture(scope="module")
def split():
    row = np.arange(NUMBER, dtype=np.int32)
    x = {"image": row + 1, "label": row + 1}
    whole = Split(tf.data.Dataset.from_tensor_slices({"x": x}), NUMBER)
    return with_masks(whole, paired_masks(row % 10, NAMES, examples=20))


def rows_of(batches):
    return [np.maximum(*(batch["x"][name].numpy() for name in NAMES)) - 1 for batch in batches]


def test_each_batch_has_so_many_of_each_kind_and_never_anything_that_was_lost(split):
    strata = cut(split.presence, 20, 0.2)
    assert [stratum.rows for stratum in strata] == [4, 8, 8]
    for batch in training_batches(split, 20, 2, seed=0, strata=strata):
        image, label = (batch["mask"][name].numpy() for name in NAMES)
        np.testing.assert_array_equal(image * label, np.repeat([1, 0], [4, 16]))
        assert image.sum() == label.sum() == 12
        lost = np.concatenate([batch["x"]["image"][image == 0], batch["x"]["label"][label == 0]])
        assert not lost.any()


def test_an_epoch_keeps_its_length_and_goes_round_evenly(split):
    strata = cut(split.presence, 20, 0.5)
    epoch = rows_of(training_batches(split, 20, 1, seed=0, strata=strata))
    assert len(epoch) == NUMBER // 20
    counts = collections.Counter(np.concatenate(epoch).tolist())
    # 100 rows of 20 whole examples: each five times. 100 of the other 180: once at most.
    whole = np.flatnonzero(strata[0].members)
    assert {counts[row] for row in whole} == {5}
    assert {n for row, n in counts.items() if row not in set(whole)} == {1}
    first, second = (np.concatenate(epoch[i : i + 2])[:10] for i in (0, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("skip", [0, 3])
def test_a_stream_taken_up_anywhere_goes_on_as_the_whole_one(split, skip):
    strata = cut(split.presence, 20, 0.5)
    whole = rows_of(training_batches(split, 20, 3, seed=1, strata=strata))
    rest = training_batches(split, 20, 3, seed=1, first_epoch=1, skip_batches=skip, strata=strata)
    np.testing.assert_array_equal(rows_of(rest), whole[10 + skip :])
    assert not np.array_equal(whole[:10], whole[10:20])


def test_many_patterns_are_one_stratum_of_no_known_pattern():
    rng = np.random.default_rng(0)
    presence = {f"m{i}": rng.random(500) < 0.7 for i in range(6)}
    whole, rest = cut(presence, 10, 0.3)
    assert whole.rows == 3 and rest.rows == 7 and rest.pattern is None
    table = np.stack(list(presence.values()), axis=1)
    np.testing.assert_array_equal(whole.members, table.all(axis=1))
    np.testing.assert_array_equal(rest.members, table.any(axis=1) & ~table.all(axis=1))


@pytest.mark.parametrize("value", [0, 1])
def test_where_all_are_alike_there_is_nothing_to_compose(value):
    presence = {"image": np.ones(10), "label": np.full(10, value)}
    assert cut(presence, 5, 0.5) is None


def test_every_kind_has_a_row_even_where_its_share_is_none(split):
    assert [stratum.rows for stratum in cut(split.presence, 20, 0.0)] == [1, 10, 9]
    assert [stratum.rows for stratum in cut(split.presence, 20, 1.0)] == [18, 1, 1]


def test_a_batch_has_a_row_of_every_kind(split):
    with pytest.raises(UserError, match="--batch_size=2 is too small .*; make it 3 or more"):
        cut(split.presence, 2, 0.5)
