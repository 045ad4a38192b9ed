"""How weights are updated: the optimizer, steps in one program, and the type of the arithmetic."""

from tf_mvae.optimization.adam import FusedAdam
from tf_mvae.optimization.execution import several_steps
from tf_mvae.optimization.precision import inner_optimizer, layers_compute_in

__all__ = ["FusedAdam", "inner_optimizer", "layers_compute_in", "several_steps"]
