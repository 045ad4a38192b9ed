"""Data frames and arrays with missing values."""

import datetime

import numpy as np
import pandas as pd
import pytest

from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.data import from_arrays
from tf_mvae.errors import UserError

NAN = float("nan")
PHOTO = np.array([[0.5, 1.0], [NAN, NAN], [0.0, 0.25]], np.float32)


def equal(batch, x, mask):
    for name, expected in x.items():
        np.testing.assert_array_equal(batch["x"][name], expected)
        np.testing.assert_array_equal(batch["mask"][name], mask[name])
        assert batch["mask"][name].dtype == np.float32


@pytest.mark.parametrize(
    "values",
    [
        [1.0, None, 3.0],
        np.array([1, NAN, 3]),
        np.array([1, None, 3], object),
        np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
        pd.Series([1, None, 3]),
        pd.Series([1, pd.NA, 3], dtype="Int64"),
        pd.Series([1, pd.NA, 3], dtype="Float32"),
        [1, pd.NA, 3],
        np.array([1, pd.NA, 3], object),
        pd.Series([1, pd.NA, 3], dtype=object),
        pd.Categorical([1, NAN, 3]),
        pd.Series([1, NAN, 3], dtype="category"),
    ],
    ids=lambda values: type(values).__name__ + str(getattr(values, "dtype", "")),
)
def test_what_is_missing_becomes_a_mask(values):
    batch = from_arrays({"reading": values, "count": np.array([1, 2, 3])})
    equal(
        batch,
        {"reading": [1, 0, 3], "count": [1, 2, 3]},
        {"reading": [1, 0, 1], "count": [1, 1, 1]},
    )
    assert batch["x"]["reading"].dtype.kind in "fi"


def test_an_example_lacks_a_modality_if_all_of_its_numbers_are_missing():
    batch = from_arrays({"photo": PHOTO})
    equal(batch, {"photo": [[0.5, 1], [0, 0], [0, 0.25]]}, {"photo": [1, 0, 1]})
    assert np.isnan(PHOTO[1]).all()  # the caller's array is left alone


@pytest.mark.parametrize(
    "kinds",
    [
        ["cat", None, "dog"],
        ["cat", NAN, "dog"],
        pd.Series(["cat", None, "dog"]),
        pd.Series(["cat", None, "dog"], dtype="category"),
        pd.Series(["cat", pd.NA, "dog"], dtype="string"),
        ["cat", pd.NA, "dog"],
        pd.Categorical(["cat", None, "dog"]),
    ],
)
def test_classes_are_numbered_in_the_order_of_their_names(kinds):
    batch = from_arrays({"kind": kinds}, class_names={"kind": ["dog", "cat"]})
    equal(batch, {"kind": [1, 0, 0]}, {"kind": [1, 0, 1]})
    assert batch["x"]["kind"].dtype == np.int32


def test_classes_may_be_numbers_themselves():
    batch = from_arrays({"kind": np.array([7.0, NAN, 3.0])}, class_names={"kind": [3, 7]})
    equal(batch, {"kind": [1, 0, 0]}, {"kind": [1, 0, 1]})


def test_a_data_frame_is_read_by_column():
    frame = pd.DataFrame({"a": [1.0, NAN], "b": [2.0, NAN], "kind": ["x", None]})
    batch = from_arrays(
        frame, {"sensor": ["a", "b"], "kind": "kind"}, class_names={"kind": ["x", "y"]}
    )
    equal(batch, {"sensor": [[1, 2], [0, 0]], "kind": [0, 0]}, {"sensor": [1, 0], "kind": [1, 0]})
    every = from_arrays(frame[["a", "b"]])
    equal(every, {"a": [1, 0], "b": [2, 0]}, {"a": [1, 0], "b": [1, 0]})


@pytest.mark.parametrize(
    ("data", "keywords", "what"),
    [
        ({"a": [1.0, 2.0], "b": [1.0]}, {}, "differ in length"),
        ({"a": [[1.0, NAN]]}, {}, "example 0 has some numbers of modality 'a'.*ModalityGroup"),
        ({"a": [np.ones(2), None, np.ones(3)]}, {}, "'a': example 2 has shape"),
        ({"a": [[1.0], [1.0, 2.0]]}, {}, "'a': example 1 has shape"),
        ({"a": np.array(["2020-01-01"], "datetime64[D]")}, {}, "'a' holds dates"),
        ({"a": [datetime.date(2020, 1, 1)]}, {}, "'a' holds what is no number.*dates"),
        (pd.DataFrame({"a": pd.to_datetime(["2020-01-01", None])}), {}, "'a' holds dates"),
        ({"a": []}, {}, "empty"),
        (pd.DataFrame(), {}, "no columns"),
        (pd.DataFrame({"a": []}), {}, "no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "same name"),
        (pd.DataFrame({"a": [1.0]}), {"columns": {"x": []}}, "no column"),
        (pd.DataFrame({0: [1.0]}), {"columns": {"x": 1}}, "wants column 1"),
        ({"a": ["x", "y"]}, {}, "class_names"),
        ({"a": ["x", None]}, {}, "class_names"),
        ({"a": ["x", "z"]}, {"class_names": {"a": ["x", "y"]}}, "example 1: 'a' is 'z'"),
        ({"a": [1.0]}, {"class_names": {"b": ["x"]}}, "'b'"),
        ({"a": 3.0}, {}, "one value"),
        ({"a": [1.0]}, {"columns": {"a": "a"}}, "data frame"),
        ([1.0], {}, "list"),
        (pd.DataFrame({"a": [1.0]}), {"columns": {"x": "b"}}, "wants column 'b'"),
    ],
)
def test_what_cannot_be_read_is_named(data, keywords, what):
    with pytest.raises(UserError, match=what):
        from_arrays(data, **keywords)


def test_a_model_takes_the_batch_as_it_is():
    model = MVAE(
        [
            Modality("photo", likelihoods.Bernoulli([2])),
            Modality("kind", likelihoods.Categorical(2)),
        ],
        latent_dim=2,
    )
    batch = from_arrays(
        {"photo": PHOTO, "kind": ["cat", "dog", None]}, class_names={"kind": ["cat", "dog"]}
    )
    elbo = model.elbo(batch)
    np.testing.assert_array_equal(elbo.valid > 0, [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert np.isfinite(elbo.loss)


def test_whole_numbers_stay_classes_where_some_are_missing():
    for values in ([0, NAN, 2], np.array([0, NAN, 2]), pd.Series([0, None, 2])):
        batch = from_arrays({"kind": values})
        equal(batch, {"kind": [0, 0, 2]}, {"kind": [1, 0, 1]})
        assert batch["x"]["kind"].dtype.kind == "i"
        model = MVAE([Modality("kind", likelihoods.Categorical(3))], latent_dim=1)
        assert np.isfinite(model.elbo(batch).loss)
    assert from_arrays({"a": [0.5, NAN, 2]})["x"]["a"].dtype.kind == "f"
    complete = {"kind": np.array([0.0, 2.0])}  # floats all the same
    assert from_arrays(complete)["x"]["kind"].dtype.kind == "f"
    model = MVAE([Modality("kind", likelihoods.Categorical(3))], latent_dim=1)
    assert from_arrays(complete, modalities=model.modalities)["x"]["kind"].dtype == np.int32


def test_a_pandas_category_is_numbered_by_its_own_order():
    kinds = pd.Series(["b", None, "c"]).astype(pd.CategoricalDtype(["a", "b", "c"]))
    batch = from_arrays(pd.DataFrame({"kind": kinds}))
    equal(batch, {"kind": [1, 0, 2]}, {"kind": [1, 0, 1]})
    assert batch["x"]["kind"].dtype == np.int32
    numbered = pd.Series([2, 0, None]).astype("category")  # their own numbers
    equal(from_arrays({"kind": numbered}), {"kind": [2, 0, 0]}, {"kind": [1, 1, 0]})
    named = from_arrays({"kind": kinds}, class_names={"kind": ["c", "b"]})
    equal(named, {"kind": [1, 0, 0]}, {"kind": [1, 0, 1]})


@pytest.mark.parametrize("missing", [None, pd.NA, NAN])
def test_images_may_be_missing_from_a_list(missing):
    image = np.full([2, 2], 0.5, np.float32)
    for values in ([image, missing, 2 * image], pd.Series([image, missing, 2 * image])):
        batch = from_arrays({"photo": values})
        expected = [image, np.zeros([2, 2]), 2 * image]
        equal(batch, {"photo": expected}, {"photo": [1, 0, 1]})
        assert batch["x"]["photo"].dtype == np.float32


def test_numbered_columns_are_read():
    frame = pd.DataFrame([[1.0, 2.0], [NAN, 4.0]])
    equal(from_arrays(frame), {"0": [1, 0], "1": [2, 4]}, {"0": [1, 0], "1": [1, 1]})
    batch = from_arrays(frame, columns={"a": 1, "b": [1, 1]})
    equal(batch, {"a": [2, 4], "b": [[2, 2], [4, 4]]}, {"a": [1, 1], "b": [1, 1]})


def test_the_members_of_a_group_are_missing_one_by_one():
    group = ModalityGroup("s", ["a", "b"], likelihoods.Normal([]))
    model = MVAE([group, Modality("kind", likelihoods.Categorical(2))], latent_dim=1)
    frame = pd.DataFrame({"a": [1.5, NAN], "b": [NAN, pd.NA], "kind": [1, NAN]})
    batch = from_arrays(frame, {"s": ["a", "b"], "kind": "kind"}, modalities=model.modalities)
    equal(
        batch,
        {"s": [[1.5, 0], [0, 0]], "kind": [1, 0]},
        {"s": [[1, 0], [0, 0]], "kind": [1, 0]},
    )
    assert np.isfinite(model.elbo(batch).loss)
    pairs = ModalityGroup("p", ["a", "b"], likelihoods.Normal([2]))
    values = np.arange(8.0).reshape(2, 2, 2)
    values[1, 0] = NAN
    found = from_arrays({"p": values}, modalities=[pairs])
    np.testing.assert_array_equal(found["mask"]["p"], [[1, 1], [0, 1]])
    values[0, 1, 0] = NAN
    with pytest.raises(UserError, match="example 0 has some numbers of modality 'p'"):
        from_arrays({"p": values}, modalities=[pairs])
