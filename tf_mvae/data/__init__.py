"""Data: the input pipeline, incomplete data and data sets."""

from tf_mvae.data.arrays import from_arrays
from tf_mvae.data.pipeline import Split, evaluation_batches, training_batches

__all__ = ["Split", "evaluation_batches", "from_arrays", "training_batches"]
