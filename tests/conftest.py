"""The order and the parts of the test files, and where their fixtures are."""

import functools
import importlib
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_configure(config):
    """Loads fixtures, but for the process that only hands tests to others: TensorFlow takes 5 s."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.register(importlib.import_module("tests.fixtures"), "tests.fixtures")


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
