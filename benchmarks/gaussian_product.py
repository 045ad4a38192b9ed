"""Measures the compiled product of experts against TensorFlow's graph, XLA and PyTorch.

`python benchmarks/gaussian_product.py [--peer_python=PATH]` lets the contestants take turns,
several rounds, with a large memory copy beside them, checks that they agree, prints a table
and writes `gaussian_product.json` and `.md` into `benchmarks/results`. `benchmarks/README.md`
says what the columns are.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import threading
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from contestants import processor

from tf_mvae.ops import custom_op, gaussian_product

HERE = pathlib.Path(__file__).parent
PEER = HERE / "peers" / "gaussian_product_torch.py"
SHAPES = [(3, 128, 2, 64), (22, 128, 19, 100), (40, 1024, 64, 128), (40, 256, 1000, 64)]
PASSES = ("forward", "both")
COPY_BYTES = 2**28
# Small problems are computed several times a call, which costs 0.1 to 0.3 ms itself.
COPIES = {SHAPES[0]: 10, SHAPES[1]: 10}


def make_problem(shape: tuple[int, ...], seed: int) -> list[tf.Tensor]:
    """Returns experts, a mask of zeros and ones, and derivatives of the product."""
    terms, batch, experts, latent = shape
    rng = np.random.default_rng(seed)

    def normal(*size: int) -> tf.Tensor:
        return tf.constant(rng.normal(size=size).astype(np.float32))

    mask = tf.constant(rng.integers(2, size=[terms, batch, experts]).astype(np.float32))
    by = [normal(terms, batch, latent) for _ in range(2)]
    return [normal(batch, experts, latent), normal(batch, experts, latent), mask, *by]


def forward(loc, log_variance, mask, by_loc, by_log_variance, use_custom_op) -> tuple:
    """Returns the products."""
    return gaussian_product(loc, log_variance, mask, use_custom_op)


def both(loc, log_variance, mask, by_loc, by_log_variance, use_custom_op) -> list:
    """Returns the derivatives by the experts."""
    with tf.GradientTape() as tape:
        tape.watch([loc, log_variance])
        product = gaussian_product(loc, log_variance, mask, use_custom_op)
    return tape.gradient(product, [loc, log_variance], [by_loc, by_log_variance])


def contestants(what: str) -> dict[str, Callable]:
    """Returns what is measured here, by name."""
    function = {"forward": forward, "both": both}[what]

    def run(problems: list[list[tf.Tensor]], use_custom_op: bool) -> list:
        answers = []
        for problem in problems:  # one after the other, as far as TensorFlow lets us say so
            with tf.control_dependencies(tf.nest.flatten(answers[-1:])):
                answers.append(function(*problem, use_custom_op))
        return answers

    return {
        "op": tf.function(lambda problems: run(problems, True)),
        "graph": tf.function(lambda problems: run(problems, False)),
        "xla": tf.function(lambda problems: run(problems, False), jit_compile=True),
    }


def bytes_moved(shape: tuple[int, ...], what: str) -> int:
    """Counts the bytes that must be read and written, each array once a pass."""
    terms, batch, experts, latent = shape
    inputs, products = batch * experts * latent, terms * batch * latent
    mask = terms * batch * experts
    numbers = 2 * inputs + mask + 2 * products
    if what == "both":
        numbers += 2 * inputs + mask + 4 * products + 2 * inputs
    return 4 * numbers


def seconds_a_call(function: Callable, at_least: float = 0.2) -> float:
    """Times calls for a while, after one that is not timed."""
    function()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < at_least or calls < 3:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def copy_rate(source: np.ndarray, target: np.ndarray) -> float:
    """Copies a large array with all cores; returns bytes read and written a second."""
    workers = len(os.sched_getaffinity(0))
    parts = zip(np.array_split(source, workers), np.array_split(target, workers), strict=True)
    parts = list(parts)

    def copy():
        threads = [threading.Thread(target=np.copyto, args=(t, s)) for s, t in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2 * source.nbytes / seconds_a_call(copy)


class Torch:
    """PyTorch in its own environment; it answers one question at a time."""

    def __init__(self, python: str):
        """Starts it."""
        self.process = subprocess.Popen(
            [python, PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self.process.stdout.readline().strip()

    def seconds(self, shape: tuple[int, ...], what: str, calls: int) -> float:
        """Asks for the seconds of a call."""
        self.process.stdin.write(f"{' '.join(map(str, shape))} {what} {calls}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def check_agreement(what: str, problem: list[tf.Tensor]) -> float:
    """Returns the largest difference of the op from the reference in float64, over 1 + |it|."""
    exact = {"forward": forward, "both": both}[what](
        *(tf.cast(array, tf.float64) for array in problem[:2]),
        problem[2],
        *(tf.cast(array, tf.float64) for array in problem[3:]),
        False,
    )
    (found,) = contestants(what)["op"]([problem])
    return max(
        float(np.max(np.abs(one.numpy() - other) / (1 + np.abs(other))))
        for one, other in zip(found, exact, strict=True)
    )


def cache_shares() -> list[dict[str, float]]:
    """Returns by shape how the time of an example in the cache relates to that from memory."""
    folder = HERE.parent / "custom_ops"
    sizes = " ".join(str(number) for shape in SHAPES for number in shape)
    command = ["make", "-s", "-C", str(folder), "bench", f"SIZES={sizes}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shares = []
    for line in found.strip().splitlines()[-len(SHAPES) :]:
        seconds = json.loads(line)
        cached, streamed = seconds["in_cache"], seconds["from_memory"]
        shares.append(
            {
                "forward": cached["forward"] / streamed["forward"],
                "both": sum(cached.values()) / sum(streamed.values()),
            }
        )
    return shares


def measure(
    shape: tuple[int, ...], what: str, rounds: int, cache_share: float, torch: Torch | None
) -> dict:
    """Lets the contestants take turns on one problem."""
    copies = COPIES.get(shape, 1)
    problems = [make_problem(shape, seed) for seed in range(copies)]
    names = contestants(what)
    difference = check_agreement(what, problems[0])
    source = np.ones(COPY_BYTES // 4, np.float32)
    target = np.zeros_like(source)
    seconds = {name: [] for name in [*names, *(["torch"] if torch else [])]}
    rates = []
    for _ in range(rounds):
        rates.append(copy_rate(source, target))
        for name, function in names.items():
            seconds[name].append(seconds_a_call(lambda f=function: f(problems)) / copies)
        if torch:
            calls = max(3, int(0.2 / seconds["graph"][-1]))
            seconds["torch"].append(torch.seconds(shape, what, calls))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rate = statistics.median(rates)
    moved = bytes_moved(shape, what)
    return {
        "shape": dict(zip(("terms", "batch", "experts", "latent"), shape, strict=True)),
        "pass": what,
        "copies_a_call": copies,
        "seconds": medians,
        "all_seconds": seconds,
        "bytes": moved,
        "copy_bytes_per_second": rate,
        "share_of_copy": moved / medians["op"] / rate,
        "times_graph": medians["graph"] / medians["op"],
        "times_xla": medians["xla"] / medians["op"],
        "times_torch": medians["torch"] / medians["op"] if torch else None,
        "time_in_cache_over_time_from_memory": cache_share,
        "largest_difference": difference,
    }


def table(rows: list[dict]) -> str:
    """Returns the table in Markdown."""
    lines = [
        "| terms, batch, experts, latent | pass | op | graph | XLA | PyTorch | op against graph | "
        "against XLA | against PyTorch | of a copy's bytes/s | bound by arithmetic |",
        "| --- | --- " + "| --- " * 9 + "|",
    ]
    for row in rows:
        seconds = row["seconds"]
        times = [f"{1e3 * seconds[name]:.3g} ms" for name in ("op", "graph", "xla")]
        times.append(f"{1e3 * seconds['torch']:.3g} ms" if "torch" in seconds else "-")
        ratios = [row["times_graph"], row["times_xla"], row["times_torch"]]
        cells = [
            ", ".join(map(str, row["shape"].values())),
            row["pass"],
            *times,
            *(f"{ratio:.1f}x" if ratio else "-" for ratio in ratios),
            f"{100 * row['share_of_copy']:.0f} %",
            f"{100 * row['time_in_cache_over_time_from_memory']:.0f} %",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measures everything; 1 where the op and the reference disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer_python", help="a Python with PyTorch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results")
    arguments = parser.parse_args()
    op = custom_op.library()
    if op is None:
        parser.error(f"{custom_op.status()}; make -C custom_ops op")
    torch = Torch(arguments.peer_python) if arguments.peer_python else None
    shares = dict(zip(SHAPES, cache_shares(), strict=True))
    rows = [
        measure(shape, what, arguments.rounds, shares[shape][what], torch)
        for shape in SHAPES
        for what in PASSES
    ]
    report = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_set": op.instruction_set,
        "load_average": os.getloadavg()[0],
        "versions": {"tensorflow": tf.__version__, "torch": torch.version if torch else None},
        "rounds": arguments.rounds,
        "rows": rows,
    }
    arguments.output.mkdir(exist_ok=True)
    text = json.dumps(report, indent=1)
    (arguments.output / "gaussian_product.json").write_text(text + "\n", encoding="utf-8")
    (arguments.output / "gaussian_product.md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))
    return int(any(row["largest_difference"] > 1e-4 for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
