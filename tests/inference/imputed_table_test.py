"""Filled tables: only gaps change, whatever pandas has made of the others."""

import numpy as np
import pytest

from tf_mvae import MVAE
from tf_mvae.data import Table, from_frame
from tf_mvae.data.table_streams import open_table

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
    stream = open_table(path, 12, whole=("stage",))
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
