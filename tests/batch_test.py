"""Batches: accepted forms, and the error messages for all others."""

import copy

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import Modality, UserError, likelihoods
from tf_mvae.batch import check_arrays, check_dataset, out_of_range, present_mask, unpack

MODALITIES = [Modality(name, likelihood) for name, likelihood in tiny.make_likelihoods().items()]


def good_batch(size=4):
    return tiny.make_batch(np.ones([size, 3]))


def assert_refused(call, words):
    """Asserts an error whose message is one line with all the words."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message.strip()
    for word in words:
        assert word in message, message


def with_x(name, value):
    def change(batch):
        batch["x"][name] = value
        return batch

    return change


def with_mask(name, value):
    def change(batch):
        batch["mask"][name] = value
        return batch

    return change


def without_x(name):
    def change(batch):
        del batch["x"][name]
        return batch

    return change


# Wrong whatever the values are: what is changed of a good batch of 4, and words of the answer.
MALFORMED = {
    "no_mapping": (lambda batch: batch["x"]["image"], ["ndarray", '{"x"']),
    "a_pair": (lambda batch: (batch["x"]["image"], batch["x"]["label"]), ["tuple", '{"x"']),
    "a_third_part": (lambda batch: {**batch, "weights": 1}, ["'weights'", "'mask'"]),
    "mask_is_no_mapping": (lambda batch: {**batch, "mask": np.ones(4)}, ["mask", "ndarray"]),
    "nothing_in_x": (lambda batch: {"x": {}}, ["'image'", "keys are []"]),
    "missing": (without_x("label"), ["'label'", "'image'", "mask['label']"]),
    "unknown": (with_x("sound", np.ones(4)), ["'sound'", "'reading'"]),
    "unknown_mask": (with_mask("sound", np.ones(4)), ["mask", "'sound'", "'reading'"]),
    "flat_unknown": (lambda batch: {**batch["x"], "sound": np.ones(4)}, ["'sound'"]),
    "scalar": (with_x("label", 3), ["'label'", "[batch]", "()"]),
    "rank": (with_x("image", np.ones([4, 4, 4])), ["'image'", "[batch, 4, 4, 1]", "(4, 4, 4)"]),
    "shape": (with_x("reading", np.ones([4, 2])), ["'reading'", "[batch, 3]", "(4, 2)"]),
    "column_of_classes": (with_x("label", np.ones([4, 1], int)), ["'label'", "[batch]", "(4, 1)"]),
    "floats_for_classes": (with_x("label", np.ones(4)), ["'label'", "0..4", "float64"]),
    "bools_for_classes": (with_x("label", np.ones(4, bool)), ["'label'", "0..4", "bool"]),
    "strings": (with_x("reading", [["a", "b", "c"]] * 4), ["'reading'", "numbers", "string"]),
    "none": (with_x("reading", None), ["'reading'"]),
    "ragged": (with_x("reading", [[1.0, 2.0, 3.0], [1.0]]), ["'reading'"]),
    "lengths": (with_x("label", np.zeros(3, int)), ["length", "'label': 3", "'image': 4"]),
    "mask_length": (with_mask("label", np.ones(3)), ["length", "mask['label']", "3", "4"]),
    "scalar_mask": (with_mask("label", 1.0), ["mask['label']", "[batch]"]),
    "mask_rank": (with_mask("label", np.ones([4, 1])), ["mask['label']", "[batch]", "(4, 1)"]),
    "string_mask": (with_mask("label", ["yes"] * 4), ["mask['label']", "0 and 1", "string"]),
    "ragged_mask": (with_mask("label", [[1], [1, 0]]), ["mask['label']"]),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("check", [unpack, check_arrays])
def test_a_malformed_batch_is_refused(name, check):
    change, words = MALFORMED[name]
    assert_refused(lambda: check(change(good_batch()), MODALITIES), words)


# Values: the modality, what its second row becomes, and words of the answer.
WRONG_VALUES = {
    "class_too_large": ("label", 5, ["'label'", "0..4", "5"]),
    "class_below_0": ("label", -1, ["'label'", "0..4", "-1"]),
    "pixel_above_1": ("image", 1.5, ["'image'", "[0, 1]", "1.5"]),
    "pixel_below_0": ("image", -0.5, ["'image'", "[0, 1]", "-0.5"]),
    "pixel_nan": ("image", np.nan, ["'image'", "[0, 1]", "nan"]),
    "reading_nan": ("reading", np.nan, ["'reading'", "finite", "nan"]),
    "reading_infinite": ("reading", -np.inf, ["'reading'", "finite", "-inf"]),
}


def spoilt(name):
    modality, value, words = WRONG_VALUES[name]
    batch = good_batch()
    batch["x"][modality][1] = value
    return modality, batch, words


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_values_out_of_range_are_refused_unless_masked(name):
    modality, batch, words = spoilt(name)
    assert_refused(lambda: check_arrays(batch, MODALITIES), words)
    batch["mask"][modality][1] = 0
    check_arrays(batch, MODALITIES)


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_dataset_stops_at_values_out_of_range_unless_masked(name):
    modality, batch, words = spoilt(name)
    dataset = check_dataset(tf.data.Dataset.from_tensors(batch), MODALITIES)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(dataset)
    error = out_of_range(caught.value)
    assert isinstance(error, UserError) and "\n" not in str(error)
    # A graph cannot say which value it was.
    assert all(word in str(error) for word in words[:-1])
    batch["mask"][modality][1] = 0
    dataset = check_dataset(tf.data.Dataset.from_tensors(batch), MODALITIES)
    tiny.assert_close(next(iter(dataset)), batch, 0, 0)


def test_other_errors_are_not_taken_for_out_of_range():
    error = tf.errors.InvalidArgumentError(None, None, "something else")
    assert out_of_range(error) is error


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, np.nan])
def test_masks_hold_0_and_1(value):
    batch = good_batch()
    batch["mask"]["label"][2] = value
    words = ["mask['label']", "0 and 1"]
    assert_refused(lambda: check_arrays(batch, MODALITIES), words)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(check_dataset(tf.data.Dataset.from_tensors(batch), MODALITIES))
    assert all(word in str(out_of_range(caught.value)) for word in words)


def test_empty_data_are_refused():
    assert_refused(lambda: check_arrays(good_batch(0), MODALITIES), ["empty"])


DATASET_PROBLEMS = sorted(
    set(MALFORMED)
    - {"scalar", "none", "ragged", "ragged_mask", "scalar_mask", "lengths", "mask_length"}
    - {"no_mapping", "a_pair", "a_third_part", "mask_is_no_mapping", "nothing_in_x"}
)


@pytest.mark.parametrize("name", DATASET_PROBLEMS)
def test_a_malformed_dataset_is_refused_before_it_is_read(name):
    change, words = MALFORMED[name]
    dataset = tf.data.Dataset.from_tensors(change(good_batch()))
    words = [word for word in words if word[:4] not in ("mask", "(4, ")] + ["'"]
    assert_refused(lambda: check_dataset(dataset, MODALITIES), words)


def test_a_dataset_that_is_not_batched_is_refused():
    dataset = tf.data.Dataset.from_tensor_slices(good_batch())
    words = ["'image'", "[batch, 4, 4, 1]", "(4, 4, 1)"]
    assert_refused(lambda: check_dataset(dataset, MODALITIES), words)


def test_a_dataset_of_batches_of_any_size_passes():
    batch = good_batch(5)
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(2)
    checked = list(check_dataset(dataset, MODALITIES))
    assert [len(part["x"]["label"]) for part in checked] == [2, 2, 1]
    joined = tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *checked)
    tiny.assert_close(joined, batch, 0, 0)


@pytest.mark.parametrize(
    "form",
    [
        lambda batch: batch,
        lambda batch: (batch,),
        lambda batch: {"x": batch["x"]},
        lambda batch: {"x": batch["x"], "mask": None},
        lambda batch: {"x": batch["x"], "mask": {"label": batch["mask"]["label"]}},
        lambda batch: batch["x"],
        lambda batch: {"x": batch["x"], "mask": {n: m > 0 for n, m in batch["mask"].items()}},
        lambda batch: {"x": batch["x"], "mask": {n: [1] * 4 for n in batch["mask"]}},
    ],
)
def test_every_form_of_a_batch_with_everything_present(form):
    batch = good_batch()
    before = copy.deepcopy(batch)
    x, mask = unpack(form(batch), MODALITIES)
    tiny.assert_close(x, batch["x"], 0, 0)
    tiny.assert_close(mask, {name: np.ones(4) for name in tiny.NAMES}, 0, 0)
    assert all(m.dtype == tf.float32 for m in mask.values())
    tiny.assert_close(batch, before, 0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", np.full([4, 4, 4, 1], 255, np.uint8)),
        ("image", np.ones([4, 4, 4, 1], bool)),
        ("image", np.ones([4, 4, 4, 1], np.int64)),
        ("image", np.ones([4, 4, 4, 1], np.float16)),
        ("label", np.full([4], 4, np.uint8)),
        ("label", [0, 1, 2, 3]),
        ("reading", np.full([4, 3], -1e8)),
        ("reading", np.full([4, 3], 2**29, np.int64)),
    ],
)
def test_types_that_can_be_prepared(name, value):
    batch = with_x(name, value)(good_batch())
    check_arrays(batch, MODALITIES)
    dataset = check_dataset(tf.data.Dataset.from_tensors(batch), MODALITIES)
    assert len(list(dataset)) == 1


@pytest.mark.filterwarnings("error")
def test_the_bounds_of_half_precision_are_found_without_a_warning():
    check_arrays(with_x("reading", np.ones([4, 3], np.float16))(good_batch()), MODALITIES)


def test_a_batch_in_place_of_its_arrays_is_named():
    with pytest.raises(UserError, match=r"give batch\['x'\], and mask=batch\['mask'\]"):
        unpack({"x": good_batch()}, MODALITIES, partial=True)


@pytest.mark.parametrize(("value", "wrong"), [(2, True), (1, False), (-1, True)])
def test_integer_pixels_are_0_and_1(value, wrong):
    batch = with_x("image", np.full([4, 4, 4, 1], value, np.int32))(good_batch())
    if wrong:
        assert_refused(lambda: check_arrays(batch, MODALITIES), ["'image'", str(value)])
    else:
        check_arrays(batch, MODALITIES)


def test_counts_are_not_negative():
    modalities = [Modality("count", likelihoods.Poisson([1]))]
    check_arrays({"count": np.array([[0.0], [250.0]])}, modalities)
    assert_refused(
        lambda: check_arrays({"count": np.array([[0], [-3]])}, modalities),
        ["'count'", "0 or more", "-3"],
    )


def test_partial_batches():
    x = good_batch()["x"]
    given, mask = unpack({"label": x["label"]}, MODALITIES, partial=True)
    assert set(given) == set(mask) == {"label"}
    present = present_mask(mask, MODALITIES)
    np.testing.assert_array_equal(present, [[0, 1, 0]] * 4)
    assert_refused(lambda: unpack({"x": {}}, MODALITIES, partial=True), ["'image'"])


def test_present_mask_is_in_the_order_of_the_modalities():
    batch = tiny.make_batch()
    x_reversed = {name: batch["mask"][name] for name in reversed(tiny.NAMES)}
    present = present_mask(x_reversed, MODALITIES)
    np.testing.assert_array_equal(present, tiny.all_patterns(3))
