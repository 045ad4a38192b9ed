"""Which devices and machines a run trains on: TensorFlow's distribution strategies."""

import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.training.cluster import STRATEGIES, Cluster, check_strategy
from tf_mvae.training.replicas import lost_workers_named

__all__ = ["STRATEGIES", "make_strategy"]


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
        LostWorker: A process that `TF_CONFIG` names is gone again. Those that have not arrived
            are waited for, and named on standard error.
    """
    check_strategy(name, num_logical_cpus)
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
        cluster = Cluster.from_environment()
        print(
            f"warning: TensorFlow listens at port {cluster.port} of every network interface and "
            "runs what it is sent; see 'Who may connect' in docs/scaling.md",
            flush=True,
        )
        cluster.wait()
        with lost_workers_named():
            return tf.distribute.MultiWorkerMirroredStrategy()
    return None


def _split_cpu(number: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    except RuntimeError as error:
        raise UserError("--num_logical_cpus comes too late: TensorFlow is at work") from error
