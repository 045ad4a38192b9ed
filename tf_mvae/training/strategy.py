"""Makes TensorFlow's distribution strategies: the devices and machines that a run trains on."""

import tensorflow as tf

from tf_mvae.errors import UserError
from tf_mvae.training.cluster import STRATEGIES, Cluster, check_strategy
from tf_mvae.training.replicas import lost_workers_named

__all__ = ["STRATEGIES", "make_strategy"]


def make_strategy(name: str, num_logical_cpus: int = 0) -> tf.distribute.Strategy | None:
    """Returns a distribution strategy, or None for `'default'`: a single device.

    Call it before any other function of TensorFlow, which creates the devices when it starts.

    Args:
        name: `'default'`; `'mirrored'`: all accelerators of this machine (or its logical CPUs); or
            `'multi_worker'`: the processes in the environment variable `TF_CONFIG`.
        num_logical_cpus: The number of logical devices of the CPU, to try a strategy without
            accelerators; 0: no change.

    Raises:
        UserError: The strategy is not supported, or `TF_CONFIG` is missing or wrong.
        LostWorker: A process in `TF_CONFIG` has ended again. (Processes that have not started yet
            are waited for, and reported on standard error.)
    """
    check_strategy(name, num_logical_cpus)
    if num_logical_cpus:
        _split_cpu(num_logical_cpus)
    if name == "mirrored":
        if tf.config.list_logical_devices("GPU"):
            return tf.distribute.MirroredStrategy()
        # By default it would use only one logical CPU. Collective operations are replaced by a
        # reduction, because a second strategy in a process would mix its ones with the first's.
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(cpus, tf.distribute.ReductionToOneDevice())
    if name == "multi_worker":
        cluster = Cluster.from_environment()
        print(
            f"warning: TensorFlow listens on port {cluster.port} of every network interface and "
            "runs any program that it is sent; see 'Who may connect' in docs/scaling.md",
            flush=True,
        )
        cluster.wait()
        with lost_workers_named():
            return tf.distribute.MultiWorkerMirroredStrategy()
    return None


def _split_cpu(number: int) -> None:
    """Splits the CPU into logical devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    except RuntimeError as error:
        raise UserError(
            "--num_logical_cpus has to be set before TensorFlow starts; make the strategy first"
        ) from error
