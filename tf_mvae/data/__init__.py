"""Data: the input pipeline, incomplete data and data sets."""

from tf_mvae.data.arrays import from_arrays
from tf_mvae.data.pipeline import Split, evaluation_batches, training_batches
from tf_mvae.data.schema import Schema
from tf_mvae.data.tables import Table, from_frame

__all__ = [
    "Schema",
    "Split",
    "Table",
    "evaluation_batches",
    "from_arrays",
    "from_frame",
    "training_batches",
]
