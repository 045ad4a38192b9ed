"""The values of the `Host` header that a server accepts."""

import pytest

from tests.serving.server_tools import save_stranger, serving
from tf_mvae.errors import UserError
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.hosts import HostCheck
from tf_mvae.serving.server.settings import Settings

LOOPBACK = ["localhost", "LOCALHOST:8501", "127.0.0.1:1", "[::1]", "[::1]:80", "localhost."]
FOREIGN = ["evil.example", "localhost.evil.example", "evil.example:8501", "", "127.0.0.1.nip.io"]


def status(host, bound="127.0.0.1", allowed=(), version="1.1"):
    check = HostCheck(Settings(".", "x", host=bound, allowed_hosts=tuple(allowed)))
    hosts = [host] if isinstance(host, str) else host
    headers = [(b"host", name.encode()) for name in hosts]
    try:
        check({"headers": headers, "http_version": version})
    except RequestError as error:
        return error.status
    return 200


@pytest.mark.parametrize("bound", ["127.0.0.1", "::1", "localhost", "192.0.2.7", "0.0.0.0", "::"])
def test_names_of_loopback_are_allowed_and_others_are_not(bound):
    assert {host: status(host, bound) for host in LOOPBACK} == dict.fromkeys(LOOPBACK, 200)
    assert {host: status(host, bound) for host in FOREIGN} == dict.fromkeys(FOREIGN, 421)


def test_the_bound_address_is_allowed():
    assert status("192.0.2.7:8501", "192.0.2.7") == 200
    assert status("[2001:db8::1]:8501", "2001:db8::1") == 200
    assert status("gpu.example:8501", "gpu.example") == 200
    assert status("192.0.2.8", "192.0.2.7") == 421
    assert status("192.0.2.7") == 421


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", ""])
def test_a_server_of_all_addresses_answers_to_any_address(bound):
    assert status("192.0.2.7:8501", bound) == status("[2001:db8::1]", bound) == 200
    assert status("gpu.example", bound) == 421


def test_names_can_be_allowed():
    assert status("gpu.example:443", allowed=["gpu.example"]) == 200
    assert status("GPU.example.", allowed=["gpu.example"]) == 200
    assert status("a.gpu.example", allowed=["gpu.example"]) == 421
    assert status("anything", allowed=["*"]) == 200
    assert status("[2001:db8::1]", allowed=["2001:db8::1"]) == 200
    with pytest.raises(UserError, match="--allowed_hosts"):
        Settings(".", "x", allowed_hosts=("",))


def test_two_hosts_are_400_and_none_is_no_browser():
    assert status(["localhost", "localhost"]) == 400
    assert status([]) == status([], version="1.0") == 200


def test_every_route_checks_it_and_nothing_copies_it(tmp_path):
    save_stranger(tmp_path / "1")
    evil = {"Host": "evil.example"}
    with serving(tmp_path, token="s3cret") as client:
        for method, path in (
            ("GET", "/"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/page/app.js"),
            ("GET", "/v1/models/stranger"), ("POST", "/v1/models/stranger:predict"),
            ("GET", "/metrics"), ("GET", "/healthz/"), ("GET", "/nothing"),
        ):  # fmt: skip
            found, headers, body = client.ask(method, path, headers=evil)
            assert found == 421 and "location" not in headers, path
            assert "--allowed_hosts" in body["error"]
        for path in ("/healthz/", "/page/app.js/", "/v1/models/stranger/"):
            found, headers, _ = client.ask("GET", path, headers={"Authorization": "Bearer s3cret"})
            assert found in (400, 404) and "location" not in headers
    metrics = client.metrics.requests.labels("other", "421")._value.get()
    assert metrics >= 9
