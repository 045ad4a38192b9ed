"""Batches: order, resumption, coverage, random draws."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae.data import Split, evaluation_batches, training_batches
from tf_mvae.data.binarization import binarize
from tf_mvae.errors import UserError

NUMBER = 23


def make_split():
    images = np.arange(NUMBER * 4, dtype=np.uint8).reshape(NUMBER, 2, 2, 1) * 2
    part = {"x": {"image": images, "label": np.arange(NUMBER, dtype=np.int32)}}
    return Split(tf.data.Dataset.from_tensor_slices(part), NUMBER)


def labels(batches):
    return [batch["x"]["label"].numpy().tolist() for batch in batches]


def images(batches):
    return [batch["x"]["image"].numpy() for batch in batches]


def test_an_epoch_has_every_example_at_most_once_and_whole_batches_only():
    epoch = labels(training_batches(make_split(), 5, 1, seed=3))
    assert [len(batch) for batch in epoch] == [5] * (NUMBER // 5)
    seen = sum(epoch, [])
    assert len(set(seen)) == len(seen)


def test_order_changes_with_epoch_and_seed_and_is_repeatable():
    three = labels(training_batches(make_split(), 5, 3, seed=3))
    epochs = [three[0:4], three[4:8], three[8:12]]
    assert epochs[0] != epochs[1] != epochs[2]
    assert three == labels(training_batches(make_split(), 5, 3, seed=3))
    assert three != labels(training_batches(make_split(), 5, 3, seed=4))


def test_order_does_not_depend_on_the_global_seed():
    tf.random.set_seed(0)
    zero = labels(training_batches(make_split(), 5, 2, seed=3))
    tf.random.set_seed(17)
    assert zero == labels(training_batches(make_split(), 5, 2, seed=3))


@pytest.mark.parametrize("skip", [0, 1, 3])
@pytest.mark.parametrize("how", [None, "dynamic"])
def test_a_stream_taken_up_anywhere_goes_on_as_the_whole_one(how, skip):
    split = make_split() if how is None else binarize(make_split(), how)
    whole = images(training_batches(split, 5, 3, seed=3))
    rest = images(training_batches(split, 5, 3, seed=3, first_epoch=1, skip_batches=skip))
    assert len(rest) == len(whole) - 4 - skip
    for expected, actual in zip(whole[4 + skip :], rest, strict=True):
        np.testing.assert_array_equal(expected, actual)


def test_evaluation_knows_how_many_batches_there_are_though_examples_were_chosen():
    split = make_split()
    chosen = split.where(np.arange(split.num_examples) % 2 == 0)
    assert evaluation_batches(chosen, 5).cardinality() == -(-chosen.num_examples // 5)


def test_examples_that_lack_something_can_be_left_out():
    numbers = np.arange(6)
    members = np.array([[1, 0], [0, 0], [1, 1], [0, 1], [1, 1], [1, 0]])
    presence = {"x": np.array([1, 1, 1, 1, 0, 1]), "y": members}
    dataset = tf.data.Dataset.from_tensor_slices({"x": {"x": numbers, "y": members}})
    found = Split(dataset, 6, presence=presence).complete()
    assert found.num_examples == 4
    assert [int(part["x"]["x"]) for part in found.dataset] == [0, 2, 3, 5]
    for whole in (Split(dataset, 6), Split(dataset, 6, presence={"x": np.ones(6)})):
        assert whole.complete() is whole


def test_evaluation_has_every_example_once_in_order():
    batches = labels(evaluation_batches(make_split(), 5))
    assert sum(batches, []) == list(range(NUMBER))


def test_dynamic_binarisation_follows_the_grey_level_and_changes_every_epoch():
    part = {"x": {"image": np.full([2000, 2, 2, 1], 51, np.uint8)}}
    split = binarize(Split(tf.data.Dataset.from_tensor_slices(part), 2000), "dynamic")
    first, second = images(training_batches(split, 2000, 2, seed=0))
    assert set(np.unique(first)) == {0, 255}
    share = (first > 0).mean()
    assert abs(share - 0.2) < 4 * np.sqrt(0.2 * 0.8 / first.size)
    assert (first != second).any()


def test_dynamic_binarisation_of_evaluation_is_fixed_whatever_the_batch_size():
    split = binarize(make_split(), "dynamic")
    small = np.concatenate(images(evaluation_batches(split, 3)))
    np.testing.assert_array_equal(small, np.concatenate(images(evaluation_batches(split, 23))))


@pytest.mark.parametrize("how", [None, "dynamic"])
@pytest.mark.parametrize("names", [["image"], ["label"], ["label", "image"]], ids="+".join)
def test_only_some_modalities_of_the_same_examples_with_the_same_draws(how, names):
    split = make_split()
    mask = {"image": tf.ones([]), "label": tf.zeros([])}
    split = Split(split.dataset.map(lambda part: {**part, "mask": mask}), NUMBER)
    split = split if how is None else binarize(split, how)
    for batches in (
        lambda split: training_batches(split, 5, 2, seed=3),
        lambda split: evaluation_batches(split, 5, seed=3),
    ):
        for part, whole in zip(batches(split.only(names)), batches(split), strict=True):
            assert part.keys() == whole.keys()
            for key, values in part.items():
                assert set(values) == set(names)
                for name, value in values.items():
                    np.testing.assert_array_equal(value, whole[key][name])


def test_threshold_binarisation():
    part = {"x": {"image": np.array([0, 127, 128, 255], np.uint8).reshape(1, 2, 2, 1)}}
    split = binarize(Split(tf.data.Dataset.from_tensor_slices(part), 1), "threshold")
    assert images(evaluation_batches(split, 1))[0].ravel().tolist() == [0, 0, 255, 255]


def test_unknown_binarisation_is_named():
    with pytest.raises(UserError, match="'other'"):
        binarize(make_split(), "other")
