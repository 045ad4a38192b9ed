"""The comparison with MultiVae that the README shows, of what benchmarks/ left."""

import json
import pathlib
import statistics
from collections.abc import Iterable

from result_tables.kept import table

_OTHER = "MultiVae"


def comparison_table(folder: pathlib.Path) -> str:
    """Returns speeds of training and evaluation over MultiVae's.

    Args:
        folder: `benchmarks/results`.
    """
    steps, race, likelihood = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("training_step", "quality_for_time", "likelihood")
    )
    rows = [
        [f"step of training: {setup['title']}", *_step(setup)] for setup in steps["setups"].values()
    ]
    seconds, elbo = race["points"][_OTHER][-1]
    ours = race["shares_of_time"][-1] * seconds
    rows.append(
        [
            f"seconds of training to a validation ELBO of {elbo:.1f} nats, MNIST",
            f"{ours:.0f} s",
            f"{seconds:.0f} s",
            f"{seconds / ours:.1f}",
        ]
    )
    speeds = likelihood["comparison"]["examples_per_second"]
    other = max(speeds["multivae"].values())
    samples = likelihood["comparison"]["settings"]["num_samples"]
    rows.append(
        [
            f"log p(image, label) of MNIST by {samples:,} importance samples",
            f"{speeds['ours']:.0f} examples/s",
            f"{other:.0f} examples/s",
            f"{speeds['ours'] / other:.1f}",
        ]
    )
    setup = next(iter(steps["setups"].values()))
    versions = ", ".join(f"{name} {number}" for name, number in setup["versions"].items())
    note = f"{_processors(steps['setups'].values(), race)}, float32; {versions}."
    return f"{table(['what', 'tf_mvae', 'MultiVae', 'times faster'], rows)}\n\n{note}"


def _processors(setups: Iterable[dict], race: dict) -> str:
    """Names the processors on which rows were measured, and which rows if there are several."""
    rows: dict[str, list[str]] = {}
    for found in setups:
        rows.setdefault(f"{found['processor']}, {found['cores']} cores", []).append(found["title"])
    rows.setdefault(f"{race['processor']}, {race['cores']} cores", []).append("the last two rows")
    if len(rows) == 1:
        return next(iter(rows))
    return "; ".join(f"{' / '.join(titles)}: {processor}" for processor, titles in rows.items())


def _step(setup: dict) -> list[str]:
    """Returns the time of a step of Keras' `fit`, MultiVae's fastest way's, and their ratio."""
    medians = {
        name: statistics.median(found["seconds"])
        for name, found in setup["contestants"].items()
        if found.get("seconds")
    }
    ours = next(took for name, took in medians.items() if name.startswith("ours, fit"))
    other = min(took for name, took in medians.items() if name.startswith(_OTHER))
    return [f"{1e3 * ours:.0f} ms", f"{1e3 * other:.0f} ms", f"{other / ours:.1f}"]
