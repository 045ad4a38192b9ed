"""Prints the minor version of the installed TensorFlow and the compiler flags for its ops."""

import importlib.metadata
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Prints `2.21 -I… -D… -L… -l…`, or nothing if TensorFlow is not installed."""
    try:
        version = importlib.metadata.version("tensorflow")
        import tensorflow as tf
    except ImportError:  # PackageNotFoundError is one too
        return
    flags = [f.replace("-I", "-isystem", 1) for f in tf.sysconfig.get_compile_flags()]
    minor = ".".join(version.split(".")[:2])
    print(minor, *flags, *tf.sysconfig.get_link_flags())


if __name__ == "__main__":
    main()
