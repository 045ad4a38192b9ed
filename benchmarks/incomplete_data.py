"""Training throughput with one modality missing nine times out of ten, against complete data.

`python benchmarks/incomplete_data.py` trains the paper's MNIST model (random pixels serve:
speed does not depend on them) by turns on complete batches, on batches of which 90 % lack
the label, as they come, and on the same whose composition the model was told
(`model.expect`), in one process; medians of several rounds go to
benchmarks/results/incomplete_data.{json,md}.
"""

import argparse
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from contestants import processor

from tf_mvae import MVAE
from tf_mvae.experiments.mnist import image_and_label_modalities

BATCH_SIZE = 100
RESULTS = pathlib.Path(__file__).parent / "results"


def batch(missing: float) -> dict[str, dict[str, tf.Tensor]]:
    """Returns a batch of which a share lacks the label."""
    rng = np.random.default_rng(0)
    x = {
        "image": rng.integers(0, 256, (BATCH_SIZE, 28, 28, 1)).astype(np.uint8),
        "label": rng.integers(0, 10, BATCH_SIZE).astype(np.int32),
    }
    there = np.arange(BATCH_SIZE) >= round(missing * BATCH_SIZE)
    mask = {"image": np.ones(BATCH_SIZE, np.float32), "label": there.astype(np.float32)}
    return tf.nest.map_structure(tf.constant, {"x": x, "mask": mask})


def contestant(missing: float, told: bool) -> Callable[[int], float]:
    """Returns a function that takes some steps and returns examples a second."""
    keras.utils.set_random_seed(0)
    model = MVAE(image_and_label_modalities({}, {}), latent_dim=64)
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    data = batch(missing)
    model.expect(data["mask"] if told else None)
    step = tf.function(model.train_step, jit_compile=True)

    def run(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            logs = step(data)
        float(logs["loss"])
        return steps * BATCH_SIZE / (time.perf_counter() - begin)

    run(5)
    return run


def main() -> None:
    """Measures by turns and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    contestants = {
        "complete": contestant(0.0, False),
        "label missing in 90 %": contestant(0.9, False),
        "label missing in 90 %, composition known": contestant(0.9, True),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, run in contestants.items():
            rates[name].append(run(arguments.steps))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    report = {
        "settings": {
            **vars(arguments),
            "batch_size": BATCH_SIZE,
            "processor": processor(),
            "cores": os.cpu_count(),
            "tensorflow": tf.__version__,
        },
        "examples_per_second": rates,
        "median": medians,
    }
    RESULTS.joinpath("incomplete_data.json").write_text(json.dumps(report, indent=1) + "\n")
    lines = ["| batches | examples a second | against complete |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {rate:,.0f} | {rate / medians['complete']:.2f} |"
        for name, rate in medians.items()
    ]
    head = f"MNIST's networks, batch {BATCH_SIZE}, {os.cpu_count()} cores, XLA; medians of "
    text = f"{head}{arguments.rounds} rounds by turns.\n\n" + "\n".join(lines) + "\n"
    RESULTS.joinpath("incomplete_data.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
