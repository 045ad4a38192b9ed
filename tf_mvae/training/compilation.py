"""Decides whether XLA compiles a run's step; `--jit_compile=auto` measures it."""

import math
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import logging

from tf_mvae import checks
from tf_mvae.layers import MaskedBatchNormalization
from tf_mvae.models import BaseVAE
from tf_mvae.settings import Setting
from tf_mvae.training.config import RunConfig
from tf_mvae.training.run_directory import RunDirectory

__all__ = ["SETTINGS", "needs_no_xla", "steps_per_program", "with_jit_chosen"]

SETTINGS = (
    Setting(
        "jit_compile",
        True,
        "Whether XLA compiles the step; auto measures both at the start of a new run, and "
        "takes the faster.",
        choices=(True, False, "auto"),
    ),
    Setting(
        "steps_per_execution",
        1,
        "Number of steps per compiled program; if it does not divide an epoch, the next "
        "smaller number that does. 10 saves time if steps are short and XLA compiles "
        "them. Replicas ignore it.",
        checks.positive_integer,
        is_free=True,
    ),
)

_ROUNDS = 3


def with_jit_chosen(
    config: RunConfig,
    directory: RunDirectory,
    make_model: Callable[[RunConfig], BaseVAE],
    batch: Callable[[], Any],
    replicas: bool = False,
) -> RunConfig:
    """Returns the configuration with `jit_compile` True or False if it is "auto".

    An existing run keeps its choice. For a new run the time of a step is measured with and without
    XLA, on a model that is then discarded, and the faster way is chosen: XLA makes most steps
    faster, but a convolution on a CPU may take several times as long. If XLA cannot compile the
    step, it is not used. Several replicas do not measure, because they would have to agree; they
    use XLA unless `needs_no_xla`.

    Args:
        config: The run's configuration.
        directory: The run's directory, which may be new.
        make_model: Builds a compiled model.
        batch: Returns a training batch.
        replicas: Whether several replicas train.

    Raises:
        UserError: The directory's flags cannot be read.
    """
    if config.jit_compile != "auto":
        return config
    if directory.flags.exists():
        chosen = RunConfig.read(directory.flags).jit_compile
    elif replicas:
        chosen = not needs_no_xla(make_model(config))
    else:
        first, seconds = batch(), {}
        for compiled in (False, True):
            model = make_model(config.replace(jit_compile=compiled))
            seconds[compiled] = _seconds_of_step(model, first, compiled, seconds.get(False))
        chosen = seconds[True] <= seconds[False]
        print(
            f"a step takes {1000 * seconds[True]:.0f} ms compiled by XLA and "
            f"{1000 * seconds[False]:.0f} ms without: --jit_compile={str(chosen).lower()}"
        )
    return config.replace(jit_compile=chosen)


def steps_per_program(config: RunConfig, steps: int, compiled: bool) -> int:
    """Returns the largest number up to `steps_per_execution` that divides `steps`; 1 without XLA.

    With another number Keras would train past the end of an epoch. Steps that XLA does not compile
    would not become faster.

    Args:
        config: The run's configuration.
        steps: The number of steps of an epoch.
        compiled: Whether XLA compiles the step.
    """
    most = config.steps_per_execution if compiled else 1
    return max(n for n in range(1, min(steps, most) + 1) if steps % n == 0)


def needs_no_xla(model: BaseVAE) -> bool:
    """Returns whether the model sums over replicas within a step, which XLA cannot compile.

    Args:
        model: The model. Batch normalisation and self-training sum over replicas.
    """
    return bool(getattr(model, "self_training", None)) or any(
        isinstance(layer, MaskedBatchNormalization) for layer in model._flatten_layers()
    )


def _seconds_of_step(
    model: BaseVAE, batch: Any, compiled: bool, other: float | None = None
) -> float:
    """Returns the smallest time of a step in seconds; infinity if XLA cannot compile it.

    If a step takes twice as long as the `other` way, only one is measured (a step on six images may
    take XLA two minutes on a CPU).
    """
    step = tf.function(model.train_step, jit_compile=compiled, autograph=False)
    times = []
    try:
        for _ in range(1 + _ROUNDS):
            begin = time.perf_counter()
            float(step(batch)["loss"])
            times.append(time.perf_counter() - begin)
            if other and len(times) > 1 and times[-1] > 2 * other:
                break
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        if not compiled:
            raise
        logging.warning("XLA cannot compile the step: %s", str(error).splitlines()[0])
        return math.inf
    return min(times[1:])
