"""Which devices and machines a run trains on: TensorFlow's distribution strategies."""

import json
import os

import tensorflow as tf

from tf_mvae.errors import UserError

__all__ = ["STRATEGIES", "make_strategy"]

STRATEGIES = ("default", "mirrored", "multi_worker", "tpu", "parameter_server")
_UNSUPPORTED = {
    "tpu": "no step of this package has run on a TPU",
    "parameter_server": "its workers take steps on weights of different ages, so that a run would "
    "depend on their number",
}


def make_strategy(name: str, num_logical_cpus: int = 0) -> tf.distribute.Strategy | None:
    """Returns a strategy; None for `'default'`, one device.

    Call it before anything else of TensorFlow's: devices are made as it starts.

    Args:
        name: `'mirrored'`, all accelerators of this machine (or its logical CPUs), or
            `'multi_worker'`, the processes that `TF_CONFIG` names, as TensorFlow defines it.
        num_logical_cpus: As how many devices the CPU counts; 0 leaves it alone. For trying
            a strategy without accelerators.

    Raises:
        UserError: The strategy is not supported, or `TF_CONFIG` is missing or wrong.
    """
    if name not in STRATEGIES:
        raise UserError(f"--strategy={name} is not known; there are {', '.join(STRATEGIES)}")
    if name in _UNSUPPORTED:
        raise UserError(
            f"--strategy={name} is not supported ({_UNSUPPORTED[name]}); take mirrored or "
            "multi_worker"
        )
    if num_logical_cpus:
        _split_cpu(num_logical_cpus)
    if name == "mirrored":
        if tf.config.list_logical_devices("GPU"):
            return tf.distribute.MirroredStrategy()
        # Left to itself, it takes one logical CPU only; and a second strategy of a process
        # would count its collective operations as the first one's.
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(cpus, tf.distribute.ReductionToOneDevice())
    if name == "multi_worker":
        address = _check_tf_config()
        port = address.rpartition(":")[2]
        print(
            f"warning: TensorFlow listens at port {port} of every network interface and runs what "
            "it is sent; see 'Who may connect' in docs/scaling.md",
            flush=True,
        )
        return tf.distribute.MultiWorkerMirroredStrategy()
    return None


def _split_cpu(number: int) -> None:
    if number < 0:
        raise UserError(f"--num_logical_cpus must not be negative; it is {number}")
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    except RuntimeError as error:
        raise UserError("--num_logical_cpus comes too late: TensorFlow is at work") from error


def _check_tf_config() -> str:
    """Returns this process' address in TF_CONFIG; says what is wrong with it, if anything."""
    text = os.environ.get("TF_CONFIG", "")
    example = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise UserError(f"--strategy=multi_worker needs TF_CONFIG={example}")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        roles, kind, index = set(cluster), task["type"], int(task["index"])
        address = cluster[kind][index]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"TF_CONFIG is not of the form {example}: {error!r}") from error
    if not roles <= {"chief", "worker"} or index < 0 or not isinstance(address, str):
        raise UserError(f"TF_CONFIG has roles {sorted(roles)}; take chief and worker, as {example}")
    return address
