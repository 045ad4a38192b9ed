"""The gRPC server: port, limits of connections, health service, shutdown."""

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tf_mvae.errors import UserError
from tf_mvae.serving.server.grpc_api import MODEL_SERVICE, PREDICTION_SERVICE, GrpcApi
from tf_mvae.serving.server.service import Service
from tf_mvae.serving.server.settings import Settings

__all__ = ["GrpcServer"]

_IDENTITY_ONLY = 1  # a bit mask of compression algorithms; the first bit is no compression


class GrpcServer:
    """A server that listens on `--grpc_port`; all methods must be called from one event loop."""

    def __init__(self, service: Service):
        """Makes a server that does not listen yet.

        Args:
            service: The service that answers requests.
        """
        self._service = service
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    async def start(self) -> int:
        """Starts to listen, and returns the port.

        Raises:
            UserError: The address is not available.
        """
        settings = self._service.settings
        self._server = grpc.aio.server(options=_options(settings))
        self._server.add_generic_rpc_handlers(GrpcApi(self._service).handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError:
            port = 0
        if not port:
            raise UserError(
                f"cannot listen at {settings.host}:{settings.grpc_port} (--grpc_port): is the "
                "port taken?"
            )
        await self._server.start()
        for name in ("", PREDICTION_SERVICE, MODEL_SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self) -> None:
        """Stops accepting requests, and waits up to `--drain_seconds` for running ones."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(self._service.settings.drain_seconds)


_MOST = 2**31 - 1  # gRPC's options are of 32 bits


def _options(settings: Settings) -> list[tuple[str, int]]:
    """Returns the server's limits as gRPC options."""

    def milliseconds(seconds: float) -> int:
        return round(min(1000 * seconds, _MOST))

    return [
        # Otherwise a second server could listen on the same port, and get half of the requests.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", min(settings.max_body_bytes, _MOST)),
        ("grpc.max_send_message_length", -1),
        # gRPC limits the size of a message only before decompression, so compression is off.
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
        ("grpc.max_allowed_incoming_connections", min(settings.max_connections, _MOST)),
        ("grpc.max_concurrent_streams", min(settings.max_connections, _MOST)),
        ("grpc.server_handshake_timeout_ms", milliseconds(settings.read_seconds)),
        ("grpc.max_connection_idle_ms", milliseconds(settings.keep_alive_seconds)),
    ]
