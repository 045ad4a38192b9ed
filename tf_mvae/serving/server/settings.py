"""The settings of a server: every limit has a number here."""

import dataclasses
import pathlib

from tf_mvae.errors import UserError

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a server runs.

    Attributes:
        model_dir: A directory of numbered versions, or one SavedModel (then version 1).
        model_name: The name in the URLs.
        host: The address to listen at.
        port: The port; 0 takes any free one.
        grpc_port: The port of the gRPC API; 0 takes any free one, None serves REST only.
        grpc_tensor_content: Whether answers of the gRPC API hold numbers in `tensor_content`,
            else in the field of their type (`float_val`).
        num_versions: How many of the newest versions are served.
        labels: Names of versions, as `/labels/NAME` in a URL.
        poll_seconds: How often `model_dir` is looked at; 0 never.
        batching: Whether requests are run together.
        batch_any_model: Whether a model that this package did not export is batched, too.
        max_batch_size: Examples in one call of the model, where they are independent.
        batch_timeout_micros: How long a batch that is not full waits for more.
        num_threads: Calls of the model at a time.
        max_queue: Requests that wait for the model; more are refused with 503.
        max_connections: Open connections; more are refused with 503.
        max_body_bytes: Bytes of a request's body, also once unpacked; 413 above.
        max_bodies_bytes: Bytes of the bodies of all requests; 503 above.
        max_answers_bytes: Bytes of all answers that are not sent yet; 503 above.
        max_examples: Examples a request may hold or ask for; 400 above.
        max_decoded_rows: Rows that the model decodes for a request, examples times samples of
            each; 400 above.
        read_seconds: Time to send a request, headers and body each; 408 after.
        request_seconds: Time to answer one; 504 after.
        keep_alive_seconds: How long an idle connection is kept, and how long a client may
            take to read an answer.
        drain_seconds: Time for running requests to end at a shutdown.
        accept_nonfinite: Whether inputs may be NaN or infinite.
        allowed_hosts: Names that requests may have as `Host`, in addition to those of loopback and
            `host`; `*` allows every name. 421 otherwise.
        token: What clients must send as `Authorization: Bearer …`, or None.
        access_log: Whether each request is a line in the log.
        page: Whether the page for trying the model is there.
    """

    model_dir: pathlib.Path
    model_name: str
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = None
    grpc_tensor_content: bool = True
    num_versions: int = 1
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    poll_seconds: float = 1.0
    batching: bool = True
    batch_any_model: bool = False
    max_batch_size: int = 64
    batch_timeout_micros: int = 0
    num_threads: int = 2
    max_queue: int = 256
    max_connections: int = 1000
    max_body_bytes: int = 16 << 20
    max_bodies_bytes: int = 256 << 20
    max_answers_bytes: int = 256 << 20
    max_examples: int = 4096
    max_decoded_rows: int = 65_536
    read_seconds: float = 10.0
    request_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    drain_seconds: float = 30.0
    accept_nonfinite: bool = True
    allowed_hosts: tuple[str, ...] = ()
    token: str | None = dataclasses.field(default=None, repr=False)
    access_log: bool = False
    page: bool = True

    def __post_init__(self):
        """Refuses numbers that would serve nothing."""
        positive = (
            "num_versions max_batch_size num_threads max_queue max_connections max_body_bytes "
            "max_bodies_bytes max_answers_bytes max_examples max_decoded_rows read_seconds "
            "request_seconds keep_alive_seconds"
        )
        for name in positive.split():
            if not getattr(self, name) > 0:
                raise UserError(f"--{name} must be above 0, not {getattr(self, name)}")
        for name in ("poll_seconds", "batch_timeout_micros", "drain_seconds"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise UserError(f"--port must lie in 0 to 65535, not {self.port}")
        if self.grpc_port is not None and not 0 <= self.grpc_port <= 65535:
            raise UserError(f"--grpc_port must lie in 0 to 65535, not {self.grpc_port}")
        if self.grpc_port and self.grpc_port == self.port:
            raise UserError(f"--grpc_port and --port are both {self.port}; take two ports")
        if not all(self.allowed_hosts):
            raise UserError("--allowed_hosts holds an empty name")
        if not self.model_name or set(self.model_name) & set("/:?#%"):
            raise UserError(f"--model_name cannot be {self.model_name!r}: it stands in URLs")
        if self.token is not None and (not self.token or not self.token.isascii()):
            raise UserError("the bearer token is empty or not ASCII")
