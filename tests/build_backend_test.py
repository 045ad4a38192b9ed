"""The build asks for TensorFlow only where the compiled op can be built."""

import pathlib
import shutil

import pytest

import build_backend

HOOKS = [
    build_backend.get_requires_for_build_wheel,
    build_backend.get_requires_for_build_editable,
]


@pytest.fixture(autouse=True)
def _no_setuptools(monkeypatch):
    """Setuptools' own answer, which runs setup.py, is not the question."""
    for hook in HOOKS:
        monkeypatch.setattr(build_backend.build_meta, hook.__name__, lambda settings: ["others"])
    monkeypatch.delenv("TF_MVAE_CUSTOM_OPS", raising=False)
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("missing", ["g++", "make", None])
def test_tensorflow_is_asked_for_where_there_is_a_compiler(monkeypatch, hook, missing):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    asked = hook()
    assert asked[0] == "others"
    assert any(one.startswith("tensorflow") for one in asked) == (missing is None)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_op_may_be_declined(monkeypatch, hook):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setenv("TF_MVAE_CUSTOM_OPS", "0")
    assert hook() == ["others"]


def test_it_is_the_tensorflow_of_the_package():
    setup = (pathlib.Path(build_backend.__file__).parent / "setup.py").read_text()
    assert f'"{build_backend.TENSORFLOW}"' in setup
