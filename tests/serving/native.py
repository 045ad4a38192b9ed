"""Runs an export in C and in Python, and compares: `python -m tests.serving.native SAVED_MODEL`."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from tf_mvae.serving import example_inputs

__all__ = ["build", "compare"]

HERE = pathlib.Path(__file__).parent


def build(path):
    """Compiles the C program to a path."""
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["bash", HERE / "c" / "build.sh", path], check=True, env=environment)


def compare(program, export, folder, skip=()):
    """Runs every signature on two examples, the first of which has nothing.

    Args:
        program: The compiled program.
        export: The SavedModel.
        folder: Where inputs and outputs go.
        skip: Signatures to leave out.

    Returns:
        By signature, the largest difference between C's and Python's numbers: absolute, or
        relative to numbers beyond 1 (a log-likelihood of -500 nats is a sum of hundreds).
    """
    described = json.loads((export / "assets.extra" / "tf_mvae.json").read_text())
    given = {}
    for name in set(described["signatures"]) - set(skip):
        given[name] = example_inputs(described, name, batch=2, seed=7)
        (folder / "in" / name).mkdir(parents=True)
        for key, value in given[name].items():
            if key.endswith("_mask"):
                value[0] = 0
            np.save(folder / "in" / name / f"{key}.npy", value)
    expected = _answers(export, given)
    command = [program, export, folder / "in", folder / "out"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    assert set(run.stdout.split()) == set(expected)
    differences = {}
    for name, outputs in expected.items():
        files = {path.stem: np.load(path) for path in (folder / "out" / name).iterdir()}
        assert set(files) == set(outputs)
        assert all(files[key].shape == value.shape for key, value in outputs.items())
        differences[name] = max(
            float(np.max(np.abs(files[key] - value) / np.maximum(np.abs(value), 1)))
            for key, value in outputs.items()
        )
    return differences


def _answers(export, given):
    """Answers requests by signature in Python, by the graph as it was written.

    The program's session rewrites it first, which is quicker to run and slow to do.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], str(export)).signature_def
        return {
            name: session.run(
                {key: info.name for key, info in signatures[name].outputs.items()},
                {signatures[name].inputs[key].name: value for key, value in inputs.items()},
            )
            for name, inputs in given.items()
        }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        build(place / "run_saved_model")
        found = compare(place / "run_saved_model", pathlib.Path(sys.argv[1]), place)
    for signature, difference in sorted(found.items()):
        print(f"{signature:28s} largest difference {difference:.1e}")
