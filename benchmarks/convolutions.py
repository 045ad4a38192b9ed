"""Compares ways to compute the steps of convolutional models on this machine.

    python benchmarks/convolutions.py

The ways take turns in one process, with the same weights and data, without XLA unless the way says
so: Keras' transposed convolution as the last layer of decoders, `ImageConv2DTranspose`, that with
networks in bfloat16, and compiled by XLA. PolyMNIST's networks are those of `field.py`; the others
are set-ups of `step_setups.py`. The table has medians, the rate of a matrix product in both types
says what the machine can do. It is written to benchmarks/results/convolutions.json and .md, and
`python results/write_results.py` puts it into docs/performance.md. Set-ups of earlier runs that are
not measured now stay, each with the machine that it was measured on.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import contestants  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import records  # noqa: E402
import step_setups  # noqa: E402
import tensorflow as tf  # noqa: E402
from matmul import matmul_rate  # noqa: E402

from tf_mvae.experiments.poly_mnist import poly_mnist_modalities  # noqa: E402
from tf_mvae.layers import ImageConv2DTranspose  # noqa: E402
from tf_mvae.models import MMVAE, MVAE, MVTCAE, FusedAdam  # noqa: E402
from tf_mvae.optimization import layers_compute_in  # noqa: E402
from tf_mvae.training.build import build_model  # noqa: E402

RESULTS = pathlib.Path(__file__).parent / "results" / "convolutions.json"
KERAS, OURS, LOW, XLA = WAYS = ("Keras' layer", "ours", "ours, bfloat16", "ours, XLA")
POLY_MNIST = {
    "mvtcae": (MVTCAE, "PolyMNIST, MVTCAE: 5 decodings"),
    "mvae": (MVAE, "PolyMNIST, MVAE with the default weights: 30 decodings"),
    "mmvae": (MMVAE, "PolyMNIST, MMVAE of one sample: 25 decodings"),
}
_FILTERS, _LATENT, _BATCH = 16, 64, 64  # as in field.py


@contextlib.contextmanager
def last_layer_of(way: str) -> Iterator[None]:
    """Makes image decoders use Keras' transposed convolution meanwhile, if a way says so."""
    own = ImageConv2DTranspose.is_a_convolution
    if way == KERAS:
        ImageConv2DTranspose.is_a_convolution = False
    try:
        yield
    finally:
        ImageConv2DTranspose.is_a_convolution = own


def make(name: str) -> tuple[keras.Model, dict[str, Any]]:
    """Returns the model of a set-up, and a batch."""
    keras.utils.set_random_seed(0)
    if name not in POLY_MNIST:
        config = step_setups.SETUPS[name].config.replace(
            mixed_precision=keras.config.dtype_policy().name
        )
        x = step_setups.random_batch(name, config.batch_size)
        return build_model(config, 1), {"x": {key: tf.constant(value) for key, value in x.items()}}
    make_model, _ = POLY_MNIST[name]
    modalities = poly_mnist_modalities({}, {}, _FILTERS)
    options = {"num_samples": 1} if make_model is MMVAE else {}
    model = make_model(modalities, _LATENT, **options)
    model.compile(FusedAdam(1e-3))
    pixels = np.random.default_rng(0).uniform(size=[_BATCH, 28, 28, 3]).astype(np.float32)
    return model, {"x": {modality.name: tf.constant(pixels) for modality in modalities}}


def step_of(name: str, way: str) -> Callable[[], float]:
    """Returns a function that takes a step and returns its loss; the first step is taken."""
    policy = "mixed_bfloat16" if way == LOW else "float32"
    with layers_compute_in(policy), last_layer_of(way):
        model, batch = make(name)
        step = tf.function(model.train_step, autograph=False, jit_compile=way == XLA)
        step(batch)
    return lambda: float(step(batch)["loss"])


def compare(name: str, ways: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Returns the median milliseconds of a step, by way."""
    steps = {way: step_of(name, way) for way in ways}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, step in steps.items():
            begin, number = time.perf_counter(), 0
            while number < 1 or time.perf_counter() - begin < seconds:
                step()
                number += 1
            times[way].append(1e3 * (time.perf_counter() - begin) / number)
    title = POLY_MNIST[name][1] if name in POLY_MNIST else step_setups.SETUPS[name].title
    return {"title": title, "ms": {way: statistics.median(found) for way, found in times.items()}}


def rates() -> dict[str, float]:
    """Returns the GFLOP/s of a matrix product, by type."""
    return {kind.name: matmul_rate(dtype=kind) / 1e9 for kind in (tf.float32, tf.bfloat16)}


def report(record: dict[str, Any]) -> str:
    """Returns the table, and what it was measured with."""
    head = ["a step, ms", *WAYS]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
    for row in record["setups"].values():
        cells = [f"{row['ms'][way]:,.1f}" if way in row["ms"] else "-" for way in WAYS]
        lines.append(f"| {' | '.join([row['title'], *cells])} |")
    about = records.by_machine(record["setups"].values(), _measured_on)
    return "\n".join([*lines, "", about]) + "\n"


def _measured_on(setup: dict[str, Any]) -> str:
    rate = ", ".join(f"{value:.0f} in {kind}" for kind, value in setup["gflops"].items())
    return (
        f"{setup['processor']}, {setup['cores']} cores, load before {setup['load_before']:.1f}; "
        f"`tf.matmul` of 2048 x 2048, GFLOP/s: {rate}; tensorflow {setup['tensorflow']}; medians "
        f"of {setup['rounds']} rounds."
    )


def main() -> None:
    """Measures, and writes what was measured."""
    names = [*POLY_MNIST, "celeba19", "six_images"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setups", nargs="*", choices=names, default=names)
    parser.add_argument("--xla", nargs="*", choices=names, default=list(POLY_MNIST))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each way in a round")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    given = parser.parse_args()
    machine = {
        **contestants.machine(),
        "load_before": os.getloadavg()[0],
        "tensorflow": version("tensorflow"),
        "rounds": given.rounds,
        "gflops": rates(),
    }
    for name in given.setups:
        ways = [way for way in WAYS if way != XLA or name in given.xla]
        found = compare(name, ways, given.rounds, given.seconds)
        print(name, found["ms"], flush=True)
        records.keep(given.output, {name: found | machine}, report, names)


if __name__ == "__main__":
    main()
