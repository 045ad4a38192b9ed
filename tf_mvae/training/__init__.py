"""Training: runs, their directories and checkpoints."""

from tf_mvae.training.card import run_card
from tf_mvae.training.config import RunConfig
from tf_mvae.training.replicas import LostWorker
from tf_mvae.training.run import Run, load_run
from tf_mvae.training.stopping import Stopped
from tf_mvae.training.strategy import make_strategy
from tf_mvae.training.trainer import train

__all__ = [
    "LostWorker",
    "Run",
    "RunConfig",
    "Stopped",
    "load_run",
    "make_strategy",
    "run_card",
    "train",
]
