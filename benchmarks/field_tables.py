"""The record and the table of `field.py`.

Older runs do not have the budget's `judge_examples`: they are rows of a table of their own, and no
run of a budget that has it.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["add", "has", "line", "read", "write"]

_GIVEN = ("1", "2", "3", "4")
_ONE_SEED = (
    " With one seed, the ± of a difference is the error of the test examples alone, and not of "
    "training."
)
_KEY = ("model", "side", "seed", "budget", "backgrounds")


def read(path: pathlib.Path) -> dict[str, Any]:
    """Returns the record of earlier runs; an empty one if there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"runs": []}


def has(record: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Says whether a run has been recorded, without an error."""
    return any(
        "error" not in old and all(old[name] == row[name] for name in _KEY)
        for old in record["runs"]
    )


def add(record: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Adds a run; it replaces one of the same model, side, seed, budget and backgrounds."""
    same = [all(old.get(k) == row[k] for k in _KEY) for old in record["runs"]]
    record["runs"] = [o for o, is_same in zip(record["runs"], same, strict=True) if not is_same]
    record["runs"].append(dict(row))


def write(path: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Writes the record, and a table of each budget next to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    parts, runs = [], record["runs"]
    groups = [(run["budget"], run["backgrounds"]) for run in runs]
    for group in [g for place, g in enumerate(groups) if g not in groups[:place]]:
        own = [run for run in runs if (run["budget"], run["backgrounds"]) == group]
        parts.append(_table(own))
    path.with_suffix(".md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def line(row: Mapping[str, Any]) -> str:
    """Returns a run in one line."""
    name = f"{row['model']}, {row['side']}, seed {row['seed']}"
    if "error" in row:
        return f"{name}: {row['error']}"
    coherence = " / ".join(f"{row['coherence'][n][0]:.3f}" for n in _GIVEN)
    return (
        f"{name}: coherence {coherence}, joint {row['joint'][0]:.3f}, Frechet distance "
        f"{row['frechet']['4'][0]:.1f}, {row['steps_per_second']:.2f} steps/s"
    )


def _table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table of one budget: means over seeds, and the worst seed in parentheses."""
    budget = {**runs[0]["budget"]}
    budget.setdefault("judge_examples", "not recorded")
    spent = ", ".join(f"{name} {value}" for name, value in budget.items())
    agreement = _agreement(runs)
    head = ["model", "side", "seeds", *(f"{n} given" for n in _GIVEN), "joint", "FD, 4 given",
            "coverage, 4 given", "steps/s", "training, s", "peak MiB"]  # fmt: skip
    lines = [
        f"Budget: {spent}; backgrounds {runs[0]['backgrounds'][:16]}. Means over seeds, the worst "
        "seed in parentheses. FD: Frechet distance in the judges' features. Training includes a "
        f"sampler's.{_judges(runs)}{_load(runs)}{_ONE_SEED * bool(agreement)}",
        "",
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        # There are ten equally frequent digits: a random image shows the right one with probability
        # 0.1, and five random images all show the same one with probability 0.1^4.
        f"| useless: ignores what is given | | |{' 0.100 |' * len(_GIVEN)} 0.000 | | | | | |",
        *_real(runs),
    ]
    pairs = dict.fromkeys((run["model"], run["side"]) for run in runs)
    for model, side in pairs:
        own = [run for run in runs if (run["model"], run["side"]) == (model, side)]
        failed = [run["error"] for run in own if "error" in run]
        if failed:
            lines.append(f"| {model} | {side} | {len(own)} | {failed[0]} |")
            continue
        cells = [model, side, str(len(own))]
        cells += [_cell([run["coherence"][n][0] for run in own], min) for n in _GIVEN]
        cells.append(_cell([run["joint"][0] for run in own], min))
        cells.append(_cell([run["frechet"]["4"][0] for run in own], max, 1))
        cells.append(_cell([run["coverage"]["4"][0] for run in own], min))
        cells.append(_cell([run["steps_per_second"] for run in own], min, 2))
        seconds = [run["training_seconds"] + run.get("sampler_seconds", 0) for run in own]
        cells.append(_cell(seconds, max, 0))
        cells.append(_cell([run["peak_bytes"] / 2**20 for run in own], max, 0))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines + agreement)


def _real(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a row of what real images score: the judges' accuracy.

    Five real images of one class are all named right with probability of the product of their
    judges' accuracies, as the drawings differ.
    """
    found = _accuracies(runs)
    if not found:
        return []
    alone, all_agree = np.mean(found), np.mean(np.prod(found, axis=1))
    cells = f" {alone:.3f} |" * len(_GIVEN) + f" {all_agree:.3f} |"
    return [f"| real images | | |{cells} | | | | |"]


def _accuracies(runs: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Returns how often each judge is right on real images, of each run that says it."""
    return [list(run["judges"].values()) for run in runs if "judges" in run]


def _judges(runs: Sequence[Mapping[str, Any]]) -> str:
    """Returns a sentence on how often the judges are right on real test images."""
    found = _accuracies(runs)
    return f" The judges are right on {np.mean(found):.1%} of real test images." if found else ""


def _load(runs: Sequence[Mapping[str, Any]]) -> str:
    """Returns a sentence on other work that the machine had, if it had some."""
    found = [run["load_before"] for run in runs if "load_before" in run]
    if not found or max(found) < 1.5:
        return ""
    return (
        f" The machine's load before a run was {min(found):.1f} to {max(found):.1f}: above about 3 "
        "other work was running, and speeds mean little."
    )


def _agreement(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a table of the models of both sides: difference of coherence, and of speed.

    The error of a difference is that of the test examples, and with several seeds that of the
    seeds' spread, which holds both.
    """
    lines = []
    for model in dict.fromkeys(run["model"] for run in runs):
        sides = {
            side: [r for r in runs if (r["model"], r["side"]) == (model, side) and "error" not in r]
            for side in ("ours", "MultiVae")
        }
        if not all(sides.values()):
            continue
        cells = []
        for n in _GIVEN:
            values = [[run["coherence"][n][0] for run in own] for own in sides.values()]
            difference = np.mean(values[0]) - np.mean(values[1])
            squares = [
                np.mean([run["coherence"][n][1] ** 2 for run in own]) / len(own)
                for own in sides.values()
            ]
            if min(map(len, values)) > 1:
                squares = [np.var(part, ddof=1) / len(part) for part in values]
            cells.append(f"{difference:+.3f} ± {np.sqrt(sum(squares)):.3f}")
        ours, theirs = (
            np.median([run["steps_per_second"] for run in own]) for own in sides.values()
        )
        speeds = [f"{1000 / ours:.1f}", f"{1000 / theirs:.1f}", f"{ours / theirs:.2f}"]
        loads = [
            run["load_before"] for own in sides.values() for run in own if "load_before" in run
        ]
        speeds.append(f"{max(loads):.1f}" if loads else "")
        lines.append(f"| {' | '.join([model, *cells, *speeds])} |")
    if not lines:
        return []
    head = ["ours less MultiVae's", *(f"{n} given" for n in _GIVEN), "step, ms", "MultiVae's, ms",
            "times as fast", "load before, at most"]  # fmt: skip
    return ["", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines]


def _cell(values: Sequence[float], worst: Any, digits: int = 3) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({worst(values):.{digits}f})"
