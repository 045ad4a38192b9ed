"""Kinds of samplers, and samplers as proposals, compared on runs by scripts of `benchmarks/`."""

import json
import pathlib
from typing import Any

from result_tables.generation import figure
from result_tables.kept import table

_FIGURES = {
    "image from label: named right": "image | label: coherence",
    "FD": "image | label: Frechet distance",
    "variance / reconstructions": "image | label: variance / reconstructions",
    "label from image": "label | image: coherence",
    "from nothing: image and label agree": "image from the prior: coherence",
    "from nothing: FD": "image from the prior: Frechet distance",
}


def samplers_table(path: pathlib.Path) -> str:
    """A row for q and for each kind of sampler, and reconstructions for scale."""
    if not path.exists():
        return "No run yet."
    found: dict[str, Any] = json.loads(path.read_text())
    head = ["z from", "steps", "seconds", "KL", *_FIGURES, "64 images, ms", "exported, ms"]
    rows = []
    for kind, row in found.items():
        fit, draw = row.get("fit"), row.get("draw")
        cells = (
            [str(fit["steps"]), f"{fit['seconds']:.0f}", f"{fit['kl']:.2f}" if "kl" in fit else "-"]
            if fit
            else ["-"] * 3
        )
        cells += [figure(row["results"].get(name)) for name in _FIGURES.values()]
        cells += [f"{draw[way]:.1f}" for way in ("eager_ms", "exported_ms")] if draw else ["-"] * 2
        rows.append([kind, *cells])
    scale = {
        "image from label: named right": "image, reconstructions: coherence",
        "FD": "image, reconstructions: Frechet distance",
    }
    results = found["q"]["results"]
    cells = [figure(results.get(scale.get(name, ""))) for name in _FIGURES]
    rows.append(["reconstructions, for scale", "-", "-", "-", *cells, "-", "-"])
    return table(head, rows)


def proposals_table(path: pathlib.Path) -> str:
    """A row for each run and question, with a pair of columns for each proposal."""
    if not path.exists():
        return "No run yet."
    found: dict[str, Any] = json.loads(path.read_text())
    proposals = list(next(iter(next(iter(found.values()))["rows"].values())))
    head = ["run", "estimate", "samples"]
    for proposal in proposals:
        head += [f"{proposal}: ESS", "lowest tenth", "nats"]
    rows = []
    for run, one in found.items():
        for question, figures in one["rows"].items():
            cells = [run, question.replace("|", "\\|"), str(one["num_samples"])]
            for proposal in proposals:
                row = figures[proposal]
                error = f"{row['log_likelihood']:.2f} ± {row['standard_error']:.2f}"
                sizes = (row["effective_sample_size"], row["lowest_tenth"])
                cells += [*(f"{size:.1f}" for size in sizes), error]
            rows.append(cells)
    return table(head, rows)
