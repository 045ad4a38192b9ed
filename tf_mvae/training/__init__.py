"""Training: runs, their directories and checkpoints."""

from tf_mvae.training.card import run_card
from tf_mvae.training.config import RunConfig
from tf_mvae.training.run import Run, load_run
from tf_mvae.training.trainer import train

__all__ = ["Run", "RunConfig", "load_run", "run_card", "train"]
