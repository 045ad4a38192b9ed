"""The comparison with MultiVae that the README shows, of what benchmarks/ left."""

import json
import pathlib
import statistics
import sys
from typing import Any, NamedTuple

from result_tables.kept import table

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from benchmarks import records, rounds  # noqa: E402

_OTHER = "MultiVae"


class _Row(NamedTuple):
    """A row of the table.

    Attributes:
        what: What is compared.
        cells: Ours, MultiVae's, and how many times faster ours is.
        title: What the note calls the row.
        record: What was recorded; it has the processor and its cores, if these were recorded.
    """

    what: str
    cells: list[str]
    title: str
    record: dict[str, Any]


def comparison_table(folder: pathlib.Path) -> str:
    """Returns speeds of training and evaluation over MultiVae's.

    Args:
        folder: `benchmarks/results`.
    """
    steps, race, likelihood = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("training_step", "quality_for_time", "likelihood")
    )
    found = [_step(setup) for setup in steps["setups"].values()]
    rows = [*filter(None, found), _race(race), _likelihood(likelihood["comparison"])]
    cells = [[row.what, *row.cells] for row in rows]
    versions = ", ".join(f"{name} {n}" for name, n in rows[0].record["versions"].items())
    note = (
        "Times are medians over rounds, and so is how many times faster a step is than that of the "
        f"same round. {_processors(rows)}; float32; {versions}."
    )
    return f"{table(['what', 'tf_mvae', 'MultiVae', 'times faster'], cells)}\n\n{note}"


def _processors(rows: list[_Row]) -> str:
    """Names the processors on which rows were measured, and which rows if there are several."""
    setups = [{**row.record, "title": row.title} for row in rows]
    return records.by_machine(setups, _processor, "; ")


def _processor(record: dict[str, Any]) -> str:
    name = record.get("processor", "processor not recorded")
    return f"{name}, {record['cores']} cores"


def _step(setup: dict[str, Any]) -> _Row | None:
    """Compares a step of Keras' `fit` with MultiVae's fastest way; None if one has no times."""
    seconds = {
        name: found["seconds"]
        for name, found in setup["contestants"].items()
        if found.get("seconds")
    }
    ours = next((took for name, took in seconds.items() if name.startswith("ours, fit")), None)
    others = [took for name, took in seconds.items() if name.startswith(_OTHER)]
    if ours is None or not others:
        return None
    other = min(others, key=statistics.median)
    times = [f"{1e3 * statistics.median(took):.0f} ms" for took in (ours, other)]
    cells = [*times, f"{rounds.ratio(other, ours):.1f}"]
    return _Row(f"step of training: {setup['title']}", cells, setup["title"], setup)


def _race(race: dict[str, Any]) -> _Row:
    """Compares the time to the last ELBO that MultiVae reached, which we may never reach."""
    seconds, elbo = race["points"][_OTHER][-1]
    share = race["shares_of_time"][-1]
    ours = ["never", "-"] if share is None else [f"{share * seconds:.0f} s", f"{1 / share:.1f}"]
    what = f"seconds of training to a validation ELBO of {elbo:.1f} nats, MNIST"
    return _Row(what, [ours[0], f"{seconds:.0f} s", ours[1]], "training to an ELBO", race)


def _likelihood(comparison: dict[str, Any]) -> _Row:
    """Compares importance sampling with MultiVae's at its fastest."""
    speeds = comparison["examples_per_second"]
    ours, other = speeds["ours"], max(speeds["multivae"].values())
    samples = comparison["settings"]["num_samples"]
    what = f"log p(image, label) of MNIST by {samples:,} importance samples"
    cells = [f"{ours:.0f} examples/s", f"{other:.0f} examples/s", f"{ours / other:.1f}"]
    return _Row(what, cells, "log p(image, label)", comparison)
