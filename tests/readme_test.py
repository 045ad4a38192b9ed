"""The README's programs run, and its commands and files exist."""

import re

import numpy as np

from tests import pages
from tests.experiments.table_test import make_table

README = (pages.ROOT / "README.md").read_text(encoding="utf-8")
TABLE, IMAGES = pages.programs("README.md")


def lines(program):
    return len([line for line in program.splitlines() if line.strip()])


def test_the_program_for_tables_fills_a_csv_file(tmp_path, monkeypatch):
    assert lines(TABLE) <= 20
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "patients.csv", 60)
    names = pages.run("README.md", {"epochs=200": "epochs=2"}, number=1)
    assert not names["filled"].isna().any(axis=None)
    assert (names["low"]["a"] < names["high"]["a"]).all()
    assert list(names["chances"]["grade"].columns) == ["high", "low", "mid"]


def test_the_program_for_images_generates_both(tmp_path, monkeypatch):
    assert lines(IMAGES) <= 20
    monkeypatch.chdir(tmp_path)
    changes = {
        "= mnist_data()": "= (a[::25] for a in mnist_data())",
        "epochs=20, batch": "epochs=1, batch",
        ", jit_compile=True": "",
        "tf_mvae.samplers.fit(model, data, epochs=20)": "",  # the tutorial's test fits one
    }
    program = IMAGES
    for old, new in changes.items():
        assert old in program
        program = program.replace(old, new)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    assert names["sevens"].shape == (16, 1, 28, 28, 1)
    np.testing.assert_allclose(np.sum(names["guesses"], -1), 1, rtol=1e-5)
    assert (tmp_path / "model.keras").exists()


def test_every_file_and_command_that_is_named_exists():
    for path in re.findall(r"--flagfile=(configs/\S+?\.cfg)", README):
        assert (pages.ROOT / path).exists(), path
    for name in re.findall(r"python -m tf_mvae\.(\w+)", README):
        assert (pages.ROOT / "tf_mvae" / f"{name}.py").exists(), name
    for path in re.findall(r"\]\(([\w./]+)\)", README):
        assert (pages.ROOT / path).exists(), path
