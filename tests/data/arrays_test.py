"""Tables and arrays with holes."""

import numpy as np
import pandas as pd
import pytest

from tf_mvae import MVAE, Modality, likelihoods
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
        ({"a": [[1.0, NAN]]}, {}, "example 0 has some numbers of modality 'a'"),
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
