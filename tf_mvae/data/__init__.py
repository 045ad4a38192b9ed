"""Data: the batch contract, the input pipeline and data sets."""

from tf_mvae.data.pipeline import Split, evaluation_batches, training_batches

__all__ = ["Split", "evaluation_batches", "training_batches"]
