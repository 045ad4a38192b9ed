"""Networks that an evaluation trains, kept in files."""

import pathlib
from collections.abc import Callable, Sequence

import keras
from absl import logging

from tf_mvae import files

__all__ = ["kept_network"]


def kept_network(
    path: pathlib.Path,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    make: Callable[[], keras.Model],
) -> keras.Model:
    """Loads a network from a file, or makes it and writes the file, whole or not at all.

    A file that cannot be read or does not fit is made again, and said so.

    Args:
        path: The `.keras` file.
        input_shape: Of one example.
        output_shape: Of one example.
        make: Makes and trains the network.
    """
    if path.exists():
        try:
            network = keras.models.load_model(path)
            if (network.input_shape[1:], network.output_shape[1:]) == (
                tuple(input_shape),
                tuple(output_shape),
            ):
                return network
            problem = "it is for other inputs or outputs"
        except (ValueError, OSError, KeyError, TypeError) as error:
            problem = str(error).splitlines()[0]
        logging.warning("network %s is trained again: %s", path, problem)
    network = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        network.save(temporary)
    return network
