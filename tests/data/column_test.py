"""Columns of tables: which cells are which class, and which numbers fit."""

import datetime
import decimal

import numpy as np
import pytest

from tf_mvae import UserError
from tf_mvae.data.column import Column
from tf_mvae.data.schema_inference import infer_schema

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("categories", "values", "expected"),
    [
        (("1", "2", "unknown"), [2, 1.0, "2"], [1, 0, 1]),
        ((0, 1, 2), ["0", "2.0", 1], [0, 2, 1]),
        ((False, True), ["True", False, 1], [1, 0, 1]),
        ((False, True), ["true", "FALSE"], [1, 0]),
        (("1.5", "2.5"), [2.5], [1]),
    ],
)
def test_a_class_is_known_as_text_and_as_a_number(categories, values, expected):
    """Whether pandas reads a code as a number depends on what else is in its column."""
    column = Column("code", "binary" if len(categories) == 2 else "categorical", categories)
    series = pd.Series(values, dtype=object)
    np.testing.assert_array_equal(column.encode(series), expected)
    assert column.holds(series).all()
    with pytest.raises(UserError, match="holds 'nan' in row 0, which is none of its"):
        column.encode(pd.Series(["nan"]))


def test_proportions_are_kept_from_the_edges_and_far_numbers_are_named():
    share = Column("share", "proportion")
    found = share.encode(pd.Series([0.0, 1e-9, 0.5, 1.0]))
    np.testing.assert_allclose(found, [1e-6, 1e-6, 0.5, 1 - 1e-6], rtol=1e-6)
    with pytest.raises(UserError, match="'dose' holds 1e.09 in row 1, more than 1e.07 standard"):
        Column("dose", "real", loc=1.0, scale=2.0).encode(pd.Series([1.0, 1e9]))


def test_a_column_of_numbers_holds_no_text_and_no_dates():
    values = [1.0, "abc", None, "2.5", datetime.date(2020, 1, 1)]
    held = Column("dose", "real").holds(pd.Series(values, dtype=object))
    assert list(held) == [True, False, True, True, False]


def infer(values, **kwargs):
    """Returns the column that is inferred, or the reason why there is none."""
    frame = pd.DataFrame({"x": values, "other": np.linspace(0, 1, len(values))})
    schema, excluded = infer_schema(frame, **kwargs)
    return schema.columns.get("x", excluded.get("x"))


@pytest.mark.parametrize(
    ("kind", "loc", "scale"),
    [("count", 49.0, 17.0), ("positive", 49.0, 17.0), ("proportion", 0.5, 0.2)],
)
def test_a_type_that_was_changed_and_its_unit_was_not_is_refused(kind, loc, scale):
    """Proportions had become 0 and 1."""
    column = Column("age", kind, loc=loc, scale=scale)
    values = pd.Series([np.nan, loc + scale, loc, loc - 2 * scale])
    with pytest.raises(UserError, match=r'unit of another type: .* "loc": 0, "scale": 1'):
        column.encode(values)


def test_small_probabilities_are_positive_numbers():
    rng = np.random.default_rng(0)
    assert infer(10.0 ** -rng.uniform(0, 12, 100)).type == "positive"
    assert infer(np.append(rng.uniform(size=99), 0.0)).type == "proportion"


def test_text_of_digits_is_text():
    column = infer([str(number) for number in [1, 2, 10, 2, 1, 10, 1, 2, 10, 1]])
    assert (column.type, column.categories) == ("categorical", ("1", "10", "2"))
    assert infer([f"0{number}" for number in range(1000, 1100)]).endswith(
        "it is text of 100 different values"
    )


def test_text_that_is_almost_numbers_says_how_it_becomes_them():
    numbers = [f"{number}.25" for number in range(100)]
    assert "a decimal point" in infer([number.replace(".", ",") for number in numbers])
    assert "and ' ' is none" in infer([*numbers, " "])
    assert infer([f"v{number}" for number in numbers]).endswith("different values")


def test_numbers_that_differ_little_for_their_size_have_their_own_unit():
    """Identifiers and times in milliseconds: without it they were of thousands of units."""
    column = infer([2**60 + 1_000 * number for number in range(0, 300, 3)])
    assert column.type == "real" and column.scale == pytest.approx(86_600, rel=0.01)
    assert infer([0.3, 0.1 + 0.2] * 20, types={"x": "real"}).scale == 1  # they differ by rounding


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([datetime.date(2020, 1, 1 + day) for day in range(6)], "it holds dates"),
        (pd.period_range("2020-01", periods=6, freq="M"), "it holds dates"),
        ([[1, 2]] * 6, "several values in a cell"),
        ([np.zeros(3)] * 6, "several values in a cell"),
    ],
)
def test_what_no_likelihood_is_for_is_excluded(values, reason):
    assert reason in infer(pd.Series(values))


def test_decimals_are_numbers_and_intervals_are_classes():
    money = [decimal.Decimal(f"{number}.25") for number in range(30)]
    assert infer(money).type == "real"
    coarse = infer([decimal.Decimal(number % 3) for number in range(30)])
    assert coarse.categories == (0, 1, 2)
    bins = pd.cut(pd.Series(np.linspace(0, 1, 30)), 3)
    column = infer(bins)
    assert column.type == "ordinal" and len(column.categories) == 3
    assert all(isinstance(name, str) for name in column.categories)
    np.testing.assert_array_equal(column.encode(bins), [*[0] * 10, *[1] * 10, *[2] * 10])


def test_names_of_columns_are_checked():
    frame = pd.DataFrame(np.zeros([3, 2]), columns=["a", "a"])
    with pytest.raises(UserError, match="two columns 'a'"):
        infer_schema(frame)
    frame.columns = [pd.Timestamp("2020-01-01"), "a"]
    with pytest.raises(UserError, match="is called by a Timestamp; names are text or integers"):
        infer_schema(frame)


@pytest.mark.parametrize("dtype", [complex, object])
def test_complex_numbers_are_refused(dtype):
    frame = pd.DataFrame({"x": np.arange(30) * 1.5, "z": (np.arange(30) + 2j).astype(dtype)})
    schema, excluded = infer_schema(frame)
    assert set(schema.columns) == {"x"} and "it holds complex numbers; give" in excluded["z"]
    with pytest.raises(UserError, match="'z' is to be of type 'real', and it holds complex"):
        infer_schema(frame, types={"z": "real"})
    real = infer_schema(frame.assign(z=np.arange(30) * 2.5))[0]
    with pytest.raises(UserError, match="column 'z' is real.*complex"):
        real.encode(frame)
