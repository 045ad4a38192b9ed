"""Measures a GPU in a bounded time: steps, samplers, likelihoods and the product of experts.

`benchmarks/gpu.sh` runs it. Each set-up of `step_setups.py` is measured in float32, TF32 and
bfloat16, each in a process of its own, and MultiVae's step as well with `--peer_python`. What has
been measured is written after each part, to `benchmarks/results/gpu.{json,md}`, so that nothing is
lost when the time is over; what was not reached is named.
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
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import contestants  # noqa: E402
import records  # noqa: E402

RESULTS = HERE / "results" / "gpu.json"
SETUPS = ("mnist", "celeba19", "six_images")
PRECISIONS = ("float32", "tf32", "bfloat16")
PARTS = ("step", "sampler", "likelihood", "op", "step, XLA")
PEERS = {"MultiVae": None, "MultiVae, torch.compile of its networks": "networks"}  # by --compile
DRAWS = 64  # images from one condition
IMPORTANCE_SAMPLES = 100


# What a process of its own measures ---------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    """Measures a set-up in a precision; prints each part as a line of JSON once it is known."""
    import step_setups
    import tensorflow as tf

    from tf_mvae.training.build import build_model

    tf.config.experimental.enable_tensor_float_32_execution(options.precision == "tf32")
    config = step_setups.SETUPS[options.setup].config
    kind = "mixed_bfloat16" if options.precision == "bfloat16" else "float32"
    config = config.replace(mixed_precision=kind, jit_compile=False)
    if options.tiny:
        config = config.replace(batch_size=2)
    model = build_model(config, 1)
    arrays = step_setups.random_batch(options.setup, config.batch_size)
    batch = {"x": {name: tf.constant(value) for name, value in arrays.items()}}
    for part in options.parts:
        begin = time.perf_counter()
        try:
            found = _PART[part](model, batch, options)
        except Exception as error:  # the other parts are measured whatever becomes of this one
            found = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        found |= {"part": part, "wall_seconds": round(time.perf_counter() - begin, 1)}
        print(json.dumps({**found, **peak_memory()}), flush=True)


def median_seconds(call: Callable[[], Any], options: argparse.Namespace) -> dict[str, float]:
    """Returns the seconds of the first call, and the median of others for about two seconds.

    `call` has to wait for its result.
    """
    begin = time.perf_counter()
    call()
    first, times = time.perf_counter() - begin, []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < options.seconds_a_part:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"first_seconds": first, "seconds": statistics.median(times), "calls": len(times)}


def measure_step(
    model: Any, batch: Any, options: argparse.Namespace, jit_compile: bool = False
) -> dict[str, float]:
    """Measures the training step; ten steps a call, so that the host is not waited for."""
    import tensorflow as tf

    step = tf.function(model.train_step, jit_compile=jit_compile)
    number = 1 if options.tiny else 10

    def call() -> float:
        for _ in range(number):
            last = step(batch)
        return float(last["loss"])

    found = median_seconds(call, options)
    found["seconds"] /= number
    return found | {"examples": len(next(iter(batch["x"].values())))}


def measure_sampler(model: Any, batch: Any, options: argparse.Namespace) -> dict[str, float]:
    """Measures a step of a sampler's fit, and a draw of images from one modality."""
    import tensorflow as tf

    from tf_mvae import samplers

    sampler = samplers.CouplingFlow(model.latent_dim, model.num_columns)
    trainer = samplers.SamplerTrainer(model, sampler)
    trainer.compile(samplers.make_optimizer(2e-3, None), jit_compile=True)
    step = tf.function(trainer.train_step)
    fit = median_seconds(lambda: float(step(batch)["loss"]), options)
    model.set_sampler(sampler)
    try:
        name = list(batch["x"])[-1]
        given = {name: batch["x"][name][:1]}

        def draw() -> None:
            for value in model.generate(given, DRAWS, seed=1).values():
                value.numpy()

        drawn = median_seconds(draw, options)
    finally:
        model.set_sampler(None)
    return {
        **{f"fit_{key}": value for key, value in fit.items()},
        **{f"draw_{key}": value for key, value in drawn.items()},
        "examples": len(batch["x"][name]),
    }


def measure_likelihood(model: Any, batch: Any, options: argparse.Namespace) -> dict[str, float]:
    """Measures an importance-sampled joint log-likelihood."""
    from tf_mvae.evaluation import ImportanceSampler

    number = 2 if options.tiny else IMPORTANCE_SAMPLES
    estimate = ImportanceSampler(model, num_samples=number)
    found = median_seconds(lambda: estimate(batch).log_likelihood.numpy(), options)
    examples = len(next(iter(batch["x"].values())))
    return found | {"examples": examples, "samples": number}


def measure_op(model: Any, batch: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Measures the product of experts, forward and backward, in the step's shape."""
    import gaussian_product
    import tensorflow as tf

    from tf_mvae.ops import custom_op

    terms = 1 + model.num_columns + model.num_random_subsets
    examples = len(next(iter(batch["x"].values())))
    problem = gaussian_product.make_problem(
        (terms, examples, model.num_columns, model.latent_dim), 0
    )
    functions = gaussian_product.contestants("both")
    if custom_op.library() is None:
        functions.pop("op")
    found = {}
    for name, function in functions.items():

        def call(function: Callable = function) -> None:
            tf.nest.map_structure(lambda tensor: tensor.numpy(), function([problem]))

        found[f"{name}_seconds"] = median_seconds(call, options)["seconds"]
    return found | {"library": custom_op.status()}


def measure_xla_step(model: Any, batch: Any, options: argparse.Namespace) -> dict[str, float]:
    """Measures the step that XLA compiles."""
    return measure_step(model, batch, options, jit_compile=True)


_PART = dict(
    zip(
        PARTS,
        (measure_step, measure_sampler, measure_likelihood, measure_op, measure_xla_step),
        strict=True,
    )
)


def peak_memory() -> dict[str, int]:
    """Returns the most bytes that were held on the first GPU so far."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return {}
    return {"peak_bytes": int(tf.config.experimental.get_memory_info("GPU:0")["peak"])}


# What runs them -----------------------------------------------------------------------


class Clock:
    """The time that is left."""

    def __init__(self, seconds: float):
        """Starts."""
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self._end - time.monotonic())


def run_ours(
    setup: str, precision: str, options: argparse.Namespace, clock: Clock
) -> Iterator[dict[str, Any]]:
    """Yields the parts of a set-up as they are measured, until the time is over."""
    command = [sys.executable, __file__, f"--setup={setup}", f"--precision={precision}"]
    command += [f"--parts={';'.join(options.parts)}", f"--seconds_a_part={options.seconds_a_part}"]
    command += ["--tiny"] * options.tiny
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        timer = subprocess.Popen(["sleep", str(min(clock.left, options.limit))])
        try:
            os.set_blocking(process.stdout.fileno(), False)
            text = b""
            while process.poll() is None and timer.poll() is None:
                text += process.stdout.read() or b""
                *lines, text = text.split(b"\n")
                yield from map(json.loads, lines)
                time.sleep(0.05)
            text += process.stdout.read() or b""
            yield from (json.loads(line) for line in text.splitlines() if line.endswith(b"}"))
            if process.poll() not in (None, 0):
                log.seek(0)
                last = (log.read().strip().splitlines() or ["it said nothing"])[-1]
                yield {"part": "process", "failed": last[:200]}
        finally:
            for child in (process, timer):
                child.kill()
                child.wait()


def run_peer(
    setup: str, precision: str, options: argparse.Namespace, clock: Clock
) -> Iterator[dict[str, Any]]:
    """Yields MultiVae's step, as it is and with `torch.compile` of its networks."""
    import step_setups

    config = step_setups.SETUPS[setup].config
    if options.tiny:
        config = config.replace(batch_size=2)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place) / setup
        step_setups.write(setup, folder, config)
        for name, compiled in PEERS.items():
            flags = [f"--device={options.peer_device}", f"--precision={precision}"]
            flags += [f"--compile={compiled}"] if compiled else []
            own = Clock(min(clock.left, options.limit))
            if own.left < 5:
                return
            command = contestants.theirs(options.peer_python, "multivae_step.py", folder, *flags)
            found: dict[str, Any] = {"part": name}
            try:
                peer = contestants.Contestant(command, own.left)
            except contestants.Failed as failure:
                yield found | {"failed": str(failure)}
                continue
            try:
                found |= {**peer_step(peer, options, own), "examples": config.batch_size}
            except contestants.Failed as failure:
                found["failed"] = str(failure)
            finally:
                peer.stop()
            yield found


def peer_step(
    peer: contestants.Contestant, options: argparse.Namespace, clock: Clock
) -> dict[str, float]:
    """Returns the seconds of a contestant's first step, and of later ones.

    Raises:
        Failed: It has no answer, or not in the time that is left for all of its answers.
    """

    def seconds(do: str, **arguments: int) -> float:
        peer.limit = clock.left
        return peer.ask(do, **arguments)["seconds"]

    first, number, times = seconds("first_step"), 1 if options.tiny else 10, []
    begin = time.monotonic()
    while len(times) < 3 or time.monotonic() - begin < options.seconds_a_part:
        times.append(seconds("steps", number=number) / number)
    return {"first_seconds": first, "seconds": statistics.median(times)}


def report(record: dict[str, Any]) -> str:
    """Returns the table."""
    lines = [
        "| set-up | precision | part | ms | examples/s | first call, s | peak memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in record["rows"]:
        start = f"| {row['setup']} | {row['precision']} | "
        if "failed" in row:
            lines.append(f"{start}{row['part']} | {row['failed'].replace('|', ' ')} | | | |")
            continue
        memory = f"{row['peak_bytes'] / 1e6:,.0f}" if "peak_bytes" in row else ""
        for label, seconds, examples, first in _figures(row):
            rate = f"{examples / seconds:,.0f}" if examples else ""
            first = "" if first is None else f"{first:.1f}"
            lines.append(f"{start}{label} | {1e3 * seconds:,.2f} | {rate} | {first} | {memory} |")
    about = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    said = f"\n\nNot reached in the time: {', '.join(record['missing'])}." * bool(record["missing"])
    return "\n".join(lines) + f"\n\n{about}." + said + "\n"


def _figures(row: dict[str, Any]) -> list[tuple[str, float, float | None, float | None]]:
    """Returns label, seconds, examples and seconds of the first call of each line of a part."""
    if row["part"] == "op":
        names = [key for key in ("op", "graph", "xla") if f"{key}_seconds" in row]
        return [(f"product, {name}", row[f"{name}_seconds"], None, None) for name in names]
    if row["part"] == "sampler":
        fit = ("sampler, fit", row["fit_seconds"], row["examples"], row["fit_first_seconds"])
        draw = (f"draw of {DRAWS}", row["draw_seconds"], DRAWS, row["draw_first_seconds"])
        return [fit, draw]
    label = row["part"]
    if "samples" in row:
        label += f", K = {row['samples']}"
    return [(label, row["seconds"], row["examples"], row["first_seconds"])]


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what was measured on: asked in a process of its own, which frees the GPU."""
    program = (
        "import json, tensorflow as tf, keras\n"
        "found = tf.config.list_physical_devices('GPU')\n"
        "names = [tf.config.experimental.get_device_details(g).get('device_name') for g in found]\n"
        "print(json.dumps({'GPU': ' and '.join(map(str, names)) or 'none', "
        "'tensorflow': tf.__version__, 'keras': keras.__version__}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "processor": contestants.processor(), "tiny": options.tiny}


def sides(options: argparse.Namespace) -> dict[Callable, list[str]]:
    """Returns the parts that are measured, by the function that measures them, ours first."""
    return {run_ours: options.parts} | ({run_peer: list(PEERS)} if options.peer_python else {})


def missing(rows: list[dict[str, Any]], options: argparse.Namespace) -> list[str]:
    """Returns which parts have no row."""
    known = {(row["setup"], row["precision"], row["part"]) for row in rows}
    return [
        f"{setup} in {precision}: {part}"
        for parts in sides(options).values()
        for setup in options.setups
        for precision in options.precisions
        for part in parts
        if (setup, precision, part) not in known
    ]


def drive(options: argparse.Namespace) -> int:
    """Measures what there is time for; returns the exit status."""
    clock = Clock(options.seconds)
    record: dict[str, Any] = {"machine": machine(options), "rows": [], "missing": []}
    if record["machine"]["GPU"] == "none" and not options.tiny:
        print("no GPU is found; --tiny rehearses the script on the processor")
        return 77
    jobs = [
        (s, p, run) for run in sides(options) for s in options.setups for p in options.precisions
    ]
    for setup, precision, run in jobs:
        if clock.left < options.seconds_a_part:
            break
        for row in run(setup, precision, options, clock):
            record["rows"].append({"setup": setup, "precision": precision, **row})
            print(json.dumps(record["rows"][-1]), flush=True)
            record["missing"] = missing(record["rows"], options)
            records.write(options.output, record, report(record))
    record["missing"] = missing(record["rows"], options)
    records.write(options.output, record, report(record))
    print(report(record))
    return int(any("failed" in row for row in record["rows"]))


def main() -> int:
    """Measures, or runs what measures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])

    def listed(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--setups", type=listed, default=list(SETUPS))
    parser.add_argument("--precisions", type=listed, default=list(PRECISIONS))
    parser.add_argument("--parts", type=lambda text: text.split(";"), default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=540, help="in all")
    parser.add_argument("--limit", type=float, default=90, help="seconds of one process")
    parser.add_argument("--seconds_a_part", type=float, default=1.5)
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: tiny batches, no GPU")
    parser.add_argument("--peer_python", help="the python of MultiVae's environment")
    parser.add_argument("--peer_device", default="cuda")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--setup", choices=SETUPS, help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"--parts knows {'; '.join(PARTS)}; not {unknown}")
    if options.setup:
        measure(options)
        return 0
    return drive(options)


if __name__ == "__main__":
    sys.exit(main())
