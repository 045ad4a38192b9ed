"""Whether XLA is to compile a run's step: measured, where the user leaves it open."""

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
        "Whether XLA compiles the step; auto measures which way is quicker "
        "before a new run begins.",
        choices=(True, False, "auto"),
    ),
    Setting(
        "steps_per_execution",
        1,
        "Steps that are one program, if as many divide an epoch, else the next fewer that do. "
        "If XLA compiles a short step, 10 save the time that starting a program takes. Replicas "
        "ignore it.",
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
    """Returns the configuration with `jit_compile` chosen, where it is "auto".

    A run that is there goes on as it began. For a new one a step of a model that is then thrown
    away is measured both ways, and the quicker way is taken: XLA makes most steps quicker, but a
    convolution on a CPU may take several times as long. What XLA cannot compile is left to
    TensorFlow. Several replicas do not measure (they would have to agree): XLA it is, unless
    `needs_no_xla`.

    Args:
        config: The run's configuration.
        directory: Of the run, new or not.
        make_model: Builds a compiled model.
        batch: Gives a training batch.
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
    """Returns the configuration's `steps_per_execution`, or the next fewer that divide `steps`.

    Keras would go on past the end of an epoch otherwise. Steps that XLA does not compile would
    gain nothing, and are one by one.
    """
    most = config.steps_per_execution if compiled else 1
    return max(n for n in range(1, min(steps, most) + 1) if steps % n == 0)


def needs_no_xla(model: BaseVAE) -> bool:
    """Says whether a step on several replicas adds up within, which XLA cannot compile."""
    return any(isinstance(layer, MaskedBatchNormalization) for layer in model._flatten_layers())


def _seconds_of_step(
    model: BaseVAE, batch: Any, compiled: bool, other: float | None = None
) -> float:
    """Returns the least time of a step, infinite where XLA cannot compile it.

    One step is enough where it takes twice as long as the `other` way: six images' take XLA two
    minutes on a CPU.
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
