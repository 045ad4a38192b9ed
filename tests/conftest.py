"""Fixtures and settings of all tests: fixed seeds, two logical CPUs, a tiny model."""

import functools
import gc
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf
from keras.src.trainers import trainer
from tensorflow.python.autograph.core import config as conversion
from tensorflow.python.framework import config

from tests import tiny

# Two replicas need two devices, and these can be made only before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# On a GPU float32 is multiplied with 10 bits of 23 otherwise.
tf.config.experimental.enable_tensor_float_32_execution(False)


# Tests' graphs are small and run a few times: optimising them takes longer than it saves. Commands
# that tests start as processes of their own optimise theirs.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
# Tracing makes many objects that stay: fewer searches for cycles take 7 % less time in all.
gc.set_threshold(200_000, 20, 100)

# AutoGraph converts whatever a traced function calls, and finds no Python `if` of a tensor there.
# That takes a seventh of the tests' time. Tests of users' functions have the fixture `autograph`.
_RULES = conversion.CONVERSION_RULES
conversion.CONVERSION_RULES = (
    *(conversion.DoNotConvert(name) for name in ("keras", "tests", "tf_mvae")),
    *_RULES,
)

# By default Keras has XLA compile a model's steps: that takes seconds, and 80 MB a model, which are
# never given back. Tests of XLA ask for it.
trainer.Trainer._resolve_auto_jit_compile = lambda model: False


def pytest_addoption(parser):
    parser.addoption(
        "--part",
        metavar="I/N",
        help="run the I-th of N parts of the test files: TensorFlow never gives compiled programs "
        "back, and a process that runs all tests takes 10 GB",
    )


# Files that take a minute or more. They begin first, so that no process runs one alone at the end,
# and parts have equally many of them.
_LONG_FILES = (
    "training/trainer_test.py",
    "training/replicas_test.py",
    "conformance/conformance_test.py",
    "commands_test.py",
    "experiments/transformations_test.py",
    "compatibility/compatibility_test.py",
    "experiments/experiments_test.py",
    "training/models_test.py",
    "objectives/drawn_rows_test.py",
    "serving/native_test.py",
    "docs_test.py",
    "group_test.py",
    "experiments/translation_test.py",
    "training/checkpoints_test.py",
    "data/buckets_test.py",
    "samplers/fitting_test.py",
    "experiments/celeba_test.py",
    "experiments/multi_mnist_test.py",
    "training/incomplete_test.py",
    "experiments/survival_table_test.py",
    "models/sequences_test.py",
    "serving/reload_test.py",
    "inference/input_data_test.py",
    "training/optimizer_test.py",
)


def _in_order(files):
    """Returns test files in the order in which they run."""
    folder = pathlib.Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(_LONG_FILES)}
    return sorted(files, key=lambda path: (places.get(path, len(places)), path))


@functools.cache
def _files_of(part):
    """Returns the test files of a part `I/N`: every N-th of all, from the I-th on."""
    index, number = (int(text) for text in part.split("/"))
    files = _in_order(pathlib.Path(__file__).parent.rglob("*_test.py"))
    return set(files[index - 1 :: number])


def pytest_ignore_collect(collection_path, config):
    """Other parts' files are not even imported."""
    part = config.getoption("--part")
    ignored = part and collection_path.match("*_test.py") and collection_path not in _files_of(part)
    return True if ignored else None


def pytest_collection_modifyitems(items):
    order = {path: place for place, path in enumerate(_in_order({item.path for item in items}))}
    items.sort(key=lambda item: order[item.path])


# Every operation that a TensorFlow without anything beside it has registered.
_REGISTRY = """
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session as session
import sys
operations = op_def_pb2.OpList()
operations.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
assert not [module for module in sys.modules if module.startswith("tf_mvae")]
print(*(operation.name for operation in operations.op))
"""


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
    """Sets the seeds before a shared fixture is made, so that the order of tests has no effect."""
    if fixturedef.scope != "function":
        keras.utils.set_random_seed(1234)


@pytest.fixture(autouse=True)
def _fixed_seeds():
    keras.utils.set_random_seed(1234)
    yield
    # A run without XLA makes operations repeatable, and Keras compiles nothing by XLA from then
    # on. TensorFlow has no public way back.
    config.disable_op_determinism()


# Memory that a process may take up until models that nothing refers to are looked for.
_GROWTH = 500e6
_memory_at_collection = 0.0


def _resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def _bounded_memory():
    """Frees models and traced functions, which are reference cycles, when memory has grown."""
    global _memory_at_collection
    yield
    if _resident_bytes() > _memory_at_collection + _GROWTH:
        gc.collect()
        _memory_at_collection = _resident_bytes()


@pytest.fixture(params=tiny.MODES)
def mode(request):
    """A way to run a function: `mode(function)` runs it eagerly, in a graph, or under XLA."""
    return tiny.MODES[request.param]


@pytest.fixture
def autograph(monkeypatch):
    """AutoGraph converts this package's functions, as it does in a user's `tf.function`."""
    monkeypatch.setattr(conversion, "CONVERSION_RULES", _RULES)


@pytest.fixture
def graph_optimizer():
    """Graphs are optimised, as in a user's program: fused operations round otherwise."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture
def bfloat16_policy():
    """Networks compute in bfloat16 while a test runs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture
def training_alone(monkeypatch):
    """Runs that are trained in this process draw and export nothing."""
    for name in ("draw", "finish"):
        monkeypatch.setattr(f"tf_mvae.training.trainer.{name}", lambda *_: {})


@pytest.fixture
def tiny_model():
    """A model of an image, a label and a vector; every term reconstructs all of them."""
    return tiny.make_model()


@pytest.fixture
def tiny_batch():
    """Eight examples, one of every presence pattern of the tiny model's modalities."""
    return tiny.make_batch()


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """A TFDS directory for the embedded digits, prepared at first use."""
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="session")
def registered_operations():
    """The names of all operations of a bare TensorFlow."""
    command = [sys.executable, "-I", "-c", _REGISTRY]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    names = set(done.stdout.split())
    assert {"MatMul", "EagerPyFunc"} <= names
    return names
