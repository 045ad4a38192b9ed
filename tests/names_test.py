"""The names that flags accept without TensorFlow equal the registered ones."""

import pathlib

import pytest

import tests.tiny
import tf_mvae
from tf_mvae import __main__ as listing
from tf_mvae import names
from tf_mvae.errors import UserError
from tf_mvae.evaluation import baselines
from tf_mvae.settings import ANALYSES, EXPERIMENTS, MODELS

ROOT = pathlib.Path(tf_mvae.__file__).parent


def test_baselines_are_those_that_have_features():
    assert names.BASELINES[2:] == tuple(baselines.FEATURES)


def test_a_name_that_is_close_is_suggested():
    names.check_name("model", "mvae", ("mvae", "vae"))
    with pytest.raises(UserError, match=r"--model=mave is not known \(did you mean mvae\?\)"):
        names.check_name("model", "mave", ("mvae", "vae"))
    with pytest.raises(UserError, match="not known; there are mvae, "):
        names.check_name("model", "xyz", ("mvae", "vae"))


def test_the_listing_has_every_command_and_name(capsys):
    commands = {p.stem for p in ROOT.glob("*.py") if "command.run(main" in p.read_text()}
    assert set(listing.COMMANDS) == commands
    assert listing.main([]) == 0
    printed = capsys.readouterr().out
    for name in (*commands, *EXPERIMENTS, *MODELS, *ANALYSES):
        assert name in printed
    assert tf_mvae.__version__ in printed
    assert listing.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tf_mvae {tf_mvae.__version__}\n"
    assert listing.main(["train"]) == 2
    assert "python -m tf_mvae.train --help" in capsys.readouterr().err


def test_a_lazy_package_imports_a_name_once_and_refuses_others(monkeypatch):
    get = names.lazy("tests", {"make_model": "tiny"})
    assert get("make_model") is tests.tiny.make_model is tests.make_model
    monkeypatch.delattr(tests, "make_model")
    with pytest.raises(AttributeError, match="module 'tests' has no attribute 'other'"):
        get("other")
