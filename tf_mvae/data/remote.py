"""Batches that a `tf.data` service makes, on another machine or in another process."""

import contextlib
import socket
from collections.abc import Iterator

import tensorflow as tf

from tf_mvae.errors import UserError

__all__ = ["from_service", "run_service"]

_PATIENCE = 10.0


def from_service(batches: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """Has a `tf.data` service make batches, and returns them as they come, in their order.

    The service has to have one worker (`python -m tf_mvae.data_service` starts such a one):
    each of several would make all batches. Whoever wants more work done gives each process
    a service of its own, or cuts the data into streams.

    Args:
        batches: What the service is to make; it has to see the same files.
        address: `grpc://HOST:PORT`, the dispatcher's.

    Returns:
        The same batches. They stop with `tf.errors.InvalidArgumentError` if one is missing
        or comes twice.

    Raises:
        UserError: The address is not of this form, or nothing answers there.
    """
    _check_answers(address)
    numbered = batches.enumerate()
    policy = tf.data.experimental.service.ShardingPolicy.OFF
    received = numbered.apply(
        tf.data.experimental.service.distribute(processing_mode=policy, service=address)
    )

    def check(place, numbered_batch):
        number, batch = numbered_batch
        message = (
            f"tf_mvae<the tf.data service at {address} gives batches out of order: it has to have "
            "one worker>"
        )
        with tf.control_dependencies([tf.debugging.Assert(place == number, [message])]):
            return tf.nest.map_structure(tf.identity, batch)

    return tf.data.Dataset.zip(tf.data.Dataset.counter(), received).map(check)


@contextlib.contextmanager
def run_service(port: int = 0, host: str = "localhost", worker_port: int = 0) -> Iterator[str]:
    """Runs a dispatcher with one worker while the context lasts.

    Both listen at every network interface and run what they are sent: that is TensorFlow's
    protocol. Whoever can reach the ports can run code here.

    Args:
        port: The dispatcher's; a free one where 0.
        host: By which name others reach this machine.
        worker_port: The worker's; a free one where 0.

    Yields:
        The address, `grpc://HOST:PORT`.

    Raises:
        UserError: The port is taken.
    """
    service = tf.data.experimental.service
    # gRPC itself would share a port with another service, without a word.
    port, own = _free_port(port), _free_port(worker_port)
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    worker = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"localhost:{port}", worker_address=f"{host}:{own}", port=own
        )
    )
    try:
        yield f"grpc://{host}:{port}"
    finally:
        del worker, dispatcher  # which stops them


def _free_port(port: int = 0) -> int:
    """Returns the port if it is free; for 0 any free port."""
    with socket.socket() as free:
        try:
            free.bind(("", port))
        except OSError as error:
            raise UserError(f"no service can listen at port {port}: {error.strerror}") from error
        return free.getsockname()[1]


def _check_answers(address: str) -> None:
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "grpc" or not host or not port.isdigit():
        raise UserError(f"the address of a tf.data service is grpc://HOST:PORT, not {address!r}")
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except OSError as error:
        raise UserError(
            f"no tf.data service answers at {address} ({error}); start one with "
            "`python -m tf_mvae.data_service`"
        ) from error
