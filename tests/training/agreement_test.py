"""Processes that train together compare their settings before training."""

import json
import os

import numpy as np
import tensorflow as tf

from tests import processes
from tests.training.replicas_test import free_addresses
from tests.training.trainer_test import tiny_command
from tf_mvae.data.pipeline import Split
from tf_mvae.training import RunConfig, make_strategy
from tf_mvae.training.agreement import check_agreement, of_chief, settings_that_matter


def splits(first=0.0, number=5, text=b"a"):
    values = np.arange(number, dtype=np.float32) + first
    dataset = tf.data.Dataset.from_tensor_slices({"x": {"a": values, "b": [text] * number}})
    return dict.fromkeys(("train", "validation"), Split(dataset, number))


def differing(one, other):
    return {name for name in {**one, **other} if one.get(name) != other.get(name)}


def test_what_decides_the_result_is_compared(tmp_path):
    config = RunConfig("digits", assets_dir=str(tmp_path))
    (tmp_path / "en.model").write_bytes(b"words")
    base = settings_that_matter(config, splits(), 100)
    again = config.replace(data_dir="/elsewhere", steps_per_execution=3)
    assert settings_that_matter(again, splits(), 100) == base
    weighed = config.replace(likelihood_weight={"label": 2.0}, seed=1)
    changed = settings_that_matter(weighed, splits(), 7)
    assert differing(base, changed) == {"--likelihood_weight", "--seed", "--checkpoint_steps"}
    for other in (splits(first=1.0), splits(text=b"b")):
        changed = settings_that_matter(config, other, 100)
        assert differing(base, changed) == {"first train example", "first validation example"}
    changed = settings_that_matter(config, splits(number=6), 100)
    assert differing(base, changed) == {
        "number of train examples", "number of validation examples",
    }  # fmt: skip
    (tmp_path / "en.model").write_bytes(b"other words")
    changed = settings_that_matter(config, splits(), 100)
    assert differing(base, changed) == {"assets made of the training data"}


def test_one_process_agrees_with_itself():
    strategy = make_strategy("mirrored")
    assert of_chief(strategy, [3, 2**40]) == [3, 2**40]
    check_agreement(strategy, {"--seed": "0", "text": "é"})


def test_two_processes_that_differ_both_end_with_one_line(tmp_path):
    """With the real strategy: neither process waits for the other, and nothing is written."""
    cluster = {"worker": free_addresses(2)}
    started = []
    for index, flags in enumerate((["--epochs=2"], ["--epochs=3", "--seed=4"])):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        flags += ["--strategy=multi_worker", "--jit_compile=false"]
        command = tiny_command(tmp_path / f"{index}", *flags)
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        started.append(processes.start(*command, env=environment))
    chief, worker = (process.communicate(timeout=300)[1] for process in started)
    assert [process.returncode for process in started] == [2, 2], (chief, worker)
    assert "another process differs from the chief in --epochs, --seed; start every" in chief
    assert "--epochs=3 (the chief has 2), --seed=4 (the chief has 0)" in worker
    assert "Traceback" not in chief + worker
    assert not list(tmp_path.iterdir())
