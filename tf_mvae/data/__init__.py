"""Data: the input pipeline, incomplete data and data sets.

Public names are imported lazily, on first access, so that commands can check the names of tables
before TensorFlow is imported.
"""

from typing import TYPE_CHECKING

from tf_mvae.names import lazy

if TYPE_CHECKING:
    from tf_mvae.data.arrays import from_arrays
    from tf_mvae.data.pipeline import Split, evaluation_batches, training_batches
    from tf_mvae.data.schema import Schema
    from tf_mvae.data.tables import Table, from_frame

_MODULES = {
    "Schema": "schema",
    "Split": "pipeline",
    "Table": "tables",
    "evaluation_batches": "pipeline",
    "from_arrays": "arrays",
    "from_frame": "tables",
    "training_batches": "pipeline",
}

__all__ = [
    "Schema",
    "Split",
    "Table",
    "evaluation_batches",
    "from_arrays",
    "from_frame",
    "training_batches",
]

__getattr__ = lazy(__name__, _MODULES)
