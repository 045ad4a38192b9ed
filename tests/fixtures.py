"""Fixtures and settings of all tests: fixed seeds, two logical CPUs, a tiny model.

`conftest.py` loads this module in the processes that run tests.
"""

import gc
import os
import subprocess
import sys

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
# What has been imported stays: it is not searched for cycles.
gc.collect()
gc.freeze()

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


# A program that prints the names of TensorFlow's own operations, without this package's.
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


@pytest.fixture(scope="module")
def untraced():
    """Functions of TensorFlow run operation by operation.

    For files whose tests call each function once or twice: tracing it takes several times as long
    as a call. What is particular to graphs is tested elsewhere, or in tests that ask for `traced`.
    """
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def traced():
    """Functions are traced, as in a user's program, also in a file of `untraced` tests."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(before)


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
def nothing_exported(monkeypatch):
    """Runs that are trained in this process leave an empty SavedModel: tracing it takes longest."""
    tiny.export_nothing(monkeypatch)


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
