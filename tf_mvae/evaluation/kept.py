"""Networks that an evaluation trains, saved in files for later evaluations."""

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
    """Loads a network from a file, or trains it and writes the file.

    The file is written atomically. If it cannot be read, or its network has other shapes, a warning
    is logged and the network is trained again.

    Args:
        path: The `.keras` file.
        input_shape: The shape of one example's input.
        output_shape: The shape of one example's output.
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
