"""Measures the first step with and without TensorFlow's graph optimiser, Grappler.

    python benchmarks/first_step.py

Each measurement is a process of its own: it traces the step of a set-up of `step_setups.py` without
XLA, calls it once, and then a few times more. Both ways take turns; the table has medians.
It is written to benchmarks/results/first_step.json and .md, and `python results/write_results.py`
puts it into docs/performance.md. Set-ups of earlier runs that are not measured now stay.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import contestants  # noqa: E402
import records  # noqa: E402
import step_setups  # noqa: E402

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
WAYS = ("with", "without")
RESULTS = pathlib.Path(__file__).parent / "results" / "first_step.json"


def measure(folder: pathlib.Path, way: str, steps: int) -> dict[str, float]:
    """Returns the seconds of tracing, of the first call, and of a later one."""
    import tensorflow as tf

    if way == "without":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    model, batch = step_setups.load(folder, jit_compile=False)
    step = tf.function(model.train_step, autograph=False)
    times = [time.perf_counter()]
    step.get_concrete_function(batch)
    times.append(time.perf_counter())
    step(batch)
    times.append(time.perf_counter())
    for _ in range(steps):
        step(batch)
    times.append(time.perf_counter())
    trace, call, rest = (end - begin for begin, end in zip(times, times[1:], strict=False))
    return {"trace": trace, "first_call": call, "step": rest / steps}


def compare(name: str, rounds: int, steps: int) -> dict[str, Any]:
    """Returns each round's seconds of both ways for a set-up, their medians, and the machine."""
    setup = step_setups.SETUPS[name]
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        step_setups.write(name, pathlib.Path(folder), setup.config)
        for _ in range(rounds):
            for way in WAYS:
                command = [sys.executable, __file__, f"--measure={folder}", f"--way={way}"]
                result = subprocess.run(
                    [*command, f"--steps={steps}"], capture_output=True, text=True, check=True
                )
                found[way].append(json.loads(result.stdout.splitlines()[-1]))
                print(name, way, found[way][-1], flush=True)
    medians = {
        way: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for way, runs in found.items()
    }
    versions = {name: version(name) for name in ("tensorflow", "keras")}
    about = {**contestants.machine(), "versions": versions, "rounds": rounds}
    return {"title": setup.title, **about, "seconds": found, **medians}


def report(record: dict[str, Any]) -> str:
    """Returns the table, and what it was measured with."""
    lines = [
        "| set-up, no XLA | graph optimiser | tracing, s | first call, s | later steps, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in record["setups"].values():
        for way in WAYS:
            found = row[way]
            lines.append(
                f"| {row['title']} | {way} | {found['trace']:.1f} | {found['first_call']:.1f} | "
                f"{1e3 * found['step']:.0f} |"
            )
    lines += ["", records.by_machine(record["setups"].values(), _measured_on)]
    return "\n".join(lines) + "\n"


def _measured_on(setup: dict[str, Any]) -> str:
    """Says what a set-up was measured on; older records do not have it."""
    machine = "processor not recorded"
    if "processor" in setup:
        versions = ", ".join(f"{name} {number}" for name, number in setup["versions"].items())
        machine = f"{setup['processor']}, {setup['cores']} cores; {versions}"
    return f"{machine}; medians of {setup['rounds']} rounds."


def main() -> None:
    """Measures, and writes what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--setups", nargs="*", default=step_setups.PAPERS)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--measure", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measure(given.measure, given.way, given.steps)))
        return
    for name in given.setups:
        found = compare(name, given.rounds, given.steps)
        records.keep(given.output, {name: found}, report, step_setups.PAPERS)


if __name__ == "__main__":
    main()
