"""Compares our models with MultiVae's on PolyMNIST: quality, speed and memory of both sides.

`python benchmarks/field.py --peer_python=PATH --data_dir=DATA` writes the same images, networks,
initial weights and order of examples for both sides, trains each model of `field_setups.KINDS`
here and, if MultiVae has it, there, for the same number of steps, and has each generate all images
from every subset of the test examples and from nothing. One judge for each modality, trained on
the real training images, sees the generated images of all runs. Every run is added to
`results/field.json` when it is done, and the table is written to `results/field.md`. Runs that are
there already are not repeated.
"""

import argparse
import os
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contestants
import field_judge
import field_setups
import field_tables
from contestants import Contestant, Failed
from field_setups import KINDS, Budget, Kind

from tf_mvae.data.poly_mnist import find_hash

RESULTS = pathlib.Path(__file__).parent / "results" / "field.json"
HERE = pathlib.Path(__file__).parent


def command(side: str, python: str | None, folder: pathlib.Path, data: pathlib.Path) -> list[str]:
    """Returns the command of one side of a run."""
    if side == "ours":
        return [sys.executable, str(HERE / "field_contestant.py"), str(folder), str(data)]
    return contestants.theirs(python, "multivae_field.py", folder, str(data))


def run_side(
    started: Sequence[str], budget: Budget, kind: Kind, generated: pathlib.Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Trains and generates in a process; returns figures, and the versions of its packages.

    Args:
        started: The command.
        budget: How many steps to take.
        kind: What is trained.
        generated: Where generated images are written.

    Raises:
        Failed: The process has no answer.
    """
    contestant, steps, more = Contestant(started), budget.steps, {}
    try:
        first = contestant.ask("train", steps=1)
        others = contestant.ask("train", steps=steps - 1)
        if kind.sampler:
            how = {"kind": kind.sampler, "guidance": kind.guidance}
            fitted = contestant.ask("fit_sampler", steps=budget.sampler_steps, **how)
            more["sampler_seconds"] = fitted["seconds"]
        memory = contestant.ask("memory")
        # MultiVae's side has no temperature.
        cooled = {} if kind.temperature == 1 else {"temperature": kind.temperature}
        contestant.ask("generate", file=str(generated), **cooled)
        versions = contestant.ask("about")["versions"]
    finally:
        contestant.stop()
    return {
        "first_step_seconds": first["seconds"],
        "training_seconds": first["seconds"] + others["seconds"],
        "steps_per_second": (steps - 1) / others["seconds"],
        "last_loss": others["loss"],
        "peak_bytes": memory,
        **more,
    }, versions


def main() -> int:
    """Trains, judges, prints and writes; returns the exit status."""
    options = parsed()
    budget = Budget(**{name: getattr(options, name) for name in Budget._fields})
    record = field_tables.read(options.output)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        data = folder / "data"
        labels = field_setups.write_data(data, budget, options.data_dir, options.backgrounds)
        judges = field_judge.Judges(data, labels, folder / "judges", budget.judge_examples)
        runs = [(n, k, s) for n in options.models for k in options.seeds for s in sides(n, options)]
        for name, seed, side in runs:
            row = {"model": name, "side": side, "seed": seed, "budget": budget._asdict()}
            row["backgrounds"] = find_hash(options.backgrounds)
            if field_tables.has(record, row):
                print(f"{name}, {side}, seed {seed}: kept as it is in {options.output}", flush=True)
                continue
            place = folder / f"{name}-{seed}"
            field_setups.write_run(place, name, budget, len(labels["train"]), seed)
            started = command(side, options.peer_python, place, data)
            generated = place / f"{side}.npz"
            row |= one_row(started, budget, KINDS[name], judges, generated)
            field_tables.add(record, row)
            field_tables.write(options.output, record)
            print(field_tables.line(row), flush=True)
    print(options.output.with_suffix(".md").read_text(encoding="utf-8"))
    return 1 if any("error" in row for row in record["runs"]) else 0


def sides(name: str, options: argparse.Namespace) -> list[str]:
    """Returns who trains a model: us, and MultiVae if it has the model."""
    return ["ours", "MultiVae"] if KINDS[name].peer and options.peer_python else ["ours"]


def one_row(
    started: Sequence[str],
    budget: Budget,
    kind: Kind,
    judges: field_judge.Judges,
    generated: pathlib.Path,
) -> Mapping[str, Any]:
    """Returns the figures of one side of a run, or why there are none."""
    load = os.getloadavg()[0]
    try:
        figures, versions = run_side(started, budget, kind, generated)
    except Failed as error:
        return {"error": str(error)}
    quality = judges.judge(generated)
    generated.unlink()
    return {**quality, **figures, "versions": versions, "load_before": load}


def parsed() -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="the python of MultiVae's environment; ours alone if "
                        "omitted")  # fmt: skip
    parser.add_argument("--data_dir", help="where TFDS has mnist, and keeps poly_mnist")
    parser.add_argument("--backgrounds", help="five pictures; our own textures if omitted")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(KINDS))
    parser.add_argument("--seeds", type=lambda t: [int(n) for n in t.split(",")], default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--latent_dim", type=int, default=64)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--train", type=int, default=55_000, help="training examples")
    parser.add_argument("--test", type=int, default=2_000, help="examples that are evaluated")
    parser.add_argument("--judge_examples", type=int, default=220_000,
                        help="examples, with repetitions, that each judge learns from")  # fmt: skip
    parser.add_argument("--missing_rate", type=float, default=0.0)
    parser.add_argument("--sampler_steps", type=int, default=5_000,
                        help="steps that fit the sampler of a model that has one")  # fmt: skip
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args()
    for name in options.models:
        if name not in KINDS:
            parser.error(f"--models: {name} is none of {', '.join(KINDS)}")
        if options.missing_rate and KINDS[name].needs_whole:
            parser.error(f"--models: {name} learns from complete examples only")
    if options.steps < 2:
        parser.error("--steps: the first is timed by itself; take 2 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
