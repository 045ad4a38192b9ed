"""Training: runs, their directories and checkpoints.

Public names are imported lazily, on first access, so that flags can be checked before TensorFlow is
imported.
"""

from typing import TYPE_CHECKING

from tf_mvae.names import lazy

if TYPE_CHECKING:
    from tf_mvae.training.card import run_card
    from tf_mvae.training.config import RunConfig
    from tf_mvae.training.divergence import Diverged
    from tf_mvae.training.replicas import LostWorker
    from tf_mvae.training.run import Run, load_run
    from tf_mvae.training.run_sampler import fit_sampler_of_run
    from tf_mvae.training.sampler import SamplerSettings
    from tf_mvae.training.stopping import Stopped
    from tf_mvae.training.strategy import make_strategy
    from tf_mvae.training.trainer import train

_MODULES = {
    "Diverged": "divergence",
    "LostWorker": "replicas",
    "Run": "run",
    "RunConfig": "config",
    "SamplerSettings": "sampler",
    "Stopped": "stopping",
    "fit_sampler_of_run": "run_sampler",
    "load_run": "run",
    "make_strategy": "strategy",
    "run_card": "card",
    "train": "trainer",
}

__all__ = [
    "Diverged",
    "LostWorker",
    "Run",
    "RunConfig",
    "SamplerSettings",
    "Stopped",
    "fit_sampler_of_run",
    "load_run",
    "make_strategy",
    "run_card",
    "train",
]

__getattr__ = lazy(__name__, _MODULES)
