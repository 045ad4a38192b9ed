"""The product of experts on a GPU by CUDA, by JAX and by PyTorch, in one run.

    make -C custom_ops gpu_compile
    python benchmarks/peers/gaussian_product_gpu.py

runs the CUDA benchmark, then the same mathematics with `jax.jit` and with `torch.compile`
(which writes Triton), each in a process of its own, and prints one table. What is not
installed, or finds no GPU, is left out, and said to be. The exit status is 77 where nothing
ran. It needs no TensorFlow and imports nothing of `tf_mvae`.

The peers multiply the mask as a matrix, as one would write it, and get the gradient in closed
form from the products, which spares them the forward pass. Before they are timed, each is
compared with float64 numpy.

Times are medians. `alone`: of one call after a buffer larger than the cache was written, by
the GPU's own clock. `in a row`: of 20 calls with nothing between them, by the host's clock
(JAX has no other); where everything fits in the cache, it is read from there.
"""

import argparse
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
SHAPES = [(3, 128, 2, 64), (22, 128, 19, 100), (40, 1024, 64, 128), (40, 256, 1000, 64)]
SMALL_SHAPE = (5, 6, 7, 8)
LIMIT = 39.0  # of log-variances in float32, as in custom_ops/cc/lib/gaussian_math.h
SKIPPED = 77
IN_A_ROW = 20

Arrays = dict[str, Any]


def random_arrays(shape: tuple[int, int, int, int], seed: int = 0) -> Arrays:
    """Returns the arguments of all functions, as numpy's arrays in float32."""
    terms, batch, experts, latent = shape
    rng = np.random.default_rng(seed)
    product = (terms, batch, latent)
    sizes = {
        "loc": (batch, experts, latent),
        "log_variance": (batch, experts, latent),
        "noise": (1, *product),
        "by_loc": product,
        "by_log_variance": product,
        "by_z": (1, *product),
        "by_kl": (terms, batch),
    }
    arrays = {name: rng.standard_normal(size, np.float32) for name, size in sizes.items()}
    mask = rng.integers(2, size=(terms, batch, experts)).astype(np.float32)
    return {**arrays, "mask": mask}


def forward(xp: Any, a: Arrays) -> tuple:
    """Returns the products' means and log-variances, by numpy, JAX or PyTorch."""
    precision = xp.exp(-xp.clip(a["log_variance"], -LIMIT, LIMIT))
    total = xp.einsum("tbm,bml->tbl", a["mask"], precision)
    weighted = xp.einsum("tbm,bml->tbl", a["mask"], precision * a["loc"])
    return weighted / (1 + total), -xp.log1p(total)


def sample(xp: Any, a: Arrays) -> tuple:
    """Returns the products, a sample and the divergences from the prior."""
    loc, log_variance = forward(xp, a)
    z = loc + xp.exp(0.5 * log_variance) * a["noise"]
    kl = 0.5 * (xp.expm1(log_variance) - log_variance + loc * loc).sum(-1)
    return loc, log_variance, z, kl


def backward(xp: Any, a: Arrays) -> tuple:
    """Returns the derivatives by loc and log_variance, given `product_…` and `by_…`."""
    return _backward(xp, a, a["by_loc"], a["by_log_variance"])


def sample_backward(xp: Any, a: Arrays) -> tuple:
    """Returns the same for `sample`."""
    loc, log_variance, by_kl = a["product_loc"], a["product_log_variance"], a["by_kl"][..., None]
    half_scale = 0.5 * xp.exp(0.5 * log_variance)
    by_loc = a["by_loc"] + a["by_z"].sum(0) + by_kl * loc
    by_log_variance = (
        a["by_log_variance"]
        + (a["by_z"] * a["noise"]).sum(0) * half_scale
        + 0.5 * by_kl * xp.expm1(log_variance)
    )
    return _backward(xp, a, by_loc, by_log_variance)


def _backward(xp: Any, a: Arrays, by_loc: Any, by_log_variance: Any) -> tuple:
    variance = xp.exp(a["product_log_variance"])
    first = xp.einsum("tbm,tbl->bml", a["mask"], variance * by_loc)
    second = xp.einsum(
        "tbm,tbl->bml", a["mask"], variance * (by_log_variance + by_loc * a["product_loc"])
    )
    precision = xp.exp(-xp.clip(a["log_variance"], -LIMIT, LIMIT))
    within = xp.abs(a["log_variance"]) <= LIMIT
    return precision * first, xp.where(within, precision * (second - a["loc"] * first), 0.0)


FUNCTIONS = {
    "forward": forward,
    "backward": backward,
    "sample": sample,
    "sample_backward": sample_backward,
}


def bytes_moved(what: str, shape: tuple[int, int, int, int]) -> int:
    """Returns how many bytes must move with a mask of bytes, as the CUDA benchmark counts."""
    terms, batch, experts, latent = shape
    of_experts, rows = 4 * batch * experts * latent, terms * batch
    arrays = {
        "forward": (2, 2, 0),
        "backward": (4, 4, 0),
        "sample": (2, 4, 1),
        "sample_backward": (4, 6, 1),
    }
    experts_arrays, products, per_row = arrays[what]
    return (
        experts_arrays * of_experts
        + rows * experts
        + products * 4 * rows * latent
        + per_row * 4 * rows
    )


class Jax:
    """`jax.jit`."""

    name = "jax"

    def __init__(self, any_device: bool):
        import jax

        if not any_device and jax.default_backend() != "gpu":
            sys.exit(SKIPPED)
        jax.config.update("jax_default_matmul_precision", "highest")
        self.jax, self.version = jax, jax.__version__

    def put(self, arrays: Arrays) -> Arrays:
        """Moves arrays to the device."""
        return {name: self.jax.device_put(array) for name, array in arrays.items()}

    def compiled(self, function: Callable) -> Callable:
        """Compiles one of FUNCTIONS."""
        return self.jax.jit(lambda arrays: function(self.jax.numpy, arrays))

    def wait(self, results: tuple) -> None:
        """Waits until results are there."""
        self.jax.block_until_ready(results)

    def alone(self, call: Callable) -> float | None:
        """Returns None: JAX has no clock of the GPU's."""
        return None


class Torch:
    """`torch.compile`."""

    name = "torch.compile"

    def __init__(self, any_device: bool):
        import torch

        if not any_device and not torch.cuda.is_available():
            sys.exit(SKIPPED)
        self.torch, self.version = torch, torch.__version__
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def put(self, arrays: Arrays) -> Arrays:
        """Moves arrays to the device."""
        return {name: self.torch.from_numpy(a).to(self.device) for name, a in arrays.items()}

    def compiled(self, function: Callable) -> Callable:
        """Compiles one of FUNCTIONS."""
        torch = self.torch
        return torch.compile(lambda arrays: function(torch, arrays), dynamic=False)

    def wait(self, results: tuple) -> None:
        """Waits until results are there."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def alone(self, call: Callable) -> float | None:
        """Returns the median milliseconds of a call that finds the cache full of other things."""
        if self.device != "cuda":
            return None
        flush = self.torch.empty(256 << 20, dtype=self.torch.uint8, device="cuda")
        times = []
        for turn in range(41):
            start, stop = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            flush.fill_(turn)
            start.record()
            call()
            stop.record()
            stop.synchronize()
            times.append(start.elapsed_time(stop))
        return statistics.median(times)


PEERS = {"jax": Jax, "torch": Torch}


def check(peer: Any) -> None:
    """Stops where a peer's results are not those of float64 numpy."""
    arrays = random_arrays(SMALL_SHAPE)
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    exact["product_loc"], exact["product_log_variance"] = forward(np, exact)
    for name in ("product_loc", "product_log_variance"):
        arrays[name] = exact[name].astype(np.float32)
    there = peer.put(arrays)
    for what, function in FUNCTIONS.items():
        results = peer.compiled(function)(there)
        for result, expected in zip(results, function(np, exact), strict=True):
            here = np.asarray(result.cpu() if hasattr(result, "cpu") else result)
            np.testing.assert_allclose(here, expected, rtol=1e-4, atol=1e-5, err_msg=what)


def measure(peer: Any, shapes: list[tuple[int, int, int, int]]) -> None:
    """Prints one line of JSON for each function and shape."""
    check(peer)
    for shape in shapes:
        arrays = peer.put(random_arrays(shape))
        products = peer.compiled(forward)(arrays)
        arrays |= zip(("product_loc", "product_log_variance"), products, strict=True)
        for what, function in FUNCTIONS.items():
            compiled = peer.compiled(function)
            peer.wait(compiled(arrays))
            times = []
            for _ in range(11):
                start = time.perf_counter()
                for _ in range(IN_A_ROW):
                    results = compiled(arrays)
                peer.wait(results)
                times.append((time.perf_counter() - start) / IN_A_ROW * 1e3)
            line = dict(zip(("terms", "batch", "experts", "latent"), shape, strict=True))
            line |= {
                "implementation": f"{peer.name} {peer.version}",
                "what": what,
                "milliseconds": peer.alone(lambda call=compiled, a=arrays: call(a)),
                "milliseconds_in_a_row": statistics.median(times),
                "bytes": bytes_moved(what, shape),
            }
            print(json.dumps(line), flush=True)


def lines_of(command: list[str], name: str) -> list[dict]:
    """Runs a program and returns the JSON that it printed; says so where it does not run."""
    try:
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
        return []
    if run.returncode:
        why = "it has no GPU" if run.returncode == SKIPPED else f"status {run.returncode}"
        print(f"{name} is left out: {why}", file=sys.stderr)
        return []
    return parsed(run.stdout)


def parsed(text: str) -> list[dict]:
    """Returns the JSON lines of what a program printed, each with the device if that was told."""
    lines = text.splitlines()
    devices = [line.removeprefix("device: ") for line in lines if line.startswith("device: ")]
    told = {"device": devices[0]} if devices else {}
    return [told | json.loads(line) for line in lines if line.startswith("{")]


def table(lines: list[dict]) -> str:
    """Returns a Markdown table; shares are of the copy's speed."""
    copy = [line for line in lines if line["what"] == "copy"]
    speed = copy[0]["bytes"] / copy[0]["milliseconds"] if copy else None
    rows = [
        "| terms, batch, experts, latent | what | by | ms alone | ms in a row | of a copy |",
        "|---|---|---|---|---|---|",
    ]
    names = ("terms", "batch", "experts", "latent")
    order = {what: place for place, what in enumerate(FUNCTIONS)}
    measured = [line for line in lines if line["what"] != "copy"]
    measured.sort(key=lambda line: (*(line[name] for name in names), order[line["what"]]))
    for line in measured:
        alone, in_a_row = line["milliseconds"], line["milliseconds_in_a_row"]
        share = line["bytes"] / (alone or in_a_row) / speed if speed else None
        rows.append(
            f"| {', '.join(str(line[name]) for name in names)} | {line['what']} | "
            f"{line['implementation']} | {f'{alone:.4f}' if alone else ''} | {in_a_row:.4f} | "
            f"{f'{share:.0%}' if share else ''} |"
        )
    devices = dict.fromkeys(line["device"] for line in lines if "device" in line)
    return "\n".join([*(f"On one {device}.\n" for device in devices), *rows])


def main() -> int:
    """Runs everything that can be run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cuda",
        default=ROOT / "custom_ops/build/gpu/gaussian_product_gpu_bench",
        help="the CUDA benchmark",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="a file for all measurements, as JSON, beside which the table is put",
    )
    parser.add_argument("--peer", choices=PEERS, help="this peer alone, in this process")
    parser.add_argument(
        "--any_device", action="store_true", help="peers without a GPU too, on a small shape"
    )
    arguments = parser.parse_args()
    if arguments.peer:
        peer = PEERS[arguments.peer](arguments.any_device)
        measure(peer, [SMALL_SHAPE] if arguments.any_device else SHAPES)
        return 0
    lines = lines_of([str(arguments.cuda)], "CUDA")
    for name in PEERS:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is left out: it is not installed", file=sys.stderr)
            continue
        options = ["--any_device"] if arguments.any_device else []
        lines += lines_of([sys.executable, __file__, "--peer", name, *options], name)
    if not lines:
        return SKIPPED
    print(table(lines))
    if arguments.output:
        arguments.output.write_text(json.dumps(lines, indent=1) + "\n")
        arguments.output.with_suffix(".md").write_text(table(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
