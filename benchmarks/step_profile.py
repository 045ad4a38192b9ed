"""Says what a training step spends its time on, instruction by instruction.

`python benchmarks/step_profile.py` runs `tf.profiler` over training steps on one core, where
instructions follow one another and their times add up to the step's. It adds up the time of every
instruction by what it does. Where XLA compiled the step it also sets its arithmetic and the bytes
that it reads and writes beside what the objective and Adam cannot do without; of TensorFlow's own
operations the profiler knows the time alone. It prints tables and writes
`benchmarks/results/step_profile.{json,md}`, where set-ups of earlier runs that are not measured now
stay.
"""

import argparse
import collections
import math
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import records

RESULTS = pathlib.Path(__file__).parent / "results" / "step_profile.json"
PRODUCTS, OPTIMIZER, COPIES, REST = KINDS = (
    "matrix products and convolutions",
    "optimizer",
    "copies of weights",
    "everything else",
)
STEPS = {"mnist": 50, "celeba19": 4}  # that are profiled, and in a round
WARM_STEPS = 3


class Spent(NamedTuple):
    """What instructions of one kind took in a step.

    Attributes:
        number: Of instructions.
        seconds: Of all threads.
        operations: Of matrix products and convolutions, where they are known.
        moved: Bytes read and written, where they are known.
    """

    number: int
    seconds: float
    operations: int | None
    moved: int | None


def kind(instruction: Any, optimizer: str) -> str:
    """Returns what an instruction of optimised HLO is counted under.

    Args:
        instruction: From `hlo.written`.
        optimizer: The optimizer's name.
    """
    if instruction.opcode in ("dot", "convolution"):
        return PRODUCTS
    if instruction.opcode == "copy" and len(instruction.shape) > 1 and not instruction.source:
        return COPIES
    return OPTIMIZER if instruction.source.startswith(f"{optimizer}/") else REST


def spent(
    instructions: Iterable[Any], seconds: dict[str, float], optimizer: str
) -> dict[str, Spent]:
    """Adds up instructions by their kind.

    Args:
        instructions: From `hlo.written`.
        seconds: What each took in a step, by its name; one that is not in it took no time that the
            profiler could see.
        optimizer: The optimizer's name.
    """
    found = collections.defaultdict(list)
    for instruction in instructions:
        found[kind(instruction, optimizer)].append(instruction)
    return {
        name: Spent(
            len(found[name]),
            math.fsum(seconds.get(i.name, 0.0) for i in found[name]),
            sum(i.operations for i in found[name]),
            sum(i.moved for i in found[name]),
        )
        for name in KINDS
    }


def spent_by_operations(seconds: dict[str, float], optimizer: str) -> dict[str, Spent]:
    """Adds up TensorFlow's operations, `NAME:TYPE` in the profile, by their kind."""
    found = collections.defaultdict(list)
    for event, took in seconds.items():
        name, _, operation = event.rpartition(":")
        # What runs them all has no type, or is a function, or one of C++.
        if not name or name.endswith(":") or "__inference" in operation:
            continue
        if re.search("MatMul|Conv|Einsum", operation):
            found[PRODUCTS].append(took)
        else:
            found[OPTIMIZER if f"{optimizer}/" in name else REST].append(took)
    return {
        name: Spent(len(found[name]), math.fsum(found[name]), None, None)
        for name in KINDS
        if name in found
    }


def profile(step, batch: Any, steps: int) -> dict[str, float]:
    """Returns the seconds that each instruction took in a step, by its name."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder, options):
            for _ in range(steps):
                last = step(batch)
            float(last["loss"])
        space = xplane_pb2.XSpace()
        for file in pathlib.Path(folder).rglob("*.xplane.pb"):
            space.MergeFromString(file.read_bytes())
    seconds = collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            seconds[plane.event_metadata[event.metadata_id].name] += event.duration_ps
    return {name: total / 1e12 / steps for name, total in seconds.items()}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Profiles a set-up's step, compiled as its configuration says, and times it unprofiled."""
    import arithmetic
    import hlo
    import matmul
    import step_setups
    import tensorflow as tf

    setup, steps = step_setups.SETUPS[name], STEPS[name]
    compiled = setup.config.jit_compile
    with tempfile.TemporaryDirectory() as folder:
        step_setups.write(name, pathlib.Path(folder), setup.config)
        model, batch = step_setups.load(pathlib.Path(folder), compiled)
    step = tf.function(model.train_step, jit_compile=compiled)
    times = []
    for number in [WARM_STEPS] + [steps] * rounds:
        begin = time.perf_counter()
        for _ in range(number):
            last = step(batch)
        float(last["loss"])
        times.append((time.perf_counter() - begin) / number)
    seconds = profile(step, batch, steps)
    if compiled:
        text = step.experimental_get_compiler_ir(batch)(stage="optimized_hlo")
        kinds = spent(hlo.written(text), seconds, model.optimizer.name)
    else:
        kinds = spent_by_operations(seconds, model.optimizer.name)
    weights = 4 * sum(math.prod(v.shape) for v in model.trainable_variables)
    mean_size = arithmetic.mean_subset_size(model)
    return {
        "title": setup.title,
        "batch_size": setup.config.batch_size,
        "jit_compile": compiled,
        "step_seconds": statistics.median(times[1:]),
        "matmul": matmul.matmul_rate(),
        "kinds": {name: found._asdict() for name, found in kinds.items()},
        "needed_operations": arithmetic.needed(model, setup.config.batch_size, mean_size).total,
        # Adam reads weight, gradient and both moments, and writes all but the gradient.
        "needed_optimizer_bytes": 7 * weights,
    }


def report(record: dict[str, Any]) -> str:
    """Returns the tables."""
    about = records.by_machine(record["setups"].values(), _measured_on)
    return "\n\n".join([*map(_table, record["setups"].values()), about]) + "\n"


def _measured_on(setup: dict[str, Any]) -> str:
    return (
        f"{setup['processor']}, one core, load before {setup['load_before']:.1f}, "
        f"tensorflow {setup['tensorflow']}."
    )


def _table(setup: dict[str, Any]) -> str:
    total = math.fsum(found["seconds"] for found in setup["kinds"].values())
    lines = [
        "| | instructions | ms | share | GFLOP | needed | MB read and written | needed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    operations = {PRODUCTS: setup["needed_operations"]}
    moved = {OPTIMIZER: setup["needed_optimizer_bytes"], COPIES: 0}
    for name, found in setup["kinds"].items():
        cells = [
            name,
            str(found["number"]),
            f"{1e3 * found['seconds']:,.1f}",
            f"{found['seconds'] / total:.0%}",
            _cell(found["operations"], 1e9, 2),
            _cell(operations.get(name), 1e9, 2),
            _cell(found["moved"], 1e6, 0),
            _cell(moved.get(name), 1e6, 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    way = "compiled by XLA" if setup["jit_compile"] else "TensorFlow's own operations"
    head = (
        f"**{setup['title']}**, a batch of {setup['batch_size']}, {way}: a step takes "
        f"{1e3 * setup['step_seconds']:,.1f} ms without the profiler, its instructions "
        f"{1e3 * total:,.1f} ms with it. Its products do "
        f"{setup['needed_operations'] / setup['kinds'][PRODUCTS]['seconds'] / 1e9:.0f} GFLOP/s, "
        f"a `tf.matmul` of 2048 x 2048 {setup['matmul'] / 1e9:.0f}."
    )
    return f"{head}\n\n" + "\n".join(lines)


def _cell(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:,.{digits}f}"


def main() -> int:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setups", type=lambda text: text.split(","), default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5, help="without the profiler")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args()
    if unknown := set(options.setups) - set(STEPS):
        parser.error(f"--setups knows {', '.join(STEPS)}; not {', '.join(sorted(unknown))}")
    # Before TensorFlow makes its threads.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import contestants
    import tensorflow as tf

    machine = {
        "processor": contestants.processor(),
        "load_before": os.getloadavg()[0],
        "tensorflow": tf.__version__,
    }
    found = {name: measure(name, options.rounds) | machine for name in options.setups}
    print(records.keep(options.output, found, report, STEPS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
