"""Fixtures of the benchmarks' tests."""

import pathlib

import pytest


@pytest.fixture
def scripts(monkeypatch):
    """The benchmarks' folder, from which they import each other as scripts do."""
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
