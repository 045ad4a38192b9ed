"""Makes batches for runs on other machines: `python -m tf_mvae.data_service --port=5050`."""

from absl import flags

from tf_mvae import command

__all__ = ["main"]

FLAGS = flags.FLAGS

flags.DEFINE_integer("port", 5050, "Port to listen at; 0: a free one.", 0, 65535)
flags.DEFINE_integer(
    "worker_port", 0, "Port of the worker, for the rules of a firewall; 0: a free one.", 0, 65535
)
flags.DEFINE_string("host", "localhost", "The name by which runs reach this machine.")


def main(_) -> int:
    """Serves until it is stopped; returns the exit status."""
    import shlex
    import signal
    import threading

    from tf_mvae.data.remote import run_service

    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    with run_service(FLAGS.port, FLAGS.host, FLAGS.worker_port) as address:
        flag = shlex.quote(f"--data_service={address}")
        print(
            f"ready: python -m tf_mvae.train {flag} ... "
            "(warning: --host does not limit who connects: TensorFlow listens at every network "
            "interface and runs what it is sent; see 'Who may connect' in docs/scaling.md)",
            flush=True,
        )
        asked.wait()
    return 0


if __name__ == "__main__":
    command.run(main)
