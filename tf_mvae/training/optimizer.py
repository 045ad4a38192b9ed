"""The optimizer of a run: Keras' Adam, with what its flags add."""

import keras

from tf_mvae.models import FusedAdam
from tf_mvae.training.config import RunConfig

__all__ = ["make_optimizer"]


def make_optimizer(config: RunConfig, steps_per_epoch: int) -> FusedAdam:
    """Returns the optimizer that a configuration describes.

    Schedules count batches, also those whose gradients are only gathered.

    Args:
        config: The run's configuration.
        steps_per_epoch: Batches of an epoch.
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
    rate, warmup = config.learning_rate, config.warmup_steps
    cosine = config.learning_rate_schedule == "cosine"
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps) if cosine else rate
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        alpha=0.0 if cosine else 1.0,  # the share of the rate that is left in the end
        warmup_target=rate,
        warmup_steps=warmup,
    )
