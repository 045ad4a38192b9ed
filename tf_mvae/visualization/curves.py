"""Curves: metrics of a training, log-likelihood estimates, accuracies of a sweep."""

import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tf_mvae.visualization.grids import save_figure

__all__ = ["write_accuracy_curves", "write_curves", "write_likelihood_paths"]


def write_curves(
    rows: Sequence[Mapping[str, float]], path: pathlib.Path, leave_out: Collection[str] = ()
) -> pathlib.Path:
    """Draws one panel per metric: its training and validation values against the epoch.

    Args:
        rows: Lines of `metrics.jsonl`: `epoch` and metrics in nats per example, those of
            the validation split prefixed with `val_`. At least one row.
        path: The PNG file to write.
        leave_out: Metrics without a panel, such as those of the many members of a group.

    Returns:
        The path.

    Example:
    ```python
    import pathlib

    elbos = {1: -120.0, 2: -110.0}
    rows = [{"epoch": n, "elbo": elbo, "val_elbo": elbo - 2} for n, elbo in elbos.items()]
    write_curves(rows, pathlib.Path("curves.png"))
    ```
    """
    names = [key.removeprefix("val_") for key in rows[0] if key.startswith("val_")]
    names = sorted(set(names) - set(leave_out), key=_order)
    figure = Figure(figsize=(3.4 * len(names), 2.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row["epoch"] for row in rows]
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            axes.plot(epochs, [row[prefix + name] for row in rows], label=label, linewidth=1.3)
        axes.set_title(_title(name), fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylabel("nats per example")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    return save_figure(figure, path)


def write_likelihood_paths(
    results: Mapping[str, Mapping[str, Any]], path: pathlib.Path
) -> pathlib.Path:
    """Draws estimated log-likelihoods against the number of importance samples.

    If an estimate still rises at the largest number of samples, more samples are needed.

    Args:
        results: `{"path": {"num_samples": [...], "value": [...]}}` by the estimate's name; the
            results of the analysis `log_likelihood`.
        path: The PNG file to write.

    Returns:
        The path.
    """
    figure = Figure(figsize=(3.4 * len(results), 2.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for (name, result), axes in zip(results.items(), panels, strict=True):
        numbers, values = result["path"]["num_samples"], result["path"]["value"]
        axes.plot(numbers, values, linewidth=1.3, marker="." if len(numbers) < 3 else None)
        axes.set_xscale("log")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("importance samples per example")
        axes.set_ylabel("nats per example")
        axes.grid(alpha=0.3)
    return save_figure(figure, path)


def write_accuracy_curves(
    averages: Mapping[tuple[str, float], tuple[float, float | None, int]], path: pathlib.Path
) -> pathlib.Path:
    """Draws accuracies of methods against the fraction of paired examples.

    Args:
        averages: By method and fraction, the mean accuracy, its standard deviation over seeds
            (or None), and the number of seeds.
        path: The PNG file to write.

    Returns:
        The path.
    """
    figure = Figure(figsize=(6.4, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for method in dict.fromkeys(method for method, _ in averages):
        points = sorted((x, *averages[m, x][:2]) for m, x in averages if m == method)
        shares, means, deviations = zip(*points, strict=True)
        axes.errorbar(
            [100 * share for share in shares],
            [100 * mean for mean in means],
            [100 * (deviation or 0) for deviation in deviations],
            label=method.replace("_", " "),
            marker=".",
            linewidth=1.3,
            capsize=2,
        )
    ticks = sorted({100 * share for _, share in averages})
    if ticks[0]:
        axes.set_xscale("log")
    else:  # a logarithmic scale has no 0: below the smallest other fraction it is linear
        axes.set_xscale("symlog", linthresh=min(ticks[1:], default=1.0))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("paired examples, %")
    axes.set_ylabel("test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    return save_figure(figure, path)


def _order(name: str) -> tuple[int, str]:
    """Returns the sorting key of panels: ELBO, log-likelihoods, KL, loss."""
    return {"elbo": 0, "kl": 2, "loss": 3}.get(name, 1), name


def _title(name: str) -> str:
    if name.endswith("_log_likelihood"):
        return f"log p({name.removesuffix('_log_likelihood')} | z), joint term"
    return {"elbo": "ELBO, joint term", "kl": "KL, joint term", "loss": "loss, all terms"}[name]
