"""The optimizer of a run: Adam with schedules, clipping, accumulation and averages."""

import keras

from tf_mvae import checks
from tf_mvae.optimization import FusedAdam
from tf_mvae.settings import Setting
from tf_mvae.training.config import RunConfig

__all__ = ["SETTINGS", "make_optimizer"]

SETTINGS = (
    Setting("learning_rate", 1e-3, "Adam's learning rate.", checks.positive),
    Setting(
        "learning_rate_schedule",
        "constant",
        "How the learning rate changes; cosine decreases it to 0 over the run.",
        choices=("constant", "cosine"),
    ),
    Setting(
        "warmup_steps",
        0,
        "Batches over which the learning rate rises from 0.",
        checks.non_negative_integer,
    ),
    Setting(
        "gradient_accumulation_steps",
        1,
        "Batches whose gradients are averaged for one update.",
        checks.positive_integer,
    ),
    Setting(
        "clip_norm",
        0.0,
        "Upper bound of the global norm of the gradients; 0: no clipping.",
        checks.non_negative,
    ),
    Setting(
        "ema",
        0.0,
        "Decay per batch (0.999, say) of a moving average of the weights, which is "
        "evaluated and exported; 0: no average.",
        checks.below_one,
    ),
)


def make_optimizer(config: RunConfig, steps_per_epoch: int) -> FusedAdam:
    """Returns the optimizer that a configuration describes.

    Schedules count batches, including those whose gradients are only accumulated.

    Args:
        config: The run's configuration.
        steps_per_epoch: The number of batches of an epoch.
    """
    accumulate = config.gradient_accumulation_steps
    return FusedAdam(
        _learning_rate(config, config.epochs * steps_per_epoch),
        global_clipnorm=config.clip_norm or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
    )


def _learning_rate(
    config: RunConfig, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate, or its schedule over the batches of a run.

    It rises linearly during the warm-up, then is constant or `rate (1 + cos(pi t)) / 2`, with t
    from 0 to 1.
    """
    rate, warmup = config.learning_rate, config.warmup_steps
    cosine = config.learning_rate_schedule == "cosine"
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps) if cosine else rate
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        alpha=0.0 if cosine else 1.0,  # the fraction of the rate at the end
        warmup_target=rate,
        warmup_steps=warmup,
    )
