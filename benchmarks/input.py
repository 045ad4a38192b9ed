"""Measures the input alone against the training step that it feeds, and its memory.

`python benchmarks/input.py --run='FLAGS' --run='FLAGS' …` takes the flags of `tf_mvae.train`, a
run in quotes; without any, the digits that come with a dependency. For each it measures, in a
process of its own, the batches alone (from memory, and read and decoded anew, as of a split that
`--cache_gb` does not hold) and the compiled step alone; the three take turns, and figures are
medians over the rounds. Then it measures what reading ever larger data sets adds to a process's
memory when they are not kept. It writes `input.json` and `input.md` into `benchmarks/results`; the
exit status is 1 if an input from memory is less than three times as fast as its step.
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

RESULTS = pathlib.Path(__file__).parent / "results"
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


def report(record: dict) -> tuple[str, float]:
    """Returns the tables, and the least ratio of an input from memory to its step."""
    lines = ["| run | step | input from memory | input read again |", "| --- | --- | --- | --- |"]
    ratios = []
    for flags, found in record["runs"].items():
        middle = {name: statistics.median(values) for name, values in found.items()}
        step = middle.pop("step")
        ratios.append(middle["from memory"] / step)
        cells = [f"{value:,.0f} ({value / step:.1f} times)" for value in middle.values()]
        name = " ".join(f for f in shlex.split(flags) if "_dir=" not in f).replace("|", "")
        lines.append(f"| `{name}` | {step:,.0f} | {' | '.join(cells)} |")
    text = (
        f"{record['cores']} cores, load before {record['load_before']:.1f}; examples a second, "
        f"medians of {record['rounds']} rounds.\n\n" + "\n".join(lines) + "\n\n"
    )
    text += "| images of 64 x 64 x 3 | their bytes | peak of the process's memory |\n"
    text += "| --- | --- | --- |\n"
    for number, peak in record["memory"].items():
        size = int(number) * 64 * 64 * 3
        text += f"| {int(number):,} | {size / 1e6:,.0f} MB | {peak / 1e6:,.0f} MB |\n"
    return text, min(ratios)


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
    record = {
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "rounds": options.rounds,
        "runs": {
            flags: spawn(f"--measure={flags}", f"--rounds={options.rounds}")
            for flags in options.run or ["--experiment=digits"]
        },
        "memory": {number: spawn(f"--memory={number}") for number in SIZES},
    }
    text, ratio = report(record)
    print(text)
    # No directory of this machine's is kept.
    record["runs"] = {
        " ".join(f for f in shlex.split(flags) if "_dir=" not in f): found
        for flags, found in record["runs"].items()
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "input.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "input.md").write_text(text)
    return int(ratio < 3)


if __name__ == "__main__":
    sys.exit(main())
