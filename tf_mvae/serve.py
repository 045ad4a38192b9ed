"""Serves SavedModels by TensorFlow Serving's APIs: `python -m tf_mvae.serve --model_dir=…`."""

import importlib.util
import os
import pathlib

from absl import flags

from tf_mvae import command
from tf_mvae.errors import UserError
from tf_mvae.extras import not_installed
from tf_mvae.serving.server.settings import Settings
from tf_mvae.serving.versions import version_number

__all__ = ["check_flags", "main", "settings_of_flags"]

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "model_dir",
    None,
    "A directory of numbered versions (1/, 2/, …), each a SavedModel; or one SavedModel.",
    required=True,
)
flags.DEFINE_string("model_name", None, "The model's name in URLs; the directory's if omitted.")
flags.DEFINE_string("host", "127.0.0.1", "The address to listen at.")
flags.DEFINE_integer("port", 8501, "The port to listen at; 0 takes a free one and logs it.")
flags.DEFINE_integer(
    "grpc_port", None, "The port of the gRPC API; 0 takes a free one. REST only if omitted."
)
flags.DEFINE_bool(
    "grpc_tensor_content",
    True,
    "Whether gRPC answers have numbers in tensor_content; otherwise in the field for their type.",
)
flags.DEFINE_integer("num_versions", 1, "Number of newest versions that are served.")
flags.DEFINE_list("version_labels", [], "Names of versions in URLs: stable:1,canary:2.")
flags.DEFINE_float("poll_seconds", 1.0, "How often to look for new versions; 0 never.")
flags.DEFINE_bool("batching", True, "Run requests for one signature together.")
flags.DEFINE_bool(
    "batch_any_model",
    False,
    "Also batch requests for models that tf_mvae did not export; their examples must "
    "not depend on each other.",
)
flags.DEFINE_integer("max_batch_size", 64, "Largest number of examples in one call of the model.")
flags.DEFINE_integer(
    "batch_timeout_micros",
    0,
    "How long a batch that is not full waits for more requests, in microseconds.",
)
flags.DEFINE_integer("num_threads", 2, "Number of calls of the model at the same time.")
flags.DEFINE_integer("max_queue", 256, "Largest number of waiting requests; 503 above.")
flags.DEFINE_integer("max_connections", 1000, "Largest number of open connections; 503 above.")
flags.DEFINE_integer("max_body_bytes", 16 << 20, "Bytes of a request's body; 413 above.")
flags.DEFINE_integer(
    "max_bodies_bytes", 256 << 20, "Bytes of the bodies of all requests; 503 above."
)
flags.DEFINE_integer(
    "max_answers_bytes", 256 << 20, "Bytes of all answers that are not sent yet; 503 above."
)
flags.DEFINE_integer(
    "max_examples", 4096, "Examples a request holds or asks for (batch x num_samples); 400 above."
)
flags.DEFINE_integer(
    "max_decoded_rows",
    65_536,
    "Rows that the model decodes for a request (batch x num_samples); 400 above.",
)
flags.DEFINE_float("read_seconds", 10.0, "Time for a request to arrive; 408 after.")
flags.DEFINE_float("request_seconds", 30.0, "Time for an answer; 504 after.")
flags.DEFINE_float("keep_alive_seconds", 75.0, "How long an idle connection is kept.")
flags.DEFINE_float("drain_seconds", 30.0, "Time for running requests to end at a shutdown.")
flags.DEFINE_bool("accept_nonfinite", True, "Whether inputs may hold NaN and Infinity.")
flags.DEFINE_list(
    "allowed_hosts",
    [],
    "Allowed Host headers, in addition to loopback and --host; * allows all.",
)
flags.DEFINE_string(
    "token_file", None, "A file that holds the bearer token; or set TF_MVAE_SERVE_TOKEN."
)
flags.DEFINE_bool("access_log", False, "Log every request.")
flags.DEFINE_bool("page", True, "Serve a page at / to try the model with.")

_NEEDED = ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client")
_NEEDED_BY_GRPC = ("grpc", "grpc_health")


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    needed = _NEEDED if FLAGS.grpc_port is None else _NEEDED + _NEEDED_BY_GRPC
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise not_installed("the server", ", ".join(missing), "serve")
    settings = settings_of_flags()
    if not settings.model_dir.is_dir():
        raise UserError(f"--model_dir={settings.model_dir} is not a directory")


def main(_) -> int:
    """Serves what the flags name; returns the exit status."""
    from tf_mvae.serving.server.run import run

    return run(settings_of_flags())


def settings_of_flags() -> Settings:
    """Returns the server's settings that the flags describe.

    Raises:
        UserError: A flag's value is not possible.
    """
    directory = pathlib.Path(FLAGS.model_dir).expanduser()
    same = (
        "host port grpc_port grpc_tensor_content num_versions poll_seconds batching "
        "batch_any_model max_batch_size batch_timeout_micros num_threads max_queue "
        "max_connections max_body_bytes max_bodies_bytes max_answers_bytes max_examples "
        "max_decoded_rows read_seconds request_seconds keep_alive_seconds drain_seconds "
        "accept_nonfinite access_log page"
    )
    return Settings(
        model_dir=directory,
        model_name=FLAGS.model_name or directory.resolve().name,
        labels=_labels(FLAGS.version_labels),
        allowed_hosts=tuple(name.strip() for name in FLAGS.allowed_hosts),
        token=_token(),
        **{name: getattr(FLAGS, name) for name in same.split()},
    )


def _labels(pairs: list[str]) -> dict[str, int]:
    labels = {}
    for pair in pairs:
        label, _, version = pair.partition(":")
        number = version_number(version)
        if not label or number is None:
            raise UserError(f"--version_labels takes label:version, not {pair!r}")
        if labels.setdefault(label, number) != number:
            raise UserError(
                f"--version_labels gives {label} to the versions {labels[label]} and {number}; "
                "give it to one"
            )
    return labels


def _token() -> str | None:
    if FLAGS.token_file is None:
        token = os.environ.get("TF_MVAE_SERVE_TOKEN")
        return None if token is None else token.strip()
    try:
        return pathlib.Path(FLAGS.token_file).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UserError(f"--token_file={FLAGS.token_file} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--token_file={FLAGS.token_file} is not text in UTF-8") from error


if __name__ == "__main__":
    command.run(main, check_flags)
