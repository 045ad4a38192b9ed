"""Detects that a run diverges, before NaN or infinity is written to a checkpoint."""

import math
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tf_mvae.errors import UserError

__all__ = ["EXIT_STATUS", "Diverged", "FiniteCheck", "non_finite"]

# The exit status of `tf_mvae.train` when a run diverges; 2 is a user's mistake.
EXIT_STATUS = 3

# Loss scaling (mixed_float16) starts with a factor of 2**15, and halves it at each step that it
# skips. Below this factor gradients are not finite for another reason.
_LEAST_LOSS_SCALE = 2.0**-20


class Diverged(UserError):
    """The loss, a weight or the optimizer's state is NaN or infinite.

    Such a state is never written to a checkpoint; the newest checkpoint is from before.

    Attributes:
        step: The optimizer step at which it was detected.
    """

    def __init__(self, message: str, step: int):
        """Makes the error with a message and the step."""
        super().__init__(message)
        self.step = step


def non_finite(model: keras.Model, weights_only: bool = False) -> str | None:
    """Returns the name of a part of a model's state that is not finite.

    Args:
        model: A compiled model.
        weights_only: Whether to check only weights, not the optimizer's state and the mean loss.

    Returns:
        The name for a message, such as `weight encoder/kernel`; None if everything is finite. With
        loss scaling (mixed_float16) the mean training loss may be infinite, and is not checked.
    """
    named = [(f"weight {v.path}", v.value) for v in model.variables]
    if not weights_only and model.optimizer is not None:
        named += [(f"optimizer variable {v.path}", v.value) for v in model.optimizer.variables]
        if not _scales_loss(model):
            losses = [m for m in model.metrics if m.name == "loss"]
            named += [("the mean loss", v.value) for m in losses for v in m.variables]
    named = [(name, value) for name, value in named if value.dtype.is_floating]
    if _all_finite([value for _, value in named]):
        return None
    return next(name for name, value in named if not _all_finite([value]))


class FiniteCheck:
    """Raises `Diverged` if the state of a run is not finite."""

    def __init__(
        self,
        step: int,
        last_checkpoint: Callable[[], str | None] | None = None,
        advice: str | None = None,
    ):
        """Makes a check, for a state that is finite now.

        Args:
            step: The current optimizer step.
            last_checkpoint: Returns the name of the newest checkpoint, or None; omit it if another
                process writes checkpoints.
            advice: What to try, for the end of the message; default: a run's flags.
        """
        self._advice = advice
        self._finite_at = step
        self._last_checkpoint = last_checkpoint

    def __call__(
        self, model: keras.Model, step: int, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Checks weights, optimizer and losses.

        Args:
            model: A compiled model.
            step: The optimizer step.
            metrics: The metrics of the epoch that ends here; `loss` and `val_loss` are checked.

        Raises:
            Diverged: A value is NaN or infinite.
        """
        problem = _problem(model, metrics or {})
        if problem is not None:
            raise Diverged(self._message(problem, step), step)
        self._finite_at = step

    def _message(self, problem: str, step: int) -> str:
        """Returns the message of the error: what is not finite, and what to try."""
        message = (
            f"training diverged: {problem} at step {step} (all was finite at step "
            f"{self._finite_at}). "
        )
        if self._advice is not None:
            return message + self._advice
        message += "Try a lower --learning_rate or --clip_norm=1, and check the scale of the data"
        if self._last_checkpoint is None:
            return message
        name = self._last_checkpoint()
        kept = "no checkpoint was written" if name is None else f"checkpoint {name} is kept"
        return f"{message}; start again with another --run_dir ({kept})"


def _problem(model: keras.Model, metrics: Mapping[str, float]) -> str | None:
    """Returns a message about what is not finite, or None."""
    names = {"val_loss": "validation loss"} | ({} if _scales_loss(model) else {"loss": "loss"})
    for name, words in names.items():
        if not math.isfinite(metrics.get(name, 0.0)):
            return f"the {words} is {metrics[name]}"
    if _scales_loss(model) and float(model.optimizer.dynamic_scale) < _LEAST_LOSS_SCALE:
        return "gradients overflow at any loss scale"
    name = non_finite(model)
    return None if name is None else f"{name} is not finite"


def _scales_loss(model: keras.Model) -> bool:
    """Returns whether the optimizer skips steps whose gradients are not finite."""
    return isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def _all_finite(values: Sequence[tf.Variable]) -> bool:
    """Returns whether all variables are finite, with a single transfer from the device."""
    finite = [tf.reduce_all(tf.math.is_finite(value)) for value in values]
    return bool(tf.reduce_all(tf.stack([tf.constant(True), *finite])))
