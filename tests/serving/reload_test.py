"""New versions replace old ones without a failed request; broken ones are ignored."""

import asyncio
import shutil
import threading
import time

import pytest

from tests.serving.server_tools import save_stranger, serving, wait_until
from tf_mvae.errors import UserError
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.repository import Repository
from tf_mvae.serving.server.saved_model import ServedVersion
from tf_mvae.serving.server.settings import Settings


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Version n multiplies by n."""
    base = tmp_path_factory.mktemp("originals")
    for version in (2, 3, 4):
        save_stranger(base / str(version), factor=float(version))
    return base


@pytest.fixture
def base(originals, tmp_path):
    """A directory that serves version 2."""
    base = tmp_path / "served"
    shutil.copytree(originals / "2", base / "2")
    return base


def add(originals, base, version):
    """Adds a version atomically, as an export does."""
    shutil.copytree(originals / str(version), base / "temporary")
    (base / "temporary").rename(base / str(version))


def factor(client, at=""):
    status, found = client.predict({"instances": [[1, 1]]}, at)
    return found["predictions"][0][0] if status == 200 else status


def states(client):
    found = client.ask("GET", f"/v1/models/{client.name}")[2]["model_version_status"]
    return {entry["version"]: (entry["state"], entry["status"]["error_code"]) for entry in found}


def test_a_new_version_takes_over_and_no_request_fails(originals, base):
    with serving(base, poll_seconds=0.05) as client:
        seen, wrong, stop = [], [], threading.Event()

        def ask_on():
            while not stop.is_set():
                found = factor(client)
                seen.append(found)
                if found not in (2.0, 3.0, 4.0):
                    wrong.append(found)

        threads = [threading.Thread(target=ask_on) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for version in (3, 4):
                add(originals, base, version)
                wait_until(lambda version=version: seen and seen[-1] == version)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong and {2.0, 3.0, 4.0} <= set(seen)
        assert factor(client) == 4.0
        client.refresh()
        wanted = {"4": ("AVAILABLE", "OK"), "3": ("END", "OK"), "2": ("END", "OK")}
        # An old version ends a moment after the new one is there.
        wait_until(lambda: states(client) == wanted)
        assert factor(client, "/versions/2") == 404


def test_a_request_ends_on_the_version_where_it_began(originals, base, monkeypatch):
    held, go = threading.Event(), threading.Event()
    run = ServedVersion.run

    def slowly(version, name, inputs):
        if version.version == 2:
            held.set()
            assert go.wait(60)
        return run(version, name, inputs)

    with serving(base) as client:
        monkeypatch.setattr(ServedVersion, "run", slowly)
        found = []
        old = threading.Thread(target=lambda: found.append(factor(client)))
        old.start()
        assert held.wait(60)
        add(originals, base, 3)
        refresh = threading.Thread(target=client.refresh)
        refresh.start()
        wait_until(lambda: states(client).get("2") == ("UNLOADING", "OK"))
        assert states(client) == {"3": ("AVAILABLE", "OK"), "2": ("UNLOADING", "OK")}
        assert factor(client) == 3.0
        go.set()
        old.join()
        refresh.join()
        assert found == [2.0] and states(client)["2"] == ("END", "OK")


def test_a_broken_version_is_reported_and_the_old_one_stays(originals, base):
    with serving(base) as client:
        (base / "3").mkdir()
        (base / "3" / "saved_model.pb").write_bytes(b"not a SavedModel")
        client.refresh()
        assert factor(client) == 2.0
        assert states(client) == {"3": ("END", "UNKNOWN"), "2": ("AVAILABLE", "OK")}
        status, _, found = client.ask("GET", f"/v1/models/{client.name}/versions/3")
        message = found["model_version_status"][0]["status"]["error_message"]
        assert status == 200 and "saved_model.pb" in message and str(base) not in message
        loads = client.metrics.loads.labels("failed")._value
        client.refresh()
        assert loads.get() == 1  # it is not tried again as long as it stays as it is
        shutil.rmtree(base / "3")
        add(originals, base, 3)
        client.refresh()
        assert factor(client) == 3.0


def test_a_version_that_is_being_copied_is_served_when_it_is_whole(originals, base):
    with serving(base) as client:
        shutil.copytree(
            originals / "3", base / "3", ignore=shutil.ignore_patterns("variables.data*")
        )
        client.refresh()
        assert factor(client) == 2.0
        shutil.copytree(originals / "3", base / "3", dirs_exist_ok=True)
        client.refresh()
        assert factor(client) == 3.0


def test_taking_a_version_away_goes_back_to_the_one_before(originals, base):
    add(originals, base, 3)
    with serving(base) as client:
        assert factor(client) == 3.0
        shutil.rmtree(base / "3")
        client.refresh()
        assert factor(client) == 2.0
        shutil.rmtree(base / "2")
        client.refresh()
        assert factor(client) == 2.0  # an empty directory ends no service


def test_several_versions_may_be_served(originals, base):
    add(originals, base, 3)
    add(originals, base, 4)
    with serving(base, num_versions=2, labels={"old": 3}) as client:
        assert (factor(client), factor(client, "/versions/3")) == (4.0, 3.0)
        assert factor(client, "/labels/old") == 3.0
        assert factor(client, "/versions/2") == 404
        assert set(states(client)) == {"3", "4"}


def test_what_is_no_version_is_passed_over(originals, base):
    (base / "notes").mkdir()
    (base / "9.tmp").mkdir()
    (base / "7").write_text("a file")
    with serving(base) as client:
        assert states(client) == {"2": ("AVAILABLE", "OK")}


def test_of_two_names_of_a_number_the_shortest_is_served_and_the_log_says_so(
    originals, base, caplog
):
    shutil.copytree(originals / "3", base / "02")
    shutil.copytree(originals / "4", base / "20261203060505123456")
    with serving(base) as client:
        assert states(client) == {"2": ("AVAILABLE", "OK")} and factor(client) == 2.0
        client.refresh()
        assert factor(client) == 2.0
    said = [record.why for record in caplog.records if record.message == "version ignored"]
    assert [sentence.split(" is ")[0] for sentence in said] == [
        "the directory 02",
        "the directory 20261203060505123456",
    ]


def test_a_version_that_is_made_anew_under_its_number_is_loaded(originals, base):
    with serving(base) as client:
        shutil.rmtree(base / "2")
        shutil.copytree(originals / "4", base / "2")
        client.refresh()
        assert factor(client) == 2.0  # until the files are the same twice
        client.refresh()
        assert factor(client) == 4.0 and states(client) == {"2": ("AVAILABLE", "OK")}
        loads = client.metrics.loads.labels("loaded")._value
        (base / "2" / "logs").mkdir()
        (base / "2" / "logs" / "access.log").write_text("a line")
        for _ in range(3):
            client.refresh()
        assert loads.get() == 2  # it is not loaded again as long as it stays as it is
        (base / "2" / "saved_model.pb").write_bytes(b"not a SavedModel")
        for _ in range(3):
            client.refresh()
        assert client.metrics.loads.labels("failed")._value.get() == 1
        assert factor(client) == 4.0 and states(client) == {"2": ("AVAILABLE", "OK")}


def test_a_version_that_serves_in_place_of_a_broken_one_is_loaded_anew_too(originals, base):
    with serving(base) as client:
        (base / "3").mkdir()
        shutil.rmtree(base / "2")
        shutil.copytree(originals / "4", base / "2")
        for _ in range(2):
            client.refresh()
        assert factor(client) == 4.0


def test_a_directory_that_is_away_is_logged_once(originals, base, caplog):
    with serving(base, poll_seconds=0.02) as client:
        base.rename(base.with_name("away"))
        wait_until(lambda: "cannot look for versions" in caplog.text)
        time.sleep(0.2)
        assert factor(client) == 2.0
    assert caplog.text.count("cannot look for versions") == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", ["missing", "empty", "broken", "keras", "date"])
def test_nothing_to_serve_is_a_users_mistake(tmp_path, kind):
    folder = tmp_path / "served"
    if kind != "missing":
        folder.mkdir()
    if kind == "date":
        (folder / "20261203060505123456").mkdir()
    files = {"broken": "saved_model.pb", "keras": "model.keras"}
    if kind in files:
        (folder / "1").mkdir()
        (folder / "1" / files[kind]).write_bytes(b"")
    words = {
        "missing": "not a directory",
        "empty": "holds no SavedModel",
        "date": "holds no SavedModel.*20261203060505123456 is ignored: a version is a number",
        "broken": "version 1",
        "keras": r"holds model\.keras.*format saved_model",
    }
    with pytest.raises(UserError, match=words[kind]):
        load(folder)


def load(folder):
    asyncio.run(Repository(Settings(folder, "x"), Metrics()).load_first())
