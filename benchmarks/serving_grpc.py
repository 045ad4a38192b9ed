"""Compares the REST and the gRPC API of `python -m tf_mvae.serve` at 1, 8 and 64 connections.

`python benchmarks/serving_grpc.py --model_dir=served/digits` prints a table and writes
`benchmarks/results/serving_grpc.json`. One server answers both, in turns: `wrk` asks by REST (row
format, as in `serving.py`), `h2load` by gRPC with the same example as `tensor_content` (Debian:
`apt-get install wrk nghttp2-client`). Each connection waits for its answer before it asks again.
The processor time of the server for a request says the same on a busy machine.
h2load judges answers by their HTTP status, which is 200 for failed gRPC calls too: what the server
answered is taken from its metrics. The exit status is 1 if an answer over gRPC differs from the
model's, a request fails, or gRPC is not worth it.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # noqa: E402

from benchmarks import serving as rest  # noqa: E402

PATH = "/tensorflow.serving.PredictionService/Predict"
CONNECTIONS = (1, 8, 64)
LEAST_GAIN = 3.0


def main() -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", type=pathlib.Path, required=True, help="numbered versions")
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    results = pathlib.Path(__file__).parent / "results"
    parser.add_argument("--output", type=pathlib.Path, default=results / "serving_grpc.json")
    arguments = parser.parse_args()
    for program, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed (Debian: apt-get install {package})")
    versions = sorted(int(p.name) for p in arguments.model_dir.iterdir() if p.name.isdecimal())
    if not versions:
        parser.error(f"{arguments.model_dir} holds no numbered version")
    model = tf.saved_model.load(str(arguments.model_dir / str(versions[-1])))
    signature = model.signatures["serving_default"]
    examples = rest.make_examples(signature)
    machine = rest.describe_machine()
    grpc_port = free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        bodies = pathlib.Path(folder) / "bodies"
        bodies.write_text("\n".join(rest.to_body(examples, i) for i in range(rest.NUM_BODIES)))
        server = stack.enter_context(rest.serving(arguments.model_dir, f"--grpc_port={grpc_port}"))
        request = make_request(examples, server[2])
        difference = check(request, grpc_port, rest.run(signature, examples))
        message = pathlib.Path(folder) / "message"
        encoded = request.SerializeToString()
        message.write_bytes(struct.pack(">?I", False, len(encoded)) + encoded)
        loads = {"rest": {}, "grpc": {}}
        for count in CONNECTIONS:
            rounds = {"rest": [], "grpc": []}
            for _ in range(arguments.rounds):
                for name, load in (
                    ("rest", functools.partial(rest.wrk, server, bodies)),
                    ("grpc", functools.partial(grpc_load, server[1], grpc_port, message)),
                ):
                    before = processor_seconds(server[0].pid)
                    row = load(count, arguments.seconds)
                    used = processor_seconds(server[0].pid) - before
                    each = used / (row["requests_per_second"] * arguments.seconds)
                    rounds[name].append({**row, "processor_milliseconds": round(1000 * each, 3)})
            for name, rows in rounds.items():
                loads[name][str(count)] = summed_up(rows)
    result = {
        "machine": machine,
        "message_bytes": len(encoded),
        "largest_difference": difference,
        "loads": loads,
        "gain_at_64": round(
            loads["grpc"]["64"]["requests_per_second"] / loads["rest"]["64"]["requests_per_second"],
            2,
        ),
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    return show(result)


def processor_seconds(pid: int) -> float:
    """Returns the processor time that a process has had."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summed_up(rows: list[dict[str, float]]) -> dict[str, float]:
    """Returns the medians of rounds; of refused requests the sum, as none may be."""
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return medians | {"refused": sum(row["refused"] for row in rows)}


def free_port() -> int:
    """Returns a port of loopback that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def make_request(examples: dict[str, np.ndarray], name: str) -> predict_pb2.PredictRequest:
    """Returns a request for the first example."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, value in examples.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value[:1]))
    return request


def check(request: predict_pb2.PredictRequest, port: int, expected: dict[str, np.ndarray]) -> float:
    """Returns the largest difference between an answer and the model called in Python."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    return max(
        float(np.abs(tf.make_ndarray(answer.outputs[name])[0] - value[0]).max())
        for name, value in expected.items()
    )


def statuses(port: int) -> Counter[str]:
    """Returns how many gRPC requests for predictions a server has answered, by status.

    Args:
        port: Of its REST API, which has the metrics.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return Counter(
        {
            sample.labels["status"]: int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "tf_mvae_requests_total" and sample.labels["route"] == "grpc_Predict"
        }
    )


def unserved(answered: Counter[str], succeeded: int) -> int:
    """Returns how many requests of a load the server did not answer with a prediction.

    Requests that still run when the load ends are cancelled: h2load does not count them, and the
    server has them as `CANCELLED`, or as `OK` if their answers were not received any more. gRPC
    refuses some requests before the server counts them; these are missing in its `OK`.

    Args:
        answered: By status, what the server answered during the load.
        succeeded: How many requests h2load counts as served, by their HTTP status.
    """
    refused = answered.total() - answered["OK"] - answered["CANCELLED"]
    return max(refused, succeeded - answered["OK"])


def grpc_load(
    rest_port: int, port: int, message: pathlib.Path, connections: int, seconds: int
) -> dict[str, float]:
    """Returns what h2load says of one load, and how many requests failed by the server's count."""
    before = statuses(rest_port)
    row = h2load(port, message, connections, seconds)
    answered = statuses(rest_port) - before
    wrong = unserved(answered, row.pop("succeeded"))
    if wrong:
        print(f"gRPC, {connections} connections: {dict(answered)}", flush=True)
    return row | {"refused": row["refused"] + wrong}


def h2load(port: int, message: pathlib.Path, connections: int, seconds: int) -> dict[str, float]:
    """Returns what h2load says of one load; it waits for each answer before it asks again."""
    log = message.with_name("log")
    log.unlink(missing_ok=True)
    text = subprocess.run(
        ["h2load", "-t1", f"-c{connections}", "-m1", f"-D{seconds}", f"-d{message}"]
        + ["-Hcontent-type: application/grpc", "-Hte: trailers", f"--log-file={log}"]
        + [f"http://127.0.0.1:{port}{PATH}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text).groups()
    succeeded, failed, errored = map(int, counts)
    times = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
    return {
        "requests_per_second": float(re.search(r"([\d.]+) req/s", text)[1]),
        "p50_milliseconds": round(times[len(times) // 2], 3),
        "p99_milliseconds": round(times[int(len(times) * 0.99)], 3),
        "refused": failed + errored,
        "succeeded": succeeded,
    }


def show(result: dict) -> int:
    """Prints the table and what is not as it should be; returns the exit status."""
    print(
        f"{'':6} {'connections':>11} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} "
        "processor ms a request, refused"
    )
    for name, by_count in result["loads"].items():
        for count, row in by_count.items():
            print(
                f"{name:6} {count:>11} {row['requests_per_second']:10.1f} "
                f"{row['p50_milliseconds']:8.1f} {row['p99_milliseconds']:8.1f} "
                f"{row['processor_milliseconds']:10.3f} {row['refused']:>8}"
            )
    print(f"gRPC at 64 connections: {result['gain_at_64']} times REST; {result['machine']}")
    said = []
    if not result["largest_difference"] < 1e-5:
        said.append(f"an answer differs by {result['largest_difference']}")
    if any(row["refused"] for by_count in result["loads"].values() for row in by_count.values()):
        said.append("requests were refused")
    if result["gain_at_64"] < LEAST_GAIN:
        said.append(f"gRPC is {result['gain_at_64']} times REST at 64, not {LEAST_GAIN}")
    for line in said:
        print("NOT AS IT SHOULD BE:", line)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
