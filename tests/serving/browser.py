"""A headless Chromium, spoken to by its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.request

from websockets.sync.client import connect

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page:
    """A page: scripts run in it, pointers move over it."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self.problems = []  # exceptions and refusals that the browser reported
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("method") == "Runtime.exceptionThrown":
                self.problems.append(message["params"]["exceptionDetails"])
            if message.get("method") == "Log.entryAdded":
                self.problems.append(message["params"]["entry"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, script):
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script, seconds=60):
        """Waits until a script's value is true, and returns it."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < end, f"never true: {script}; {self.problems}"
            time.sleep(0.05)
        return value

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def box(self, selector):
        script = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{script}.scrollIntoView({{block: 'center'}})")
        return self.evaluate(
            f"(() => {{ const b = {script}.getBoundingClientRect();"
            " return [b.left, b.top, b.width, b.height]; })()"
        )

    def drag(self, points):
        """Presses at the first point, moves along the others, and lets go."""
        for kind, (x, y) in [
            ("mousePressed", points[0]),
            *(("mouseMoved", point) for point in points[1:]),
            ("mouseReleased", points[-1]),
        ]:
            button = {"button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, selector):
        left, top, width, height = self.box(selector)
        self.drag([(left + width / 2, top + height / 2)])

    def screenshot(self, path):
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def open_page(folder, size=(1200, 1000), *flags):
    """Starts a browser whose files are in a folder; gives its page."""
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            f"--window-size={size[0]},{size[1]}",
            "--disable-gpu",
            "--no-first-run",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *flags,
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = pathlib.Path(folder) / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (found.exists() and found.read_text().strip()):
            assert time.monotonic() < end and process.poll() is None, "Chromium did not start"
            time.sleep(0.05)
        port = int(found.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(t for t in json.load(answer) if t["type"] == "page")
        with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(30)
