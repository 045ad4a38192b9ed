"""Prints the installed TensorFlow's minor version and the flags that an op is built with."""

import importlib.metadata
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Prints `2.21 -I… -D… -L… -l…`, or nothing where there is no TensorFlow."""
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
