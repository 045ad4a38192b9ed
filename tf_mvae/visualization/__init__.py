"""Figures: grids of images, training curves, and generated examples of a trained model."""

from tf_mvae.visualization.calibration import write_calibration
from tf_mvae.visualization.curves import (
    write_accuracy_curves,
    write_curves,
    write_likelihood_paths,
)
from tf_mvae.visualization.grids import image_grid, save_figure
from tf_mvae.visualization.pictures import condition_figure, most_probable, write_pictures
from tf_mvae.visualization.sentences import sentences_of
from tf_mvae.visualization.values import value_table

__all__ = [
    "condition_figure",
    "image_grid",
    "most_probable",
    "save_figure",
    "sentences_of",
    "value_table",
    "write_accuracy_curves",
    "write_calibration",
    "write_curves",
    "write_likelihood_paths",
    "write_pictures",
]
