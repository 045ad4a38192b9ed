r"""Compares kinds of samplers on one run: an analysis, the fit's loss and speed, and a draw's time.

    python benchmarks/samplers.py --run_dir=RUN --epochs=30 --analysis=generation \
      --output=benchmarks/results/samplers.json

Fits each kind to the run's best checkpoint, which stays as it is, and prints a row for each, and
for the run's posterior q (`q`). A draw is 64 samples of every modality given one of them, by an
eager `generate` and by the exported signature. `--steps=20 --max_examples=200` is a rehearsal.
Kinds that `--output` has of the same weights and settings are not repeated: a comparison that was
interrupted goes on, and `--kinds` adds to one.
`--times` repeats only the timing, for the kinds in `--output`, each in a process of its own, and
keeps their other results: use it if another program ran during the comparison.
"""

import argparse
import hashlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tensorflow as tf  # noqa: E402
from sampler_kinds import KINDS  # noqa: E402

from tf_mvae import samplers  # noqa: E402
from tf_mvae.data.pipeline import training_batches  # noqa: E402
from tf_mvae.evaluation import ANALYSES, Settings  # noqa: E402
from tf_mvae.serving import export_saved_model  # noqa: E402
from tf_mvae.training import Run, load_run  # noqa: E402

DRAWN = 64  # samples of a draw
DRAWS = 30  # times that it is timed


def fit(run: Run, kind: str, given: argparse.Namespace) -> dict[str, float]:
    """Fits a sampler and attaches it; returns its time and its loss on the validation split."""
    model, train = run.model, run.seen_split("train")
    model.set_sampler(None)
    sampler = KINDS[kind](run, model.latent_dim, model.num_columns)
    epochs, steps = given.epochs, train.num_examples // given.batch_size
    if given.steps is not None:
        epochs, steps = 1, min(steps, given.steps)
    batches = training_batches(train, given.batch_size, epochs, 0)
    began = time.monotonic()
    samplers.fit(model, batches, sampler, epochs, steps_per_epoch=steps, verbose=0)
    seconds = time.monotonic() - began
    trainer = samplers.SamplerTrainer(model, sampler)
    trainer.compile(jit_compile=False)
    validation = run.batches("validation", given.batch_size)
    if given.max_examples is not None:
        validation = validation.take(max(1, given.max_examples // given.batch_size))
    losses = trainer.evaluate(validation, verbose=0, return_dict=True)
    model.set_sampler(sampler)
    number = epochs * steps
    rate = number * given.batch_size / seconds
    return {"steps": number, "seconds": seconds, "examples/s": rate, **losses}


def draw(run: Run) -> dict[str, float]:
    """Returns the milliseconds of a draw, given the first class, else the last modality."""
    model = run.model
    classes = [m.name for m in model.modalities if m.likelihood.is_categorical]
    name = (classes or [model.modalities[-1].name])[0]
    batch = next(iter(run.batches("validation", 1)))
    value = batch["x"][name]

    def eager() -> Mapping[str, tf.Tensor]:
        return model.generate({name: value}, DRAWN, seed=1)

    with tempfile.TemporaryDirectory() as folder:
        export_saved_model(model, f"{folder}/model")
        exported = tf.saved_model.load(f"{folder}/model")
    generate = exported.signatures["generate"]
    inputs = {
        key: tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
        for key, spec in generate.structured_input_signature[1].items()
    }
    inputs |= {name: tf.cast(value, inputs[name].dtype), f"{name}_mask": inputs[f"{name}_mask"] + 1}
    inputs |= {"num_samples": tf.constant(DRAWN), "temperature": tf.constant(1.0)}
    inputs["seed"] = tf.constant([1, 0], inputs["seed"].dtype)
    return {"eager_ms": median_ms(eager), "exported_ms": median_ms(lambda: generate(**inputs))}


def median_ms(call: Callable[[], Mapping[str, tf.Tensor]]) -> float:
    """Returns the median time of a call whose results are read, after one that is not timed."""
    times = []
    for _ in range(DRAWS + 1):
        began = time.perf_counter()
        for value in call().values():
            value.numpy()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times[1:])


def origin(run: Run, given: argparse.Namespace) -> dict[str, Any]:
    """Returns what rows depend on: the run, a digest of its weights, and the settings."""
    digest = hashlib.sha256()
    for weight in run.model.weights:
        digest.update(weight.numpy().tobytes())
    settings = ("epochs", "steps", "max_examples", "batch_size", "analysis")
    return {
        "run": pathlib.Path(given.run_dir).name,
        "weights": digest.hexdigest(),
        "settings": {name: getattr(given, name) for name in settings},
    }


def rows_so_far(run: Run, given: argparse.Namespace) -> dict[str, Any]:
    """Returns the rows of `--output`, which have to be of the same weights and settings."""
    if given.output is None or not given.output.exists():
        return {}
    rows = json.loads(given.output.read_text())
    for key, value in origin(run, given).items():
        if rows["q"].get(key) != value:
            sys.exit(f"{given.output} has rows of other {key}; name another file, or delete it")
    return rows


def keep(rows: Mapping[str, Any], given: argparse.Namespace) -> None:
    """Writes the rows to `--output`, if there is one, q first."""
    if given.output is not None:
        ordered = {name: rows[name] for name in ("q", *KINDS) if name in rows}
        given.output.write_text(json.dumps(ordered, indent=1) + "\n")


def times_again(run: Run, kind: str, row: dict, given: argparse.Namespace) -> dict[str, Any]:
    """Returns a kind's row with other times of its fit and of a draw.

    The rate of a fit is that of the steps after the first ones, which trace it.
    """
    run.model.set_sampler(None)
    if kind != "q":
        few, many = (
            fit(run, kind, argparse.Namespace(**{**vars(given), "steps": steps}))
            for steps in (10, 10**6)
        )
        steps = many["steps"] - few["steps"]
        rate = steps * given.batch_size / (many["seconds"] - few["seconds"])
        seconds = row["fit"]["steps"] * given.batch_size / rate
        row = row | {"fit": row["fit"] | {"examples/s": rate, "seconds": seconds}}
    return row | {"draw": draw(run)}


def time_each(given: argparse.Namespace) -> None:
    """Measures the times of each kind in `--output` in a process of its own.

    What one kind has traced slows down the eager calls of the next.
    """
    for kind in json.loads(given.output.read_text()):
        if kind == "q" or kind in given.kinds:
            command = [sys.executable, *sys.argv, f"--time_one={kind}"]
            subprocess.run(command, check=True)


def main() -> None:
    """Prints a table, and writes it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=None, help="of one epoch; default: all epochs")
    parser.add_argument("--max_examples", type=int, default=None, help="that are evaluated")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--analysis", default="coherence", help="none: fits and draws alone")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--output", type=pathlib.Path, default=None)
    parser.add_argument("--times", action="store_true", help="measure the times of --output again")
    parser.add_argument("--time_one", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.times and given.time_one is None:
        time_each(given)
        return
    run = load_run(given.run_dir, data_dir=given.data_dir, latents="posterior")
    if given.time_one is not None:
        rows, kind = json.loads(given.output.read_text()), given.time_one
        rows[kind] = times_again(run, kind, rows[kind], given)
        print(kind, rows[kind].get("fit"), rows[kind]["draw"], flush=True)
        given.output.write_text(json.dumps(rows, indent=1) + "\n")
        return

    def analyze() -> dict[str, Any]:
        if given.analysis == "none":
            return {}
        analysis = ANALYSES[given.analysis]
        # Settings of their own: what one sampler's analysis keeps is not for another's.
        settings = Settings(num_samples=analysis.num_samples, max_examples=given.max_examples)
        return analysis.analyze(run, settings)

    rows = rows_so_far(run, given)
    if not rows:
        rows["q"] = {"draw": draw(run), "results": analyze(), **origin(run, given)}
        print("q", json.dumps(rows["q"]), flush=True)
        keep(rows, given)
    for kind in given.kinds:
        if kind in rows:
            print(kind, "is in", given.output, flush=True)
            continue
        found = fit(run, kind, given)
        rows[kind] = {"fit": found, "draw": draw(run), "results": analyze()}
        print(kind, json.dumps(rows[kind]), flush=True)
        keep(rows, given)


if __name__ == "__main__":
    main()
