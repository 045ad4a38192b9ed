"""Keras finds the package's classes in any order of imports, and commands start quickly."""

import subprocess
import sys

import keras
import pytest

import tf_mvae
from tests import tiny
from tf_mvae import api, serializable

LOAD = "model = load_model(sys.argv[1])\nassert type(model).__module__ == 'tf_mvae.models.mvae'"
PROGRAMS = {
    "tf.keras": "import tf_mvae, tensorflow\nload_model = tensorflow.keras.models.load_model",
    "module": "from tf_mvae.modality import Modality\nfrom keras.models import load_model",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model with layers, likelihoods and an optimizer of the package."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = tiny.make_model(batch_norm=True, kl_weight=tf_mvae.LinearAnnealing(3))
    model.compile("adam")
    model.save(path)
    return path


def run(*command, cwd=None):
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_package_that_is_run_by_its_name_loads_a_model(saved, tmp_path):
    """`python -m app`, whose `__init__` imports this package while argv[0] is '-m'."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("import tf_mvae\n")
    (tmp_path / "app" / "__main__.py").write_text(
        f"import sys\nfrom keras.models import load_model\n{LOAD}\n"
    )
    run("-m", "app", saved, cwd=tmp_path)


@pytest.mark.parametrize("first", PROGRAMS)
def test_a_model_is_loaded_whatever_is_imported_first(saved, first):
    run("-c", f"import sys\n{PROGRAMS[first]}\n{LOAD}", saved)


def test_every_class_that_is_registered_has_a_stand_in():
    listed = {f"tf_mvae>{name}": module for name, module in serializable.classes().items()}
    found = keras.saving.get_custom_objects()
    own = {key for key in found if key.startswith("tf_mvae>")}
    assert own == set(listed)
    for key, module in listed.items():
        value = found[key]
        kind = value._resolve() if isinstance(value, serializable._StandIn) else value
        assert (kind.__module__, kind.__name__) == (module, key.removeprefix("tf_mvae>"))


def test_a_stand_in_acts_as_its_class():
    stand_in = serializable._StandIn("tf_mvae.layers.dropout", "SeededDropout")
    layer = stand_in.from_config({"rate": 0.5})
    assert layer.rate == stand_in(0.5).rate == 0.5
    assert stand_in.__name__ == "SeededDropout"


def test_public_names_come_from_one_list():
    assert tf_mvae.__all__ == api.__all__
    assert {getattr(tf_mvae, name) for name in api.__all__} == {
        getattr(api, name) for name in api.__all__
    }
    assert set(api.__all__) <= set(dir(tf_mvae))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tf_mvae.nothing


def test_the_package_and_help_import_no_tensorflow():
    """`--help` is answered before anything slow is imported."""
    heavy = "{'keras', 'numpy', 'tensorflow'} & set(sys.modules)"
    program = f"""
import runpy, sys
import tf_mvae
sys.argv[:] = ["train", "--help"]
try:
    runpy.run_module("tf_mvae.train", run_name="__main__")
except SystemExit:
    print({heavy} or "light")
"""
    shown = run("-c", program)
    assert "--run_dir" in shown and shown.endswith("light\n")
