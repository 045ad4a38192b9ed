"""Filled tables: only gaps change, whatever pandas has made of the others."""

import numpy as np
import pytest

from tf_mvae import MVAE, UserError
from tf_mvae.data import Table, from_frame
from tf_mvae.data.column import Column
from tf_mvae.data.table_streams import open_table
from tf_mvae.inference.imputed_table import _filled

pd = pytest.importorskip("pandas")


def make_frame(rows=24):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "late": rng.uniform(size=rows) < 0.5,
            "level": pd.Categorical(np.array(["hi", "lo", "mid"])[np.arange(rows) % 3]),
            "size": rng.normal(size=rows),
        }
    )


def make_model(frame):
    table = from_frame(frame, verbose=False)
    return table.schema, MVAE(table.modalities(), latent_dim=2)


def test_a_text_file_keeps_the_cells_that_it_has(tmp_path):
    lines = ["id,size,visits,stage,died,country"]
    for row in range(30):
        size = "" if row % 5 == 1 else f"{row % 7}.50"
        visits = "" if row % 5 == 2 else f"{3 * row}"
        stage = "" if row % 5 == 3 else f"{row % 4}"
        died = "" if row % 5 == 4 else ("yes", "no")[row % 2]
        lines.append(f"{row:05},{size},{visits},{stage},{died},NA")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    types = {"visits": "count"}
    table = from_frame(pd.read_csv(path).drop(columns="id"), types=types, verbose=False)
    model = MVAE(table.modalities(), latent_dim=2)
    stream = open_table(path, 12)
    parts = []
    for frame, text in zip(stream.parts(), stream.texts(), strict=True):
        part = Table(frame, table.schema)
        parts.append(model.impute(part, 5).in_text(part, text))
    filled = pd.concat(parts).astype(str)
    expected = pd.read_csv(path, dtype=str, na_filter=False)
    observed = (expected != "").to_numpy()
    assert (filled == expected).to_numpy()[observed].all()
    gaps = filled.mask(observed)
    assert set(gaps["died"].dropna()) <= {"yes", "no"} and set(gaps["stage"].dropna()) <= set(
        "0123"
    )
    assert np.isfinite(filled[["size", "visits"]].astype(float)).all(axis=None)
    assert (filled["country"] == "NA").all()  # an excluded column


def test_unknown_classes_are_missing_to_the_model_and_remain():
    frame = make_frame()
    schema, model = make_model(frame)
    strange = frame.assign(level=frame["level"].astype(object))
    strange.index += 1000
    strange.loc[1002, "level"] = "top"
    with pytest.raises(UserError, match="'level' holds 'top' in row 1002.*unknown_classes=\"miss"):
        from_frame(strange, schema)
    with pytest.raises(UserError, match="is error or missing, not 'none'"):
        from_frame(strange, schema, unknown_classes="none")
    table = from_frame(strange, schema, unknown_classes="missing")
    empty = from_frame(strange.assign(level=strange["level"].replace("top", None)), schema)
    found, expected = model.impute(table, 5, seed=1), model.impute(empty, 5, seed=1)
    pd.testing.assert_frame_equal(found.mean, expected.mean)
    pd.testing.assert_frame_equal(found.filled, strange)


def test_an_empty_column_of_booleans_is_filled_with_booleans():
    frame = make_frame()
    schema, model = make_model(frame)
    empty = frame.assign(late=np.nan)
    filled = model.impute(Table(empty, schema), 5).filled["late"]
    assert {type(value) for value in filled} == {bool}


def test_a_category_that_a_table_lacks_is_filled_in():
    frame = make_frame()
    schema, model = make_model(frame)
    some = frame.assign(level=pd.Categorical(["mid"] + [None] * 23))
    found = model.impute(Table(some, schema), 5)
    assert found.filled["level"].isin(["hi", "lo", "mid"]).all()
    assert set(found.mean["level"][1:]) <= set(found.filled["level"].cat.categories)


@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]", "UInt8"])
@pytest.mark.parametrize("kind", ["real", "count", "positive"])
def test_integers_with_gaps_remain_the_integers_that_they_are(dtype, kind):
    pytest.importorskip("pyarrow")
    big = 2**60 + 1 if kind == "real" and dtype != "UInt8" else 200
    values = pd.array([big, None, 3, 4, 7, None] * 4, dtype)
    frame = make_frame().assign(number=values)
    table = from_frame(frame, types={"number": kind}, verbose=False)
    found = MVAE(table.modalities(), latent_dim=2).impute(table, 5)
    filled, gaps = found.filled["number"], frame["number"].isna()
    assert filled.dtype == dtype and not filled.isna().any()
    assert list(filled[~gaps]) == list(frame["number"][~gaps])
    np.testing.assert_allclose(
        filled[gaps].astype(float), found.mean["number"][gaps], atol=0.5, rtol=1e-12
    )


def test_an_integer_in_place_of_a_small_estimate_fits_its_type():
    values = np.array([0.2, -3.0, 300.0])
    series = pd.Series(pd.array([None] * 3, "Int8"))
    for kind, expected in (("positive", [1, 1, 127]), ("real", [0, -3, 127])):
        filled = _filled(Column("a", kind), series, np.ones(3, bool), values)
        assert filled.dtype == "Int8" and list(filled) == expected
