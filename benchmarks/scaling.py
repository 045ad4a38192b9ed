"""Measures training on one and on several replicas, its communication, and its input.

`python benchmarks/scaling.py` trains the MVAE of MNIST on the digits that come with a
dependency: on one device by Keras' `fit`'s own step, on two logical CPUs (`mirrored`), and in
two processes over loopback (`multi_worker`). They take turns, each in processes of its own;
figures are medians over the rounds. It prints tables, with a calculation on paper for 8, 64
and 512 accelerators, whose arithmetic `arithmetic.py` counts, and writes `scaling.json` and `.md`
into `benchmarks/results`.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import records

RESULTS = pathlib.Path(__file__).parent / "results"
BATCH = 100
STEPS = 100
PAPER_BATCHES = (BATCH, 4096)  # of a replica, on paper
# Name, strategy, processes.
SETUPS = [
    ("1 process x 1 replica", "default", 1),
    ("1 process x 2 replicas", "mirrored", 1),
    ("2 processes x 1 replica", "multi_worker", 2),
]
# On paper: an accelerator's arithmetic that a step reaches, and its links' bytes a second and
# seconds of delay: within a machine of 8, and between machines (400 Gbit/s each).
REACHED, WITHIN, BETWEEN, DELAY = 50e12, 300e9, 50e9, 5e-6


def config_of(data_dir: str | None = None) -> Any:
    """Returns the configuration of the run that is measured."""
    from tf_mvae.training import RunConfig

    return RunConfig("digits", data_dir=data_dir, batch_size=BATCH)


def measure(strategy_name: str, data_dir: str) -> dict:
    """Times steps in this process."""
    import tensorflow as tf

    from tf_mvae.data import training_batches
    from tf_mvae.training import make_strategy
    from tf_mvae.training.build import build_model
    from tf_mvae.training.replicas import Replicas
    from tf_mvae.training.splits import load_split

    config = config_of(data_dir)
    strategy = make_strategy(strategy_name, 2 if strategy_name == "mirrored" else 0)
    split = load_split(config, "train")
    steps_per_epoch = split.num_examples // BATCH

    def stream(epochs):
        return iter(training_batches(split, BATCH, epochs, 0))

    for epoch in (1, 1):  # the first fills the cache
        batches, began = stream(4 * epoch), time.perf_counter()
        number = sum(1 for _ in batches) * BATCH
        input_rate = number / (time.perf_counter() - began)
    batches = stream(2 + (STEPS + 10) // steps_per_epoch)
    found = {"input": input_rate}
    if strategy is None:
        model = build_model(config, steps_per_epoch)
        step = tf.function(model.train_step, jit_compile=True)
        take = lambda: step(next(batches))  # noqa: E731
        reduce = lambda: None  # noqa: E731
    else:
        replicas = Replicas(strategy, lambda: build_model(config, steps_per_epoch))
        replicas.share([0])
        model, asked = replicas.models[0], tf.zeros([2])
        own = iter(training_batches(split, BATCH, 99, 0, part=replicas.part))
        take = lambda: replicas._train_step(replicas._distributed(next(own)), asked)  # noqa: E731
        gradients = [tf.zeros(v.shape) for v in model.trainable_variables]

        @tf.function
        def reduce():
            def run():
                context = tf.distribute.get_replica_context()
                return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

            return strategy.run(run)

    for name, function in (("step", take), ("communication", reduce)):
        for _ in range(5):
            function()
        began = time.perf_counter()
        for _ in range(STEPS):
            last = function()
        tf.nest.map_structure(lambda value: getattr(value, "numpy", lambda: 0)(), last)
        found[name] = (time.perf_counter() - began) / STEPS
    found["parameters"] = sum(int(tf.size(v)) for v in model.trainable_variables)
    return found


def spawn(name: str, strategy: str, processes: int, data_dir: str) -> dict:
    """Measures in processes of its own; returns what the first one found."""
    sockets = [socket.socket() for _ in range(processes)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    cluster = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    running = []
    for index in range(processes):
        environment = dict(os.environ)
        if strategy == "multi_worker":
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
        command = [sys.executable, __file__, f"--measure={strategy}", f"--data_dir={data_dir}"]
        running.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError(f"{name} failed")
    return json.loads(outputs[0].splitlines()[-1])


def operations() -> dict[str, int]:
    """Returns the operations that a step of the model needs, by the examples of a batch."""
    import arithmetic

    from tf_mvae.training.build import build_model

    model = build_model(config_of(), 1)
    size = arithmetic.mean_subset_size(model)
    return {str(batch): arithmetic.needed(model, batch, size).total for batch in PAPER_BATCHES}


def on_paper(parameters: int, operations: dict[str, int]) -> list[dict]:
    """Returns where communication outweighs arithmetic, each replica with a batch of its own.

    A ring moves `2 (n - 1) / n` times the gradients' bytes over each link in `2 (n - 1)` messages.

    Args:
        parameters: Of the model.
        operations: Of a step, by the examples of a replica's batch.
    """
    rows = []
    for batch, needed in operations.items():
        compute = needed / REACHED
        for number in (8, 64, 512):
            rate = WITHIN if number <= 8 else BETWEEN
            moved = 2 * (number - 1) / number * 4 * parameters
            seconds = moved / rate + 2 * (number - 1) * DELAY
            rows.append(
                {
                    "accelerators": number,
                    "examples a replica": batch,
                    "arithmetic": f"{1e3 * compute:.2f} ms",
                    "communication": f"{1e3 * seconds:.2f} ms",
                    "efficiency": f"{100 * compute / (compute + seconds):.0f} %",
                }
            )
    return rows


def to_table(rows: list[dict]) -> str:
    """Returns rows as a Markdown table."""
    names = list(rows[0])
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(row[name]) for name in names) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def main() -> int:
    """Measures, prints and writes; the exit status is 1 if the input is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help="what this process is to measure; the script's own use")
    parser.add_argument("--data_dir")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.data_dir)))
        return 0
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as data_dir:
        found = {name: [] for name, *_ in SETUPS}
        for _ in range(options.rounds):
            for name, strategy, processes in SETUPS:
                found[name].append(spawn(name, strategy, processes, data_dir))
    record = {"cores": os.cpu_count(), "load_before": load, "batch": BATCH, "rounds": found}
    record["operations"] = operations()
    text, ratio = report(record)
    print(text)
    records.write(RESULTS / "scaling.json", record, text)
    return int(ratio < 3)


def report(record: dict) -> tuple[str, float]:
    """Returns the tables, and by how much the input alone is faster than a step."""
    middle = {
        name: {key: statistics.median(one[key] for one in ones) for key in ones[0]}
        for name, ones in record["rounds"].items()
    }
    rows = [
        {
            "setup": name,
            "examples/s": f"{BATCH / one['step']:.0f}",
            "step": f"{1e3 * one['step']:.1f} ms",
            "all-reduce alone": f"{1e3 * one['communication']:.1f} ms",
            "its share": f"{100 * one['communication'] / one['step']:.0f} %",
        }
        for name, one in middle.items()
    ]
    single = middle[SETUPS[0][0]]
    ratio = single["input"] * single["step"] / BATCH
    rounds = len(record["rounds"][SETUPS[0][0]])
    text = (
        f"{record['cores']} cores, load before {record['load_before']:.1f}; a global batch of "
        f"{record['batch']}; medians of {rounds} rounds.\n\n{to_table(rows)}\n"
        f"Input alone: {single['input']:.0f} examples/s, {ratio:.1f} times what a step on one "
        f"device takes.\n\nOn paper, where a step reaches {REACHED / 1e12:.0f} TFLOP/s, links "
        f"{WITHIN / 1e9:.0f} GB/s within 8 accelerators and {BETWEEN / 1e9:.0f} GB/s beyond, "
        f"{DELAY * 1e6:.0f} us a message, one ring, nothing overlapped:\n\n"
        f"{to_table(on_paper(int(single['parameters']), record['operations']))}"
    )
    return text, ratio


if __name__ == "__main__":
    sys.exit(main())
