"""Measures what a training step costs with 2, 10, 100 and 1000 modalities.

`python benchmarks/modalities.py` builds the experiment `sensors` with so many sensors, and
measures the time to trace and compile a training step, the time of a step (the sizes take
turns) and, in a process for each size, the memory. It then trains models and compares their
posteriors with the exact ones. It prints tables and writes
`benchmarks/results/modalities.{json,md}`.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import scipy.optimize
import tensorflow as tf

from tf_mvae.data import evaluation_batches, training_batches
from tf_mvae.data.sensors import LinearGaussianSensors
from tf_mvae.objectives.subsets import num_proper_subsets
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model
from tf_mvae.training.splits import load_split

HERE = pathlib.Path(__file__).parent
STEPS = 5  # timed together
EPOCHS = 200
CROSS_WEIGHTS = {0.0: "the paper's objective", 1.0: "everything from every subset"}


def configuration(number: int, options: argparse.Namespace, **settings: Any) -> RunConfig:
    """Returns the experiment with so many sensors."""
    subsets = min(options.num_random_subsets, num_proper_subsets(number))
    return RunConfig(
        experiment="sensors",
        num_modalities=number,
        num_random_subsets=subsets,
        batch_size=options.batch_size,
        latent_dim=3,
        jit_compile=options.jit_compile,
        annealing_epochs=0,
        learning_rate=1e-2,
        learning_rate_schedule="cosine",
        epochs=EPOCHS,
        **settings,
    )


def make_step(number: int, options: argparse.Namespace) -> tuple[Any, Any]:
    """Returns a training step and a batch for it."""
    model = build_model(configuration(number, options), steps_per_epoch=50)
    x = LinearGaussianSensors(number).sample(options.batch_size)
    mask = np.random.default_rng(0).integers(0, 2, x.shape[:2]).astype(np.float32)
    batch = tf.nest.map_structure(tf.constant, {"x": {"sensors": x}, "mask": {"sensors": mask}})
    step = tf.function(model.train_step, jit_compile=options.jit_compile, autograph=False)
    return step, batch


def run(step: Any, batch: Any) -> float:
    """Takes a step; returns the loss, which waits for it."""
    return float(step(batch)["loss"])


def measure_times(options: argparse.Namespace) -> dict[str, Any]:
    """Times compilation once a size, and steps with the sizes taking turns."""
    steps, compilation = {}, {}
    for number in options.sizes:
        steps[number] = make_step(number, options)
        begin = time.perf_counter()
        run(*steps[number])
        compilation[number] = time.perf_counter() - begin
    times: dict[int, list[float]] = {number: [] for number in options.sizes}
    for _ in range(options.rounds):
        for number, (step, batch) in steps.items():
            begin = time.perf_counter()
            for _ in range(STEPS):
                run(step, batch)
            times[number].append((time.perf_counter() - begin) / STEPS)
    return {
        str(number): {
            "compile_seconds": compilation[number],
            "step_seconds": statistics.median(times[number]),
            "step_seconds_of_rounds": times[number],
            "traces": steps[number][0].experimental_get_tracing_count(),
        }
        for number in options.sizes
    }


def measure_memory(number: int, options: argparse.Namespace) -> dict[str, int]:
    """Returns this process's memory before the model is built, after compiling, and in steps."""
    tf.linalg.matmul(tf.ones([64, 64]), tf.ones([64, 64])).numpy()
    before = resident()
    step, batch = make_step(number, options)
    run(step, batch)
    compiled = resident()
    for _ in range(STEPS):
        run(step, batch)
    return {"before": before, "compiled": compiled, "peak": peak()}


def resident() -> int:
    """Returns the process's resident memory in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """Returns the most memory that the process has held; `getrusage` has its parent's too."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def measure_posterior(
    number: int, cross_weight: float, options: argparse.Namespace
) -> dict[str, float]:
    """Trains a model and compares its posterior with the exact one, on the test split."""
    config = configuration(number, options, cross_weight={"sensors": cross_weight})
    train = load_split(config, "train")
    model = build_model(config, train.num_examples // config.batch_size)
    batches = training_batches(train, config.batch_size, EPOCHS, config.seed)
    model.fit(batches, epochs=EPOCHS, steps_per_epoch=train.num_examples // config.batch_size,
              verbose=0)  # fmt: skip
    sensors = LinearGaussianSensors(number)
    batch = next(iter(evaluation_batches(load_split(config, "test"), 1000)))
    x = batch["x"]["sensors"].numpy()
    found: dict[str, float] = {}
    half = np.random.default_rng(0).integers(0, 2, x.shape[:2]).astype(np.float32)
    for name, mask in (("complete", np.ones_like(half)), ("half", half)):
        given = {"x": {"sensors": x}, "mask": {"sensors": mask}}
        posterior = model.posterior(**given)
        loc, variance = posterior.mean().numpy(), posterior.variance().numpy()
        exact, exact_variance = sensors.posterior(x, mask)
        # The latent is known but for the order of its axes and their signs.
        relation = np.corrcoef(loc.T, exact.T)[:3, 3:]
        _, order = scipy.optimize.linear_sum_assignment(-np.abs(relation.T))
        signs = np.sign(relation[order, range(3)])
        difference = (loc[:, order] * signs - exact) / np.sqrt(exact_variance)
        elbo = model.elbo(given, num_samples=50, seed=0)
        bound = elbo.log_likelihood["sensors"][0].numpy().sum(1) - elbo.kl[0].numpy()
        found |= {
            f"{name}: distance of means, in exact standard deviations (RMS)": float(
                np.sqrt((difference**2).mean())
            ),
            f"{name}: variance over exact variance (median)": float(
                np.median(variance[:, order] / exact_variance)
            ),
            f"{name}: exact log p(x), nats": float(sensors.log_likelihood(x, mask).mean()),
            f"{name}: ELBO, nats": float(bound.mean()),
        }
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measures everything."""
    result = measure_times(options)
    for number in options.sizes:
        command = [sys.executable, __file__, f"--memory_of={number}"]
        command += [f"--num_random_subsets={options.num_random_subsets}"]
        command += [f"--batch_size={options.batch_size}"]
        command += [] if options.jit_compile else ["--nojit_compile"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        result[str(number)]["memory"] = json.loads(output.splitlines()[-1])
    return {
        "sizes": result,
        "posterior": {
            f"{number} modalities, {what}": measure_posterior(number, weight, options)
            for number in options.posterior_sizes
            for weight, what in CROSS_WEIGHTS.items()
        },
        "settings": {
            "num_random_subsets": options.num_random_subsets,
            "batch_size": options.batch_size,
            "jit_compile": options.jit_compile,
            "rounds": options.rounds,
            "cores": os.cpu_count(),
            "load_before": options.load,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
        },
    }


def tables(result: dict[str, Any]) -> str:
    """Returns what was measured as Markdown."""
    settings = result["settings"]
    lines = [
        "| modalities | compile, s | step, ms | each further modality, us "
        "| memory of model and step, MB | each further modality, KB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    before = None
    for number, row in result["sizes"].items():
        now = (int(number), 1e6 * row["step_seconds"], _memory(row) / 1e3)
        more = ["-", "-"] if before is None else _each_further(before, now)
        lines.append(
            f"| {number} | {row['compile_seconds']:.1f} | {now[1] / 1e3:.2f} "
            f"| {more[0]} | {now[2] / 1e3:.0f} | {more[1]} |"
        )
        before = now
    lines += ["", *_growth(result["sizes"])]
    lines += [
        "",
        f"Batch {settings['batch_size']}, k = {settings['num_random_subsets']} (as many as there "
        f"are: none of 2), XLA {'on' if settings['jit_compile'] else 'off'}, "
        f"{settings['cores']} cores, load before {settings['load_before']:.1f}.",
        "",
        f"| test split, after {EPOCHS} epochs | " + " | ".join(result["posterior"]) + " |",
        "| --- |" + " --- |" * len(result["posterior"]),
    ]
    for name in next(iter(result["posterior"].values()), ()):
        values = " | ".join(f"{found[name]:.4g}" for found in result["posterior"].values())
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines) + "\n"


def _memory(row: dict[str, Any]) -> int:
    return row["memory"]["peak"] - row["memory"]["before"]


def _each_further(before: tuple[float, ...], now: tuple[float, ...]) -> list[str]:
    """What each modality costs that one size has more than the one before it."""
    number = now[0] - before[0]
    return [f"{(b - a) / number:.1f}" for a, b in zip(before[1:], now[1:], strict=True)]


def _growth(sizes: dict[str, Any]) -> list[str]:
    """Says how much more the largest size takes than the one before it."""
    if len(sizes) < 2:
        return []
    (few, small), (many, large) = list(sizes.items())[-2:]
    times = large["step_seconds"] / small["step_seconds"]
    memory = _memory(large) / _memory(small)
    proportion = int(many) / int(few)
    return [
        f"From {few} to {many} modalities a step takes {times:.1f} times as long and {memory:.1f} "
        f"times the memory; {proportion:g} would be in proportion."
    ]


def main() -> int:
    """Measures what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)

    def sizes(text):
        return [int(number) for number in text.split(",")]

    parser.add_argument("--sizes", type=sizes, default=[2, 10, 100, 1000])
    parser.add_argument("--posterior_sizes", type=sizes, default=[10])
    parser.add_argument("--num_random_subsets", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nojit_compile", dest="jit_compile", action="store_false")
    parser.add_argument("--memory_of", type=int, help="print the memory of one size, as JSON")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results" / "modalities.json")
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(measure_memory(options.memory_of, options)))
        return 0
    options.load = os.getloadavg()[0]
    result = measure(options)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = tables(result)
    options.output.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
