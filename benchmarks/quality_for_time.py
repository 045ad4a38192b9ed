"""Compares what a second of training buys: our validation ELBO against MultiVae's.

`python benchmarks/quality_for_time.py --peer_python=PATH --data_dir=DATA` trains the paper's model
of MNIST (binarised at grey level 128, for MultiVae's Bernoulli takes nothing but 0 and 1) twice,
with our compiled step and with MultiVae's MVAE, from the same weights and with the same settings.
Each has a process of its own and they take turns, epoch by epoch, so that both see the same
machine; then ours trains on until it has had as much time as MultiVae. After each epoch our
evaluation computes the validation ELBO of both, from their weights; it is no part of the time,
compilation is. It writes `quality_for_time.{json,md,png}` into `benchmarks/results`.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contestants
import matplotlib.pyplot as plt
import network_arrays
import numpy as np
import step_setups
from contestants import Contestant

from tf_mvae.data.pipeline import evaluation_batches
from tf_mvae.models import MVAE
from tf_mvae.training.splits import load_split

RESULTS = pathlib.Path(__file__).parent / "results" / "quality_for_time.json"
NAMES = ("ours", "MultiVae")
_MOST = 10  # times as many epochs as MultiVae has


def arrays_of(split: Any) -> dict[str, np.ndarray]:
    """Returns a split whole: images as float32 of 0 and 1, labels as int32."""
    x = next(iter(evaluation_batches(split, split.num_examples)))["x"]
    return {
        "image": (x["image"].numpy() >= 128).astype(np.float32),
        "label": x["label"].numpy().astype(np.int32),
    }


def validation_elbo(model: MVAE, data: dict[str, np.ndarray], batch_size: int) -> float:
    """Returns the ELBO of everything, all weights 1, in nats an example."""
    found = model.evaluate({"x": data}, batch_size=batch_size, verbose=0, return_dict=True)
    return float(found["elbo"])


class Race:
    """Both contestants, and how far they are.

    Attributes:
        points: Seconds of training and validation ELBO after each epoch, by contestant.
    """

    def __init__(self, options: argparse.Namespace, folder: pathlib.Path):
        """Prepares data and weights, and starts both."""
        self._epochs, self._folder = options.epochs, folder
        self._config = step_setups.SETUPS["mnist"].config.replace(
            experiment="digits" if options.digits else "binary_mnist_threshold",
            data_dir=options.data_dir,
            epochs=options.epochs,
            annealing_epochs=options.epochs // 2,
        )
        train, self._validation = (
            arrays_of(load_split(self._config, name)) for name in ("train", "validation")
        )
        self._model = step_setups.write("mnist", folder, self._config)
        np.savez(folder / "train.npz", **train)
        self._steps = len(train["label"]) // self._config.batch_size
        self.points: dict[str, list[list[float]]] = {name: [] for name in NAMES}
        self._running = {"ours": Contestant(contestants.ours(folder, "xla", self._steps))}
        self._running["MultiVae"] = Contestant(
            contestants.theirs(options.peer_python, "multivae_step.py", folder)
        )

    def run(self) -> None:
        """Trains both in turns, then ours alone until it has had as much time."""
        for _ in range(self._epochs):
            for name in NAMES:
                self._train(name)
        ours, theirs = (self.points[name] for name in NAMES)
        while ours[-1][0] < theirs[-1][0] and len(ours) < _MOST * self._epochs:
            self._train("ours")

    def stop(self) -> None:
        """Ends both processes."""
        for contestant in self._running.values():
            contestant.stop()

    def record(self) -> dict[str, Any]:
        """Returns what was found, and of what."""
        about = [one.ask("about")["versions"] for one in self._running.values()]
        return {
            "points": self.points,
            "shares_of_time": [
                share_of_time(self.points["ours"], *point) for point in self.points["MultiVae"]
            ],
            "epochs": self._epochs,
            "annealing_epochs": self._config.annealing_epochs,
            "steps_per_epoch": self._steps,
            "batch_size": self._config.batch_size,
            "experiment": self._config.experiment,
            "versions": {name: version for one in about for name, version in one.items()},
        }

    def _train(self, name: str) -> None:
        """Trains one for an epoch, and has its ELBO computed."""
        points, running, file = self.points[name], self._running[name], self._folder / f"{name}.npz"
        asked: dict[str, Any] = {"file": str(self._folder / "train.npz")}
        if name == "ours":
            asked |= {"seed": 0, "epochs": _MOST * self._epochs}
        else:
            asked |= {
                "seed": len(points),
                "first": len(points) * self._steps,
                "annealing": self._config.annealing_epochs * self._steps,
                "batch_size": self._config.batch_size,
            }
        seconds = running.ask("epoch", **asked)["seconds"]
        seconds += points[-1][0] if points else 0.0
        running.ask("write", file=str(file))
        with np.load(file, allow_pickle=False) as arrays:
            network_arrays.load_weights(self._model, arrays)
        elbo = validation_elbo(self._model, self._validation, self._config.batch_size)
        points.append([seconds, elbo])
        print(f"epoch {len(points)}, {name}: {seconds:.1f} s, {elbo:.2f} nats", flush=True)


def share_of_time(ours: Sequence[Sequence[float]], seconds: float, wanted: float) -> float | None:
    """Returns after which share of the others' time we have the ELBO that they have then.

    Between two of our points the ELBO counts as straight; where it falls again, what counts is
    when it is reached first.

    Args:
        ours: Our points, seconds and ELBO.
        seconds: The others' time.
        wanted: Their ELBO.

    Returns:
        The share; None where we never have it.
    """
    before = None
    for when, elbo in ours:
        if elbo >= wanted:
            if before is not None:
                when = before[0] + (wanted - before[1]) / (elbo - before[1]) * (when - before[0])
            return when / seconds
        before = when, elbo
    return None


def described(record: dict[str, Any]) -> str:
    """Returns what was found, in sentences and a table of every few epochs."""
    points, shares = record["points"], record["shares_of_time"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    share = "never" if shares[-1] is None else f"after {shares[-1]:.0%} of that time"
    lines = [
        f"`--experiment={record['experiment']}`, {record['epochs']} epochs of "
        f"{record['steps_per_epoch']:,} steps, a batch of {record['batch_size']}, KL annealed over "
        f"{record['annealing_epochs']} epochs, one seed; ours trains on for as long as MultiVae "
        f"has, {len(points['ours'])} epochs. MultiVae is at {points['MultiVae'][-1][1]:.2f} nats "
        f"after {points['MultiVae'][-1][0]:.0f} s; we reach that {share}.",
        "",
        "| epoch | ours, s | ELBO | MultiVae, s | ELBO | that ELBO is ours after |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    step = max(1, record["epochs"] // 5)
    for epoch in range(step, record["epochs"] + 1, step):
        cells = [f"{number:,.1f}" for name in NAMES for number in points[name][epoch - 1]]
        found = shares[epoch - 1]
        cells.append("-" if found is None else f"{found:.0%} of the time")
        lines.append(f"| {epoch} | {' | '.join(cells)} |")
    about = (
        f"{record['processor']}, {record['cores']} cores, "
        f"load before {record['load_before']:.1f}; {versions}."
    )
    return "\n".join([*lines, "", about])


def draw(record: dict[str, Any], path: pathlib.Path) -> None:
    """Draws both curves."""
    figure, axes = plt.subplots(figsize=(6, 4))
    for name, marker in zip(NAMES, "os", strict=True):
        axes.plot(*zip(*record["points"][name], strict=True), marker=marker, label=name)
    axes.set(xlabel="seconds of training", ylabel="validation ELBO, nats an example")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    """Trains, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", required=True, help="the python of MultiVae's environment")
    parser.add_argument("--data_dir", help="where TFDS has mnist")
    parser.add_argument("--digits", action="store_true", help="5,000 digits that need no data_dir")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        race = Race(options, pathlib.Path(folder))
        try:
            race.run()
            record = race.record()
        finally:
            race.stop()
    record |= {
        "processor": contestants.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": load,
    }
    print("after which share of MultiVae's time we have its ELBO of then, epoch by epoch:")
    print(*("never" if s is None else f"{s:.0%}" for s in record["shares_of_time"]))
    last = {name: found[-1][1] for name, found in record["points"].items()}
    print(f"last validation ELBO: {', '.join(f'{n} {e:.2f}' for n, e in last.items())} nats")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    options.output.with_suffix(".md").write_text(described(record) + "\n", encoding="utf-8")
    draw(record, options.output.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
