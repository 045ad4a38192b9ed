"""Calibration plots of imputations."""

import pathlib
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.visualization.grids import save_figure

__all__ = ["write_calibration"]


def write_calibration(
    results: Mapping[str, Mapping[str, Any]], path: pathlib.Path
) -> pathlib.Path | None:
    """Draws coverage curves, PIT histograms and the reliability of classes' probabilities.

    Args:
        results: The results of the analysis `imputation`, by name.
        path: The PNG file to write.

    Returns:
        The path, or None if the results have none of these, and no file is written.

    Example:
    ```python
    import pathlib

    results = {"coverage error, model": {"levels": [0.5, 0.9], "coverage": [0.45, 0.88]}}
    write_calibration(results, pathlib.Path("calibration.png"))
    ```
    """
    curves = {n.partition(", ")[2]: r for n, r in results.items() if "coverage" in r}
    histograms = {n.partition(", ")[2]: r for n, r in results.items() if "histogram" in r}
    classes = [result for result in results.values() if "confidence" in result]
    number = bool(curves) + len(histograms) + len(classes)
    if not number:
        return None
    figure = Figure(figsize=(3.4 * number, 3.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = iter(figure.subplots(1, number, squeeze=False)[0])
    if curves:
        _diagonal(axes := next(panels), "central interval, %", "held-out numbers inside, %")
        for name, result in curves.items():
            axes.plot(*_percent(result["levels"], result["coverage"]), label=name, linewidth=1.3)
        axes.legend(fontsize=7, frameon=False)
    for name, result in histograms.items():
        axes, size = next(panels), len(result["histogram"])
        places = [(place + 0.5) / size for place in range(size)]
        axes.bar(places, [size * value for value in result["histogram"]], 1 / size, alpha=0.7)
        axes.axhline(1, color="0.4", linestyle="--", linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("probability integral transform")
        axes.set_ylabel("density")
    for result in classes:
        _diagonal(axes := next(panels), "probability of the class, %", "classes that are right, %")
        axes.plot(*_percent(result["confidence"], result["accuracy"]), marker=".", linewidth=1.3)
    return save_figure(figure, path)


def _diagonal(axes: Axes, horizontal: str, vertical: str) -> None:
    """Draws the diagonal, the curve of a calibrated model, and labels the axes."""
    axes.plot([0, 100], [0, 100], color="0.4", linestyle="--", linewidth=1)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(alpha=0.3)


def _percent(*values: list[float]) -> list[list[float]]:
    """Returns lists of fractions in per cent."""
    return [[100 * value for value in each] for each in values]
