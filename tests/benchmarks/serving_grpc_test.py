"""Which requests of a load over gRPC count as served."""

import io
import subprocess
import types
import urllib.request
from collections import Counter

import pytest

pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving.apis")
metrics = pytest.importorskip("tf_mvae.serving.server.metrics")

from benchmarks import serving_grpc  # noqa: E402

SAID = """finished in 1.00s, 100.00 req/s, 1.0MB/s
requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx
"""


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ({"OK": 100}, 0),
        ({"OK": 103, "CANCELLED": 5}, 0),  # they ran when the load ended
        ({"OK": 60, "RESOURCE_EXHAUSTED": 30, "INTERNAL": 10}, 40),
        ({"OK": 90}, 10),  # refused before the server counts
    ],
)
def test_a_load_is_served_as_far_as_the_server_says_so(monkeypatch, tmp_path, answered, expected):
    counted = metrics.Metrics()
    for status in ("OK", "INTERNAL"):  # what an earlier load left
        counted.requests.labels("grpc_Predict", status).inc(7)
    counted.requests.labels("predict", "200").inc(50)

    def run(command, **_):
        for status, number in answered.items():
            counted.requests.labels("grpc_Predict", status).inc(number)
        (tmp_path / "log").write_text("0\t200\t1000\n" * 100)
        return types.SimpleNamespace(stdout=SAID)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: io.BytesIO(counted.text()))
    row = serving_grpc.grpc_load(1, 2, tmp_path / "message", 8, 1)
    assert row.pop("refused") == expected
    assert row == {"requests_per_second": 100.0, "p50_milliseconds": 1.0, "p99_milliseconds": 1.0}


def test_statuses_are_those_of_predictions_over_grpc(monkeypatch):
    counted = metrics.Metrics()
    counted.requests.labels("grpc_Predict", "OK").inc(2)
    counted.requests.labels("grpc_GetModelStatus", "OK").inc(3)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: io.BytesIO(counted.text()))
    assert serving_grpc.statuses(1) == Counter(OK=2)


def test_a_failure_in_one_round_is_not_lost_in_a_median(capsys):
    rows = [{"requests_per_second": 9.0, "refused": refused} for refused in (0, 0, 4)]
    row = serving_grpc.summed_up(rows)
    assert row == {"requests_per_second": 9.0, "refused": 4}
    times = {"p50_milliseconds": 1.0, "p99_milliseconds": 1.0, "processor_milliseconds": 1.0}
    result = {"loads": {"grpc": {"64": row | times}}, "gain_at_64": 9.0, "machine": {}}
    assert serving_grpc.show(result | {"largest_difference": 0.0}) == 1
    assert "requests were refused" in capsys.readouterr().out
