"""What the tests of exports share."""

import subprocess
import sys

import pytest

from tests.serving import shaped
from tf_mvae.serving import ModelCard, export_version

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

CARD = ModelCard(
    data={"description": "nothing | at all"}, metrics={"elbo": -1.5}, licence="Nobody's."
)


@pytest.fixture(scope="session")
def registered_operations():
    """The names of all operations of a bare TensorFlow."""
    command = [sys.executable, "-I", "-c", _REGISTRY]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    names = set(done.stdout.split())
    assert {"MatMul", "EagerPyFunc"} <= names
    return names


@pytest.fixture(scope="session")
def digits_model():
    """A model in the digits' shapes."""
    return shaped.digits_shaped()


@pytest.fixture(scope="session")
def digits_export(digits_model, tmp_path_factory):
    """Its first version in `served/digits`."""
    return export_version(digits_model, tmp_path_factory.mktemp("served") / "digits", card=CARD)
