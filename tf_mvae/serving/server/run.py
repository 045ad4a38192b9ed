"""Runs a server until a signal ends it."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn

from tf_mvae.errors import UserError
from tf_mvae.serving.server.app import make_app
from tf_mvae.serving.server.logs import set_up
from tf_mvae.serving.server.metrics import Metrics
from tf_mvae.serving.server.protocol import make_protocol
from tf_mvae.serving.server.repository import Repository
from tf_mvae.serving.server.service import Service
from tf_mvae.serving.server.settings import Settings

__all__ = ["make_server", "run"]

_LOG = logging.getLogger(__name__)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SWITCH_SECONDS = 0.001


class _Server(uvicorn.Server):
    """A uvicorn server that also runs the gRPC server, and logs the addresses of both."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service
        self.grpc_address: tuple[str, int] | None = None
        self._grpc: Any = None

    async def startup(self, sockets: list | None = None) -> None:
        settings = self.service.settings
        ports = {}
        if settings.grpc_port is not None:
            from tf_mvae.serving.server.grpc_server import GrpcServer  # needs grpcio

            self._grpc = GrpcServer(self.service)
            ports["grpc_port"] = await self._grpc.start()
            self.grpc_address = (settings.host, ports["grpc_port"])
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn cannot bind to the address
            if self._grpc is not None:
                await self._grpc.stop()
            raise
        for server in getattr(self, "servers", []):
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                self.address = (host, port)
                _LOG.info("listening", extra={"host": host, "port": port, **ports})

    async def shutdown(self, sockets: list | None = None) -> None:
        stops = [super().shutdown(sockets)]
        if self._grpc is not None:
            stops.append(self._grpc.stop())
        await asyncio.gather(*stops)
        self.service.close()


def make_server(settings: Settings, repository: Repository, metrics: Metrics) -> _Server:
    """Returns a uvicorn server for the versions of a repository.

    Args:
        settings: The server's settings.
        repository: The served versions.
        metrics: The server's metrics.
    """
    service = Service(settings, repository, metrics)
    config = uvicorn.Config(
        make_app(service),
        host=settings.host,
        port=settings.port,
        # Not uvloop: it accepts one new connection per turn of the event loop, so under overload
        # some clients would wait forever. asyncio accepts all, and is as fast here.
        loop="asyncio",
        http=make_protocol(settings, metrics),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.drain_seconds,
        proxy_headers=False,
    )
    return _Server(config, service)


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; requests that are running are finished first.

    A signal during the first load ends the process immediately, with status 143 or 130.

    Args:
        settings: The server's settings.

    Returns:
        The exit status.

    Raises:
        UserError: No model can be loaded, or the address is not available.
    """
    set_up()
    if settings.host not in _LOOPBACK and settings.token is None:
        _LOG.warning("open to the network, without a token", extra={"host": settings.host})
    metrics = Metrics()
    repository = Repository(settings, metrics, tidy=_freeze)
    server = make_server(settings, repository, metrics)
    # Health probes share the interpreter with threads that parse and write JSON.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # uvicorn raises the signal again at its end, when nothing is left to do.
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)

    async def main() -> None:
        with _ending_at_once():
            await repository.load_first()
        await server.serve()

    try:
        asyncio.run(main())
    except SystemExit as error:  # uvicorn exits if it cannot bind to the address
        raise UserError(
            f"cannot listen at {settings.host}:{settings.port}: is the port taken?"
        ) from error
    if server.service.batcher.busy:
        # A call of TensorFlow cannot be stopped, and Python would wait for its thread.
        _LOG.warning("ended with a call of the model still running")
        _exit(1)
    if repository.loading:
        _LOG.warning("ended while a version was loaded")
        _exit(0)
    _LOG.info("ended")
    return 0


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """Ends the process at a signal, because nothing is served yet and a load cannot be stopped."""
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        _LOG.warning("ended before a version was loaded", extra={"signal": number.name})
        _exit(128 + number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _exit(status: int) -> None:
    """Ends the process without waiting for its threads."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


def _freeze() -> None:
    """Collects garbage, then excludes the remaining objects from later collections.

    TensorFlow has about a million Python objects that stay. Scanning them again, because requests
    create objects, would stop the server for tenths of a second each time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
