"""Compares ways to weigh an MVAE's terms of one modality as the number of modalities grows.

`python benchmarks/default_objective.py` trains each setting on each data set with the same
budget and seeds, and scores how hidden parts are completed. A setting is
`WEIGHT:K`: the weight of a term of one modality (`1`, `1/N`, `1/(N-1)^2`, `0`, and others; the
package's own with `default`) and the number of random subsets. Scores are added to
`benchmarks/results/default_objective.json`, and the tables are written next to it.

    python benchmarks/default_objective.py --sets=randhie,wine --settings=1:2,1/N:2 --seeds=0,1
"""

import argparse
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from objective_tasks import TASKS, Task

from tf_mvae import MVAE, Modality

RESULTS = pathlib.Path(__file__).parent / "results" / "default_objective.json"
DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "objectives.md"
MARK = "<!-- default objective -->"
Weights = Callable[[Sequence[Modality]], dict[str, float] | None]


def _all_equal(weight: Callable[[int], float]) -> Weights:
    def weights(modalities: Sequence[Modality]) -> dict[str, float]:
        names = [name for m in modalities for name in m.column_names]
        return dict.fromkeys(names, weight(len(names)))

    return weights


WEIGHTS: dict[str, Weights] = {
    "1": lambda modalities: {},
    "1/N": _all_equal(lambda n: 1 / n),
    "1/(N-1)": _all_equal(lambda n: 1 / (n - 1)),
    "1/(N-1)^2": _all_equal(lambda n: 1 / (n - 1) ** 2),
    "1/N^2": _all_equal(lambda n: 1 / n**2),
    "0": _all_equal(lambda n: 0.0),
    "default": lambda modalities: None,
}
SETTINGS = ("1:0", "1:2", "1/N:2", "1/(N-1):0", "1/(N-1):2", "1/(N-1)^2:0", "1/(N-1)^2:2",
            "1/N^2:0", "1/N^2:2", "0:0", "0:2")  # fmt: skip
SCORES = ("kl", "error", "error given one", "log_likelihood",
          "accuracy given image", "accuracy given attributes", "error given image")  # fmt: skip


def train_and_score(task: Task, setting: str, seed: int) -> dict[str, Any]:
    """Trains a model with a setting; returns its scores."""
    weight, _, number = setting.partition(":")
    keras.utils.set_random_seed(seed)
    modalities = task.modalities()
    chosen = WEIGHTS[weight](modalities)
    options = {"num_random_subsets": int(number)} if number else {}
    model = MVAE(modalities, int(task.training["latent_dim"]), term_weight=chosen, seed=seed,
                 **options)  # fmt: skip
    # XLA would compile a hundred networks for minutes.
    compiled = len(modalities) < 50
    model.compile(keras.optimizers.Adam(task.training["learning_rate"]), jit_compile=compiled)
    begin, processor = time.perf_counter(), time.process_time()
    model.fit(
        task.train,
        epochs=int(task.training["epochs"]),
        batch_size=int(task.training["batch_size"]),
        verbose=0,
    )
    seconds = time.perf_counter() - begin
    used = time.process_time() - processor
    return {**task.score(model), "seconds": seconds, "processor seconds": used}


def measure(name: str, options: argparse.Namespace) -> None:
    """Trains all settings on a data set; adds each score to the file as soon as it is known."""
    path = options.output
    for seed in map(int, options.seeds.split(",")):
        task = TASKS[name](seed, options.data_dir)
        for method, baseline in task.baselines.items():
            if str(seed) not in _stored(path, name)["baselines"].get(method, {}):
                _store(path, task, "baselines", method, seed, baseline())
        for setting in options.settings.split(","):
            scores = train_and_score(task, setting, seed)
            _store(path, task, "settings", setting, seed, scores)
            shown = {key: round(scores[key], 3) for key in (*SCORES, "seconds", "processor seconds")
                     if key in scores}  # fmt: skip
            print(name, setting, f"seed {seed}", shown, flush=True)


def _stored(path: pathlib.Path, name: str) -> dict[str, Any]:
    found = json.loads(path.read_text()) if path.exists() else {}
    return found.get(name, {"baselines": {}, "settings": {}})


def _store(
    path: pathlib.Path, task: Task, kind: str, method: str, seed: int, scores: dict[str, Any]
) -> None:
    everything = json.loads(path.read_text()) if path.exists() else {}
    entry = _stored(path, task.name)
    entry |= {"training": task.training, "columns": list(task.columns)}
    entry[kind].setdefault(method, {})[str(seed)] = scores
    everything[task.name] = entry
    path.write_text(json.dumps(everything, indent=1) + "\n")


def common_seeds(entry: dict[str, Any]) -> list[str]:
    """Returns the seeds that all methods of a data set have, in order.

    The hidden parts differ between seeds, so means over different seeds are no comparison.
    """
    methods = [*entry["baselines"].values(), *entry["settings"].values()]
    return sorted(set.intersection(*map(set, methods)), key=int)


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns a data set's entry with the scores of the seeds that all of its methods have."""
    seeds = common_seeds(entry)
    return entry | {
        kind: {name: {seed: scores[seed] for seed in seeds} for name, scores in entry[kind].items()}
        for kind in ("baselines", "settings")
    }


def seeds_of(results: dict[str, Any]) -> str:
    """Says over which seeds the means of data sets are."""
    names: dict[str, list[str]] = {}
    for name, entry in results.items():
        names.setdefault(", ".join(common_seeds(entry)) or "none", []).append(name)
    found = "; ".join(f"{seeds} ({', '.join(own)})" for seeds, own in names.items())
    return f"Means over the seeds that all rows of a data set have: {found}."


def mean_of(scores: dict[str, dict[str, Any]], key: str) -> float | None:
    """Returns a score's mean over seeds; None if a method does not have it."""
    values = [found[key] for found in scores.values() if key in found]
    return float(np.mean(values)) if values else None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _weight_and_k(setting: str) -> list[str]:
    weight, _, number = setting.partition(":")
    return [weight, number]


def _in_order(methods: Iterable[str]) -> list[str]:
    """Returns methods without repetition, settings in the order of `SETTINGS`."""
    known = list(dict.fromkeys(methods))
    rank = {setting: place for place, setting in enumerate(SETTINGS)}
    return sorted(known, key=lambda method: rank.get(method, -1))


def table_of(entry: dict[str, Any]) -> str:
    """Returns all scores of a data set, and errors by column where these are few."""
    methods = {**entry["baselines"], **entry["settings"]}
    keys = [k for k in SCORES if any(mean_of(s, k) is not None for s in methods.values())]
    columns = entry["columns"] if len(entry["columns"]) <= 13 else []
    rows = []
    for method in _in_order(methods):
        scores = methods[method]
        name = _weight_and_k(method) if method in entry["settings"] else [method, ""]
        errors = [found["by column"] for found in scores.values() if "by column" in found]
        by_column = np.mean(errors, axis=0) if errors else [None] * len(columns)
        rows.append(
            [*name, str(len(scores)), *(_text(mean_of(scores, key)) for key in keys)]
            + [_text(value) for _, value in zip(columns, by_column, strict=False)]
        )
    head = ["weight of a term of one modality, or method", "k", "seeds", *keys, *columns]
    return _table(head, rows)


def summary(results: dict[str, Any]) -> str:
    """Returns one table of all data sets: errors of hidden parts, and KL."""
    shown: dict[str, tuple[str, str]] = {}
    for name, entry in results.items():
        if any(mean_of(s, "accuracy given image") for s in entry["settings"].values()):
            shown |= {
                f"{name}: attributes from image": (name, "accuracy given image"),
                f"{name}: attributes from others": (name, "accuracy given attributes"),
                f"{name}: image from attributes": (name, "error"),
            }
        else:
            shown[f"{name}"] = (name, "error")
    rows = []
    for kind in ("baselines", "settings"):
        for method in _in_order(m for entry in results.values() for m in entry[kind]):
            cells = []
            for name, key in shown.values():
                scores = results[name][kind].get(method, {})
                value, divergence = mean_of(scores, key), mean_of(scores, "kl")
                extra = f" ({divergence:.2f})" if divergence is not None and key == "error" else ""
                cells.append(_text(value) + extra)
            name = _weight_and_k(method) if kind == "settings" else [method, ""]
            rows.append([*name, *cells])
    return _table(["weight of a term of one modality, or method", "k", *shown], rows)


def write_tables(path: pathlib.Path) -> str:
    """Writes the tables next to the scores, and the summary into the documentation."""
    results = {name: comparable(one) for name, one in json.loads(path.read_text()).items()}
    parts = [f"{summary(results)}\n\n{seeds_of(results)}"]
    for name, entry in results.items():
        budget = ", ".join(f"{key.replace('_', ' ')} {v:g}" for key, v in entry["training"].items())
        parts.append(f"## {name}\n\n{budget}.\n\n{table_of(entry)}")
    text = "\n\n".join(parts) + "\n"
    path.with_suffix(".md").write_text(text)
    if path == RESULTS:
        document = DOCUMENT.read_text()
        before, _, rest = document.partition(MARK)
        _, _, after = rest.partition(MARK.replace("<!-- ", "<!-- /"))
        whole = [before, MARK, "\n", parts[0], "\n", MARK.replace("<!-- ", "<!-- /"), after]
        DOCUMENT.write_text("".join(whole))
    return text


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--sets", default="randhie,randhie_group,wine,sensors,columns19")
    parser.add_argument("--data_dir", help="where TFDS has prepared emoji_attributes")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--tables_only", action="store_true", help="train nothing")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args()
    for name in [] if options.tables_only else options.sets.split(","):
        some = [key for key in TASKS if key.startswith("sensors")] if name == "sensors" else [name]
        for one in some:
            measure(one, options)
    print(write_tables(options.output))


if __name__ == "__main__":
    main()
