"""The settings of a server, with all its limits."""

import dataclasses
import pathlib

from tf_mvae.errors import UserError

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a server. Numbers after "status" are HTTP statuses of rejected requests.

    Attributes:
        model_dir: A directory of numbered versions, or one SavedModel (then version 1).
        model_name: The model's name in URLs.
        host: The address to listen on.
        port: The port; 0: any free one.
        grpc_port: The port of the gRPC API; 0: any free one, None: no gRPC API.
        grpc_tensor_content: Whether gRPC responses have numbers in `tensor_content`; otherwise in
            the field of their type (`float_val`).
        num_versions: The number of newest versions to serve.
        labels: Versions by label, for URLs with `/labels/LABEL`.
        poll_seconds: The time between checks of `model_dir` for new versions; 0: never.
        batching: Whether to run waiting requests together.
        batch_any_model: Whether to batch models that this package did not export.
        max_batch_size: The largest number of examples in one call of the model.
        batch_timeout_micros: The time that a batch that is not full waits for further requests.
        num_threads: The number of simultaneous calls of the model.
        max_queue: The largest number of requests that wait for the model; status 503.
        max_connections: The largest number of open connections; status 503.
        max_body_bytes: The largest request body, also after decompression; status 413.
        max_bodies_bytes: The largest total of all request bodies; status 503.
        max_answers_bytes: The largest total of all responses that are not sent yet; status 503.
        max_examples: The largest number of examples in a request or a response; status 400.
        max_decoded_rows: The largest number of rows that the model decodes for a request, examples
            times samples; status 400.
        read_seconds: The time limit to send headers, and to send a body; status 408.
        request_seconds: The time limit to answer a request; status 504.
        keep_alive_seconds: The time that an idle connection is kept open, and the time limit to
            read a response.
        drain_seconds: The time that running requests have at a shutdown.
        accept_nonfinite: Whether inputs may be NaN or infinite.
        allowed_hosts: Allowed values of `Host`, in addition to those of loopback and `host`; `*`
            allows every name; status 421.
        token: The token that clients must send as `Authorization: Bearer …`, or None.
        access_log: Whether to log each request.
        page: Whether to serve the page for trying the model.
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
        """Checks the values.

        Raises:
            UserError: A number is out of range, a name is not valid, or two ports are equal.
        """
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
            raise UserError("--allowed_hosts has an empty name; remove it")
        if not self.model_name or set(self.model_name) & set("/:?#%"):
            raise UserError(
                f"--model_name cannot be {self.model_name!r}: it is part of URLs; give a name "
                "without / : ? # and %"
            )
        if self.token is not None and (not self.token or not self.token.isascii()):
            raise UserError("the bearer token is empty or not ASCII; choose another one")
