"""Setuptools' build backend, which asks for TensorFlow's headers where they can be used.

`pip install .` builds in an environment of its own, without TensorFlow. The compiled product
of experts (custom_ops) needs TensorFlow's headers, but only where there is a compiler; nobody
else should have to fetch TensorFlow twice.
"""

import os
import shutil

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  the backend's other functions

# As in setup.py.
TENSORFLOW = "tensorflow>=2.20,<2.22"


def can_compile() -> bool:
    """Whether the op is wanted and there are a compiler and make."""
    wanted = os.environ.get("TF_MVAE_CUSTOM_OPS", "auto") != "0"
    return wanted and all(map(shutil.which, (os.environ.get("CXX", "g++"), "make")))


def get_requires_for_build_wheel(config_settings=None):
    """Returns what building a wheel takes."""
    found = build_meta.get_requires_for_build_wheel(config_settings)
    return [*found, *[TENSORFLOW] * can_compile()]


def get_requires_for_build_editable(config_settings=None):
    """Returns what an editable installation takes."""
    found = build_meta.get_requires_for_build_editable(config_settings)
    return [*found, *[TENSORFLOW] * can_compile()]
