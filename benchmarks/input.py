"""Measures the input alone against the training step that it feeds, and its memory.

`python benchmarks/input.py --run='FLAGS' --run='FLAGS' …` takes the flags of `tf_mvae.train`, a
run in quotes; without any, the digits that come with a dependency. For each it measures, in a
process of its own, the batches alone (from memory, and read and decoded anew, as of a split that
`--cache_gb` does not hold) and the compiled step alone; the three take turns, and figures are
medians over the rounds. Then it measures what reading ever larger data sets adds to a process's
memory when they are not kept. It writes `input.json` and `input.md` into `benchmarks/results`,
where runs that are not measured now stay; the exit status is 1 if an input from memory is less than
three times as fast as its step.
"""

import argparse
import json
import os
import pathlib
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contestants
import records
from rounds import ratio

RESULTS = pathlib.Path(__file__).parent / "results" / "input.json"
RATES = ("step", "from memory", "read anew")  # examples a second, by round
SIZES = (10_000, 40_000, 160_000)
IMAGE = (64, 64, 3)
SECONDS = 3.0


def measure(command_line: str, rounds: int) -> dict:
    """Measures a run's input and its step in this process."""
    from absl import flags

    from tf_mvae import command, train
    from tf_mvae.training.assets import run_assets
    from tf_mvae.training.build import resolved
    from tf_mvae.training.run_directory import RunDirectory

    flags.FLAGS(command.expand_flagfiles(["train", *shlex.split(command_line)]))
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(pathlib.Path(folder) / "run")
        with run_assets(train.config_of_flags(), directory) as config:
            return measure_config(resolved(config), rounds)


def measure_config(config: Any, rounds: int) -> dict:
    """Measures the input and the step of a configuration."""
    import tensorflow as tf

    from tf_mvae.training.build import build_model
    from tf_mvae.training.checkpoints import Position
    from tf_mvae.training.feeding import Feed
    from tf_mvae.training.incomplete import incomplete_split

    feed = Feed(config, {"train": incomplete_split(config, "train")})
    model = build_model(config, feed.steps_per_epoch)
    step = tf.function(model.train_step, jit_compile=config.jit_compile)

    def passes(cache_bytes):
        one = Feed(config, feed.splits, cache_bytes=cache_bytes)
        while True:
            yield from one.training(Position())

    def rate(source, use):
        number, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS or number < 5:
            last = use(next(source))
            number += 1
        tf.nest.map_structure(lambda value: getattr(value, "numpy", lambda: 0)(), last)
        return number * config.batch_size / (time.perf_counter() - began)

    kept, anew = passes(2**40), passes(0)
    batch = next(anew)
    for _ in range(3):
        step(batch)
    for _ in range(feed.steps_per_epoch + 1):  # one epoch fills the cache
        next(kept)
    sources = {
        "from memory": (kept, lambda batch: batch),
        "read anew": (anew, lambda batch: batch),
        "step": (iter(lambda: batch, None), step),
    }
    found = {name: [] for name in sources}
    for _ in range(rounds):
        for name, (source, use) in sources.items():
            found[name].append(rate(source, use))
    return found


def measure_memory(number: int) -> int:
    """Returns the peak of this process's memory, in bytes, after an epoch of so many images."""
    import tensorflow as tf

    from tf_mvae.data import Split, training_batches

    def image(index):
        seed = tf.stack([index, index])
        return {"x": {"image": tf.random.stateless_uniform(IMAGE, seed, 0, 255, tf.int32)}}

    def small(example):
        return {"x": {"image": tf.cast(example["x"]["image"], tf.uint8)}}

    split = Split(tf.data.Dataset.range(number), number).map(image).map(small)
    for _ in training_batches(split, 100, 1, 0, shuffle_buffer=1000, cache_bytes=0):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def spawn(*arguments: str) -> Any:
    """Runs this script for one measurement and returns what it found."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_name(flags: str) -> str:
    """Returns the flags of a run without the directories of this machine."""
    return " ".join(f for f in shlex.split(flags) if "_dir=" not in f)


def times_the_step(run: dict, name: str) -> float:
    """Returns how many times as fast as its step an input is."""
    return ratio(run[name], run["step"])


def report(record: dict) -> str:
    """Returns the tables."""
    lines = ["| run | step | input from memory | input read again |", "| --- | --- | --- | --- |"]
    for name, run in record["setups"].items():
        step, *inputs = (statistics.median(run[rate]) for rate in RATES)
        cells = [
            f"{value:,.0f} ({times_the_step(run, rate):.1f} times)"
            for rate, value in zip(RATES[1:], inputs, strict=True)
        ]
        title = name.replace("|", "")
        lines.append(f"| `{title}` | {step:,.0f} | {' | '.join(cells)} |")
    about = records.by_machine(record["setups"].values(), _measured_on)
    text = f"{about}\n\n" + "\n".join(lines) + "\n\n"
    text += "| images of 64 x 64 x 3 | their bytes | peak of the process's memory |\n"
    text += "| --- | --- | --- |\n"
    for number, peak in record["memory"].items():
        size = int(number) * 64 * 64 * 3
        text += f"| {int(number):,} | {size / 1e6:,.0f} MB | {peak / 1e6:,.0f} MB |\n"
    return text


def _measured_on(run: dict) -> str:
    """Says what a run was measured on; older records do not have the processor."""
    processor = run.get("processor", "processor not recorded")
    return (
        f"{processor}, {run['cores']} cores, load before {run['load_before']:.1f}; examples a "
        f"second, medians of {run['rounds']} rounds, ratios by round."
    )


def main() -> int:
    """Measures, prints and writes; the exit status is 1 if an input is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="append", help="flags of tf_mvae.train, in quotes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", help="the script's own use")
    parser.add_argument("--memory", type=int, help="the script's own use")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.rounds)))
        return 0
    if options.memory:
        print(json.dumps(measure_memory(options.memory)))
        return 0
    load, found = os.getloadavg()[0], {}
    for flags in options.run or ["--experiment=digits"]:
        name, rates = run_name(flags), spawn(f"--measure={flags}", f"--rounds={options.rounds}")
        about = {**contestants.machine(), "load_before": load, "rounds": options.rounds}
        found[name] = {"title": f"`{name}`", **about, **rates}
    memory = {str(number): spawn(f"--memory={number}") for number in SIZES}
    print(records.keep(RESULTS, found, report, memory=memory))
    return int(min(times_the_step(run, "from memory") for run in found.values()) < 3)


if __name__ == "__main__":
    sys.exit(main())
