"""Strategies by name, and error messages for a wrong TF_CONFIG."""

import json

import pytest

from tf_mvae.errors import UserError
from tf_mvae.training.strategy import STRATEGIES, make_strategy

CLUSTER = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


def test_mirrored_takes_all_logical_cpus():
    strategy = make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2  # tests.fixtures makes two
    assert make_strategy("default") is None


@pytest.mark.parametrize("name", ["tpu", "parameter_server", "horovod"])
def test_what_is_not_supported_is_told(name):
    with pytest.raises(UserError, match=f"--strategy={name}"):
        make_strategy(name)
    assert (name in STRATEGIES) == (name != "horovod")


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        "[]",
        json.dumps({"cluster": CLUSTER}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}),
    ],
)
def test_a_wrong_tf_config_is_one_line(monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="TF_CONFIG") as caught:
        make_strategy("multi_worker")
    assert "\n" not in str(caught.value)


def test_devices_cannot_be_made_once_tensorflow_is_at_work():
    make_strategy("mirrored")
    with pytest.raises(UserError, match="before TensorFlow starts"):
        make_strategy("mirrored", num_logical_cpus=3)
    with pytest.raises(UserError, match="negative"):
        make_strategy("mirrored", num_logical_cpus=-1)
