"""The choice of hidden modalities: fixed by the seed, balanced, and without leaks."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data import Split, evaluation_batches
from tf_mvae.data.pairing import (
    RepeatedValues,
    class_labels,
    keep_paired,
    missing_at_random,
    missing_by_label,
    paired_masks,
    with_masks,
)
from tf_mvae.errors import UserError

NAMES = ["image", "label"]
# Ten classes of very different sizes.
LABELS = np.repeat(np.arange(10), [3, 200, 100, 100, 100, 100, 100, 100, 100, 97])


def make_split(number=40):
    rng = np.random.default_rng(0)
    x = {
        "image": rng.integers(1, 255, (number, 2, 2, 1)).astype(np.uint8),
        "label": (np.arange(number) % 4 + 1).astype(np.int32),
    }
    return Split(tf.data.Dataset.from_tensor_slices({"x": x}), number)


def whole(masks):
    return np.logical_and.reduce(list(masks.values()))


@pytest.mark.parametrize("names", [["image", "label"], ["a", "b", "c", "d"]])
def test_the_rest_keeps_one_modality_each_in_sets_of_equal_size(names):
    masks = paired_masks(LABELS, names, fraction=0.1)
    table = np.stack([masks[name] for name in names], axis=1)
    paired = table.all(axis=1)
    assert paired.sum() == 100
    assert np.all(table[~paired].sum(axis=1) == 1)
    sizes = table[~paired].sum(axis=0)
    assert sizes.max() - sizes.min() <= 1
    # Class by class too, but for a rounding.
    for value in range(10):
        of_class = table[~paired & (LABELS == value)].sum(axis=0)
        assert of_class.max() - of_class.min() <= 1


def test_paired_examples_are_spread_over_classes_as_evenly_as_these_allow():
    paired = whole(paired_masks(LABELS, NAMES, examples=50))
    np.testing.assert_array_equal(np.bincount(LABELS[paired])[0], 3)
    assert set(np.bincount(LABELS[paired])[1:]) <= {5, 6}
    assert paired.sum() == 50


def test_the_choice_is_the_seeds_and_a_smaller_one_is_part_of_a_larger_one():
    previous = np.zeros(len(LABELS), bool)
    for number in (0, 1, 9, 10, 37, 200, 999, 1000):
        masks = paired_masks(LABELS, NAMES, examples=number, seed=3)
        again = paired_masks(LABELS, NAMES, examples=number, seed=3)
        assert all(np.array_equal(masks[name], again[name]) for name in NAMES)
        paired = whole(masks)
        assert paired.sum() == number
        assert np.all(paired >= previous)
        previous = paired
    other = paired_masks(LABELS, NAMES, examples=200, seed=4)
    assert not np.array_equal(whole(other), whole(paired_masks(LABELS, NAMES, examples=200)))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, "one of the fraction and the number"),
        ({"fraction": 0.1, "examples": 3}, "one of the fraction and the number"),
        ({"fraction": 1.1}, "0 to 1, not 1.1"),
        ({"examples": 1001}, "1001 examples cannot stay paired of 1000"),
    ],
)
def test_impossible_choices_are_refused(given, what):
    with pytest.raises(UserError, match=what):
        paired_masks(LABELS, NAMES, **given)


def test_missing_rates_hold_for_each_modality_on_its_own():
    masks = missing_at_random(20_000, {"image": 0.9, "label": 0.25}, seed=1)
    assert abs(1 - masks["image"].mean() - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 20_000)
    assert abs(1 - masks["label"].mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20_000)
    both = (masks["image"] & masks["label"]).mean()
    assert abs(both - 0.1 * 0.75) < 4 * np.sqrt(0.075 / 20_000)
    # A modality's mask does not depend on which others are named.
    alone = missing_at_random(20_000, {"label": 0.25}, seed=1)
    np.testing.assert_array_equal(alone["label"], masks["label"])


def test_rates_may_depend_on_the_class():
    labels = np.arange(30_000) % 3
    mask = missing_by_label(labels, {"image": [0.0, 0.5, 1.0]}, seed=1)["image"]
    assert mask[labels == 0].all()
    assert not mask[labels == 2].any()
    assert abs(mask[labels == 1].mean() - 0.5) < 4 * np.sqrt(0.25 / 10_000)


@pytest.mark.parametrize("rates", [[0.5], [0.5, 1.5, 0.0], [np.nan, 0, 0]])
def test_rates_that_do_not_fit_are_refused(rates):
    with pytest.raises(UserError, match="'image'"):
        missing_by_label(np.arange(3), {"image": rates})


def test_what_is_lost_is_wiped_out_for_ever_and_the_rest_stays():
    split = make_split()
    masks = paired_masks(class_labels(split), NAMES, fraction=0.25)
    before = list(split.dataset.as_numpy_iterator())
    seen = list(with_masks(split, masks).dataset.as_numpy_iterator())
    for row, (old, new) in enumerate(zip(before, seen, strict=True)):
        for name in NAMES:
            assert new["mask"][name] == masks[name][row]
            kept = old["x"][name] if masks[name][row] else 0 * old["x"][name]
            np.testing.assert_array_equal(new["x"][name], kept)


def test_a_second_loss_adds_to_the_first():
    number = 40
    rng = np.random.default_rng(0)
    first, second = rng.random(number) < 0.5, rng.random(number) < 0.5
    split = with_masks(with_masks(make_split(number), {"label": first}), {"label": second})
    seen = next(iter(evaluation_batches(split, number)))["mask"]
    np.testing.assert_array_equal(seen["label"], first & second)
    np.testing.assert_array_equal(split.presence["label"], first & second)
    np.testing.assert_array_equal(seen["image"], np.ones(number))


def test_whole_examples_can_be_taken_out():
    split = make_split()
    masks = paired_masks(class_labels(split), NAMES, fraction=0.25)
    paired = keep_paired(with_masks(split, masks))
    assert paired.num_examples == 10
    batch = next(iter(evaluation_batches(paired, 100)))
    old = np.array([e["x"]["label"] for e in split.dataset.as_numpy_iterator()])
    np.testing.assert_array_equal(batch["x"]["label"], old[whole(masks)])
    assert np.all(paired.presence["label"] == 1)


@pytest.mark.parametrize(
    ("masks", "what"),
    [({"sound": np.ones(40)}, "'sound'"), ({"label": np.ones(39)}, "39")],
)
def test_masks_that_do_not_fit_are_refused(masks, what):
    with pytest.raises(UserError, match=what):
        with_masks(make_split(), masks)


def test_examples_that_repeat_values_are_refused():
    split = make_split()
    split = RepeatedValues(split.dataset, split.num_examples).map(lambda example: example)
    with pytest.raises(UserError, match="give --pairings=1 with --missing_rate"):
        with_masks(split, {"label": np.zeros(40)})


def test_classes_are_needed_for_pairing():
    with pytest.raises(UserError, match="'image'"):
        class_labels(make_split(), "image")


def test_members_of_a_group_go_missing_one_by_one():
    values = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    x = {"group": values, "pixel": values[:, :1]}
    split = Split(tf.data.Dataset.from_tensor_slices({"x": x}), 4)
    mask = np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 1]])
    split = with_masks(split, {"group": mask, "pixel": [1, 1, 0, 1]})
    rows = list(split.dataset)
    np.testing.assert_array_equal([row["mask"]["group"] for row in rows], mask)
    np.testing.assert_array_equal([row["x"]["group"] for row in rows], values * mask)
    again = with_masks(split, {"group": [1, 0, 1, 1]})
    expected = mask * [[1], [0], [1], [1]]
    np.testing.assert_array_equal(again.presence["group"], expected)
    np.testing.assert_array_equal([row["mask"]["group"] for row in again.dataset], expected)
    assert keep_paired(split).num_examples == 1
    with pytest.raises(UserError, match=r"mask of 'group' has shape \(4, 2\)"):
        with_masks(split, {"group": mask[:, :2]})
