"""Draws the README's picture from a run of the quick start.

    python -m tf_mvae.train --flagfile=configs/quickstart.cfg
    python results/write_picture.py runs/quickstart

writes docs/pictures/quickstart.png: images that are generated given a label, and the probabilities
of the label given images of the test split.
"""

import argparse
import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.models import MultimodalVAE
from tf_mvae.training import load_run
from tf_mvae.visualization import save_figure
from tf_mvae.visualization.grids import tile

TARGET = pathlib.Path(__file__).parents[1] / "docs" / "pictures" / "quickstart.png"
_ROWS, _CLASSES, _GUESSED = 6, 10, 5


def draw(model: MultimodalVAE, images: np.ndarray) -> Figure:
    """Returns the picture.

    Args:
        model: Of an image `image` and ten classes `label`.
        images: Of test examples, `[number, height, width, channels]` in [0, 1]; 5 are shown.
    """
    figure = Figure(figsize=(9, 3.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=[1.75, 1])
    labels = np.arange(_CLASSES)
    drawn = model.generate({"label": labels}, _ROWS, seed=0)["image"].numpy()  # [row, class, ...]
    canvas = tile(1 - drawn.reshape([-1, *drawn.shape[2:]]), _CLASSES)
    axes = left.subplots()
    axes.imshow(canvas)
    axes.set_xticks((labels + 0.5) * canvas.shape[1] / _CLASSES, labels)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    left.suptitle("images generated given their label", fontsize=11)
    chances = model.generate({"image": images}, 100, seed=0)["label"].numpy().mean(0)
    cells = right.subplots(_GUESSED, 2, width_ratios=[1, 4])
    for place, (picture, bars) in enumerate(cells):
        picture.imshow(tile(1 - images[place : place + 1], 1))
        picture.set_axis_off()
        bars.bar(labels, chances[place], color="#3f51b5")
        bars.set(ylim=(0, 1), yticks=[])
        bars.set_xticks(labels, labels if place == _GUESSED - 1 else [""] * _CLASSES)
        bars.tick_params(length=0)
        bars.spines[["top", "left", "right"]].set_visible(False)
    right.suptitle("labels predicted from test images", fontsize=11)
    return figure


def main() -> None:
    """Writes the picture of the run that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir")
    run = load_run(parser.parse_args().run_dir)
    images = next(iter(run.batches("test", 100)))["x"]["image"].numpy()
    images = images / (255 if images.dtype == np.uint8 else 1)
    print(save_figure(draw(run.model, images), TARGET))


if __name__ == "__main__":
    main()
