"""The served versions: finds them in a directory, loads, replaces and unloads them."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import gc
import logging
import pathlib
from collections.abc import Callable, Iterator

from tf_mvae.errors import UserError
from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.saved_model import ServedVersion, is_saved_model
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.versions import find_versions

__all__ = ["Repository", "State"]

_LOG = logging.getLogger(__name__)
_OF_A_SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra")


@dataclasses.dataclass
class State:
    """The status of a version, in TensorFlow Serving's terms."""

    state: str  # START, LOADING, AVAILABLE, UNLOADING or END
    error_code: str = "OK"
    error_message: str = ""


class Repository:
    """Serves the newest versions of a directory; if a new version fails, the old one stays.

    A new version is loaded and warmed up while the old ones are served. Then it replaces the oldest
    one, or the one of the same number whose files have changed, which is unloaded after its last
    request. Loading runs in a thread; all other methods must
    be called from one event loop.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, tidy: Callable[[], object] = gc.collect
    ):
        """Makes a repository without a loaded version.

        Args:
            settings: The server's settings; `model_dir` and `num_versions` are used.
            metrics: The metrics to count loads in.
            tidy: Called after a version was loaded or unloaded.
        """
        self._tidy = tidy
        self._settings = settings
        self._metrics = metrics
        self._served: dict[int, ServedVersion] = {}
        # Fingerprints of a version's files: when it was loaded, at the last poll, when it failed.
        self._loaded: dict[int, tuple] = {}
        self._polled: dict[int, tuple] = {}
        self._failed: dict[int, tuple] = {}
        self._ignored: list[str] = []  # sentences about directories
        self._loader = concurrent.futures.ThreadPoolExecutor(1, "loader")
        self._load_running: concurrent.futures.Future | None = None
        self.states: dict[int, State] = {}

    @property
    def ready(self) -> bool:
        """Whether a version is served."""
        return bool(self._served)

    @property
    def loading(self) -> bool:
        """Whether the thread is loading or unloading a version, which cannot be stopped."""
        return self._load_running is not None and not self._load_running.done()

    @property
    def newest(self) -> ServedVersion | None:
        """The newest version that is served."""
        return self._served[max(self._served)] if self._served else None

    def find(self, version: int | None = None, label: str | None = None) -> ServedVersion:
        """Returns a served version; default: the newest.

        Args:
            version: The number of the version.
            label: Its label, instead of the number.

        Raises:
            RequestError: The version is not served, or the label is unknown.
        """
        name = self._settings.model_name
        if label is not None:
            if label not in self._settings.labels:
                raise RequestError(400, f"Unrecognized servable version label: {label[:100]}")
            version = self._settings.labels[label]
        if version is None and self._served:
            return self._served[max(self._served)]
        if version is None or version not in self._served:
            said = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RequestError(404, f"Servable not found for request: {said}")
        return self._served[version]

    @contextlib.contextmanager
    def use(self, found: ServedVersion) -> Iterator[ServedVersion]:
        """Keeps a version loaded while a request uses it."""
        found.users += 1
        try:
            yield found
        finally:
            found.users -= 1

    async def load_first(self) -> None:
        """Loads the newest versions.

        Raises:
            UserError: There is no SavedModel, or none can be loaded.
        """
        directory = self._settings.model_dir
        if not directory.is_dir():
            raise UserError(f"--model_dir={directory} is not a directory")
        if not self._find_directories():
            said = "".join(f"; {sentence}" for sentence in self._ignored)
            raise UserError(
                f"--model_dir={directory} holds no SavedModel: neither saved_model.pb nor "
                f"numbered directories (1/, 2/, …) that hold one{said}"
            )
        await self.refresh()
        if not self._served:
            said = "; ".join(f"version {n}: {s.error_message}" for n, s in self.states.items())
            raise UserError(f"no version in {directory} can be loaded: {said}")

    async def watch(self) -> None:
        """Checks for new versions every `poll_seconds`, until it is cancelled."""
        said = None
        while self._settings.poll_seconds:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self.refresh()
                said = None
            except OSError as error:
                if str(error) != said:  # once, however long it lasts
                    said = str(error)
                    _LOG.error("cannot look for versions", extra={"why": said})
            except Exception:
                _LOG.exception("cannot look for versions")

    async def refresh(self) -> None:
        """Loads the newest versions, then unloads those that they replace."""
        there = await self._in_loader(self._find_directories)
        newest = sorted(there, reverse=True)[: self._settings.num_versions]
        for version in sorted({*newest, *(set(self._served) & set(there))}, reverse=True):
            await self._load(version, there[version])
        if not self._served or not there:
            return  # if the directory becomes empty, the loaded versions stay
        # If a new version failed, the next older one is served instead.
        candidates = sorted(there, reverse=True)
        good = [version for version in candidates if version in self._served]
        for version in candidates:
            if len(good) >= self._settings.num_versions:
                break
            if version not in good and await self._load(version, there[version]):
                good.append(version)
        kept = set(sorted(good, reverse=True)[: self._settings.num_versions])
        for version in sorted(set(self._served) - kept) if kept else ():
            await self._drop(version)

    async def _load(self, version: int, directory: pathlib.Path) -> bool:
        """Loads a version unless it is served as it is; returns whether it is served then."""
        mark = await self._in_loader(_fingerprint, directory)
        old = self._served.get(version)
        if mark is not None and mark == self._failed.get(version):
            return old is not None  # its files have not changed since it failed
        if old is not None:
            # While files are being exchanged a graph may fit to weights of another version.
            rests = mark == self._polled.get(version)
            self._polled[version] = mark
            if mark is None or mark == self._loaded[version] or not rests:
                return True
        else:
            self.states[version] = State("LOADING")
        try:
            made = await self._in_loader(
                ServedVersion, directory, version, self._settings.batch_any_model
            )
        except Exception as error:
            self._failed[version] = mark
            said = " ".join(str(error).split())[:500] or type(error).__name__
            said = said.replace(str(directory), str(version))
            if old is None:
                self.states[version] = State("END", "UNKNOWN", said)
            self._metrics.loads.labels("failed").inc()
            _LOG.error("not loaded", extra={"version": version, "why": said})
            return old is not None
        if old is not None and await self._in_loader(_fingerprint, directory) != mark:
            return True
        self._failed.pop(version, None)
        await self._in_loader(self._tidy)
        self._served[version], self._loaded[version] = made, mark
        if old is not None:
            await _last_request(old)
            del old
            await self._in_loader(self._tidy)
        self.states[version] = State("AVAILABLE")
        self._metrics.loads.labels("loaded").inc()
        self._metrics.versions.labels(str(version)).set(1)
        return True

    async def _drop(self, version: int) -> None:
        old = self._served.pop(version)
        self._loaded.pop(version)
        self._polled.pop(version, None)
        self.states[version] = State("UNLOADING")
        await _last_request(old)
        del old
        await self._in_loader(self._tidy)
        self.states[version] = State("END")
        self._metrics.versions.remove(str(version))
        _LOG.info("unloaded", extra={"version": version})

    async def _in_loader(self, function: Callable, *arguments: object):
        self._load_running = self._loader.submit(function, *arguments)
        return await asyncio.wrap_future(self._load_running)

    def _find_directories(self) -> dict[int, pathlib.Path]:
        base = self._settings.model_dir
        if is_saved_model(base):
            return {1: base}
        found, ignored = find_versions(base)
        for sentence in ignored:
            if sentence not in self._ignored:  # once, however often it is looked at
                _LOG.warning("version ignored", extra={"why": sentence})
        self._ignored = ignored
        return found


async def _last_request(version: ServedVersion) -> None:
    """Waits until no request uses a version."""
    while version.users:
        await asyncio.sleep(0.02)


def _fingerprint(directory: pathlib.Path) -> tuple | None:
    """Returns names, sizes and times of a SavedModel's files, which change while it is copied.

    Other files of the directory do not count. None if a file cannot be looked at.
    """
    found = []
    try:
        for place in _OF_A_SAVED_MODEL:
            top = directory / place
            for path in sorted([top, *top.rglob("*")]):
                if path.is_file():
                    status = path.stat()
                    found.append((str(path), status.st_size, status.st_mtime_ns))
    except OSError:
        return None
    return tuple(found)
