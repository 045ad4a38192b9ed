"""The build requires TensorFlow only if the compiled op can be built."""

import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

import build_backend

HOOKS = [
    build_backend.get_requires_for_build_wheel,
    build_backend.get_requires_for_build_editable,
]


@pytest.fixture(autouse=True)
def _no_setuptools(monkeypatch):
    """Replaces setuptools' own requirements, which run setup.py."""
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


def test_the_source_distribution_has_what_its_build_needs(tmp_path):
    pytest.importorskip("setuptools")
    root = pathlib.Path(build_backend.__file__).parent
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".*", "*.so", "*.egg-info", "build", "runs", "site", "tests")
    shutil.copytree(root, copy, ignore=ignored)
    command = [sys.executable, "setup.py", "-q", "sdist", "--formats=tar", "-d", str(tmp_path)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = [p for p in (copy / "custom_ops").rglob("*") if p.is_file()]
    assert {p.relative_to(copy).as_posix() for p in sources} <= names
    assert {"build_backend.py", "setup.py", "README.md", "tf_mvae/py.typed"} <= names
    assert {"tf_mvae/pretrained/digits.keras", "tf_mvae/pretrained/digits.md"} <= names
    assert any(name.startswith("tf_mvae/serving/server/page/") for name in names)
