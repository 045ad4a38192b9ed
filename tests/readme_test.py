"""The README's program runs, and its commands are those that there are."""

import pathlib
import re

import numpy as np

from tests.experiments.table_test import make_table

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


PROGRAMS = re.findall(r"<!-- a test runs this -->\n```python\n(.*?)```", README, re.S)


def test_the_program_trains_on_three_arrays_one_half_missing(tmp_path, monkeypatch):
    program, likelihood, _ = PROGRAMS
    lines = [line for line in program.splitlines() if line.strip()]
    assert len(lines) <= 25
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    missing = ~names["has_kind"]
    right = names["guess"] == names["kind"]
    assert right[missing].mean() > 0.9  # a third by chance
    np.testing.assert_allclose(
        names["again"].posterior({"sensor": names["sensor"][:3]}).mean(),
        names["model"].posterior({"sensor": names["sensor"][:3]}).mean(),
        atol=1e-5,
    )
    exec(compile(likelihood, "README.md", "exec"), names)
    assert names["estimate"].log_likelihood.shape == (1000,)
    assert np.mean(names["estimate"].effective_sample_size) > 10


def test_the_program_for_tables_fills_a_csv_file(tmp_path, monkeypatch):
    *_, program = PROGRAMS
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "patients.csv", 60)
    names = {}
    exec(compile(program.replace("epochs=200", "epochs=2"), "README.md", "exec"), names)
    assert not names["filled"].isna().any(axis=None)
    assert (names["low"]["a"] < names["high"]["a"]).all()
    assert list(names["chances"]["grade"].columns) == ["high", "low", "mid"]


def test_the_program_of_the_guide_to_translation_says_sentences():
    guide = (ROOT / "docs" / "translation.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"<!-- a test runs this -->\n```python\n(.*?)```", guide, re.S)
    names = {}
    exec(compile(program, "translation.md", "exec"), names)
    assert names["sequences"].shape == (3, 1, 5, 4)
    assert np.all(np.diff(names["log_prob"]) <= 0)


def test_the_program_of_the_guide_to_models_builds_a_model():
    guide = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"<!-- a test runs this -->\n```python\n(.*?)```", guide, re.S)
    names = {}
    exec(compile(program, "models.md", "exec"), names)
    x = {"image": np.zeros([3, 8, 8, 1], np.float32), "label": np.arange(3)}
    assert np.isfinite(names["model"].elbo({"x": x}).loss)


def test_every_file_and_command_that_is_named_exists():
    for path in re.findall(r"--flagfile=(configs/\S+?\.cfg)", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"python -m tf_mvae\.(\w+)", README):
        assert (ROOT / "tf_mvae" / f"{name}.py").exists(), name
    for path in re.findall(r"\]\(([\w./]+)\)", README):
        assert (ROOT / path).exists(), path
