"""The two APIs of the server under load, as `benchmarks/serving_grpc.py` left them."""

import json
import pathlib

from result_tables.kept import table

_NAMES = {"rest": "REST", "grpc": "gRPC"}


def apis_table(path: pathlib.Path) -> str:
    """A row for each API and number of connections."""
    if not path.exists():
        return "No run yet."
    head = ["API", "connections", "requests/s", "p50, ms", "p99, ms", "processor, ms a request"]
    rows = [
        [
            _NAMES[name],
            count,
            f"{row['requests_per_second']:,.0f}",
            f"{row['p50_milliseconds']:.1f}",
            f"{row['p99_milliseconds']:.1f}",
            f"{row['processor_milliseconds']:.2f}",
        ]
        for name, by_count in json.loads(path.read_text())["loads"].items()
        for count, row in by_count.items()
    ]
    return table(head, rows)
