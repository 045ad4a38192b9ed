"""Noticing that a run diverges before a checkpoint holds NaN or infinity."""

import math
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tf_mvae.errors import UserError

__all__ = ["EXIT_STATUS", "Diverged", "FiniteCheck", "non_finite"]

# Of `tf_mvae.train` when a run diverges; 2 is a user's mistake.
EXIT_STATUS = 3

# Loss scaling halves its factor (2**15 at the start) at each step that it skips. Below this,
# it skipped so many steps that no factor will help.
_LEAST_LOSS_SCALE = 2.0**-20


class Diverged(UserError):
    """The loss, a weight or the optimizer's state is NaN or infinite.

    No checkpoint holds such a state: the newest one is from before.

    Attributes:
        step: The optimizer step at which it was noticed.
    """

    def __init__(self, message: str, step: int):
        """Keeps the message and the step."""
        super().__init__(message)
        self.step = step


def non_finite(model: keras.Model, weights_only: bool = False) -> str | None:
    """Names a part of a model's state that is not finite.

    Args:
        model: A compiled model.
        weights_only: Whether to leave out the optimizer's state and the mean loss.

    Returns:
        What it is, for a message; None if everything is finite. Where a loss scale skips steps
        (mixed_float16), the mean training loss may be infinite and does not count.
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
    """Raises `Diverged` when the state of a run is not finite."""

    def __init__(self, step: int, last_checkpoint: Callable[[], str | None] | None = None):
        """Begins with a state that is finite.

        Args:
            step: The optimizer step of that state.
            last_checkpoint: Returns the name of the newest checkpoint, None if there is none;
                omitted where another process writes checkpoints.
        """
        self._finite_at = step
        self._last_checkpoint = last_checkpoint

    def __call__(
        self, model: keras.Model, step: int, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Checks the state.

        Args:
            model: Its weights, optimizer and mean loss are checked.
            step: The optimizer steps taken.
            metrics: Those of an epoch that ends here: `loss` and `val_loss` are checked.

        Raises:
            Diverged: Something is NaN or infinite.
        """
        problem = _problem(model, metrics or {})
        if problem is not None:
            raise Diverged(self._message(problem, step), step)
        self._finite_at = step

    def _message(self, problem: str, step: int) -> str:
        message = (
            f"training diverged: {problem} at step {step} (all was finite at step "
            f"{self._finite_at}). Try a lower --learning_rate or --clip_norm=1, and check the "
            "scale of the data"
        )
        if self._last_checkpoint is None:
            return message
        name = self._last_checkpoint()
        kept = "no checkpoint was written" if name is None else f"checkpoint {name} is kept"
        return f"{message}; start again with another --run_dir ({kept})"


def _problem(model: keras.Model, metrics: Mapping[str, float]) -> str | None:
    names = {"val_loss": "validation loss"} | ({} if _scales_loss(model) else {"loss": "loss"})
    for name, words in names.items():
        if not math.isfinite(metrics.get(name, 0.0)):
            return f"the {words} is {metrics[name]}"
    if _scales_loss(model) and float(model.optimizer.dynamic_scale) < _LEAST_LOSS_SCALE:
        return "gradients overflow at any loss scale"
    name = non_finite(model)
    return None if name is None else f"{name} is not finite"


def _scales_loss(model: keras.Model) -> bool:
    """Says whether steps with gradients that are not finite are skipped."""
    return isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def _all_finite(values: Sequence[tf.Variable]) -> bool:
    # One transfer from the device for all of them.
    finite = [tf.reduce_all(tf.math.is_finite(value)) for value in values]
    return bool(tf.reduce_all(tf.stack([tf.constant(True), *finite])))
