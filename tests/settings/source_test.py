"""Declarations that are read from source text equal the registered ones."""

import importlib
import subprocess
import sys

import pytest

from tf_mvae.errors import UserError
from tf_mvae.settings import ANALYSES, EXPERIMENTS, MODELS, shared_settings, source

REGISTRIES = {registry.kind: registry for registry in (MODELS, EXPERIMENTS, ANALYSES)}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_what_is_read_is_what_is_registered(kind):
    registry = REGISTRIES[kind]
    for declared in registry.own():
        registered = registry[declared.name]
        assert declared.settings == registered.settings, declared.name
        assert kind == "model" or declared.description == registered.description
        for field in ("table", "asks", "trains"):
            assert (field in declared.fields) == bool(getattr(registered, field, None))
        if declared.symbol:
            assert hasattr(importlib.import_module(declared.module), declared.symbol)
    assert declared.name in registry.names()


def test_everything_that_is_registered_is_read():
    """Compared with a process that has imported every module."""
    program = (
        "import importlib, pathlib, tf_mvae\n"
        "from tf_mvae.settings import ANALYSES, EXPERIMENTS, MODELS\n"
        "for registry in (MODELS, EXPERIMENTS, ANALYSES):\n"
        "    room = registry.package.rpartition('.')[2]\n"
        "    for path in (pathlib.Path(tf_mvae.__file__).parent / room).glob('*.py'):\n"
        "        importlib.import_module(f'{registry.package}.{path.stem}')\n"
        "    assert sorted(registry._items) == registry.own_names(), registry.kind\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_settings_of_every_run_are_those_of_the_modules():
    read = {setting.name: setting for setting in shared_settings()}
    found = [
        importlib.import_module(module).SETTINGS
        for room in ("experiments", "models", "training")
        for module in source.modules_in(f"tf_mvae.{room}")
        if source.shared(module)
    ]
    imported = [setting for part in found for setting in part]
    assert len(found) >= 8 and list(read) == [setting.name for setting in imported]
    assert all(read[setting.name] == setting for setting in imported)


def test_no_two_settings_share_a_flag():
    """Otherwise the flag would have the help and the default of only one of them."""
    known = {setting.name: setting for setting in shared_settings()}
    for registry in (MODELS, EXPERIMENTS):
        for declared in registry.own():
            for setting in declared.settings:
                assert known.setdefault(setting.name, setting) == setting, declared.name


MODULE = '''
import not_installed

from tf_mvae import checks
from tf_mvae.settings import Setting

SIZE = 3
COMMON = (Setting("size", SIZE, "A size.", checks.positive_integer),)


@preset("mine", *COMMON, Setting("rate", 0.5, "A rate."))
class Mine(not_installed.Model):
    """A model."""


experiment = register(Experiment(name="data", description="Some data", load=load))
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    source._scope.cache_clear()
    yield tmp_path / "outside"
    source._scope.cache_clear()


def test_a_module_is_read_and_not_imported(package):
    (package / "parts.py").write_text(MODULE)
    model, data = source.declarations("outside.parts")
    assert (model.kind, model.name, model.symbol) == ("model", "mine", "Mine")
    assert [(s.name, s.default) for s in model.settings] == [("size", 3), ("rate", 0.5)]
    assert (data.kind, data.name, data.symbol) == ("experiment", "data", "experiment")
    assert MODELS.declaration("outside.parts:Mine") == MODELS.declaration("outside.parts:mine")
    assert "outside" not in sys.modules


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODULE.replace("0.5", "compute()"), "line 11 of outside.parts.*not literal.*compute"),
        ("def", "cannot be read"),
        ("", "declares no model 'mine'; it declares none"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(package, text, message):
    (package / "parts.py").write_text(text)
    with pytest.raises(UserError, match=message):
        MODELS.declaration("outside.parts:mine")


@pytest.mark.parametrize("name", ["no_such_package:x", "outside.nothing:x", "no.such:x", ":x"])
def test_a_module_that_is_not_there_is_named(package, name):
    with pytest.raises(UserError, match="no module"):
        MODELS.declaration(name)


def test_an_entry_point_is_a_name(package, tmp_path):
    (package / "parts.py").write_text(MODULE)
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tf_mvae.models]\ntheirs = outside.parts:Mine\n")
    assert "theirs" in MODELS.names() and MODELS.declaration("theirs").name == "mine"
    with pytest.raises(UserError, match="--model=their is not known .did you mean theirs"):
        MODELS.declaration("their")
