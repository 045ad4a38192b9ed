"""Fully connected encoder and decoder networks."""

import math
from collections.abc import Sequence

import keras

from tf_mvae.layers.sequential import MaskedSequential

__all__ = ["mlp_decoder", "mlp_encoder"]


def mlp_encoder(
    units: Sequence[int] = (512, 512),
    num_classes: int | None = None,
    activation: str = "silu",
) -> MaskedSequential:
    """Returns a network from one modality to features, for `Modality(encoder=...)`.

    The paper's: 784-512-512 for MNIST's image, embed(10, 512)-512 for its label,
    Swish after each layer.

    Args:
        units: Widths of the layers.
        num_classes: For a categorical modality, the number of classes: the first
            layer is then an embedding.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[batch, ...]` (or `[batch]` integers) to `[batch, units[-1]]`.

    Example:

    ```python
    mlp_encoder([512, 512])(tf.zeros([4, 28, 28, 1])).shape   # [4, 512]
    ```
    """
    if num_classes is None:
        layers = [keras.layers.Flatten(), keras.layers.Dense(units[0], activation)]
    else:
        layers = [
            keras.layers.Embedding(num_classes, units[0]),
            keras.layers.Activation(activation),
        ]
    return MaskedSequential([*layers, *(keras.layers.Dense(n, activation) for n in units[1:])])


def mlp_decoder(
    parameter_shape: Sequence[int],
    units: Sequence[int] = (512, 512, 512),
    activation: str = "silu",
) -> MaskedSequential:
    """Returns a network from a latent to a likelihood's parameters.

    The paper's for MNIST: three layers of 512 with Swish, then a linear one.

    Args:
        parameter_shape: What the likelihood wants, `likelihood.parameter_shape`.
        units: Widths of the hidden layers.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[batch, latent]` to `[batch, *parameter_shape]`.

    Example:

    ```python
    mlp_decoder([28, 28, 1])(tf.zeros([4, 64])).shape   # [4, 28, 28, 1]
    ```
    """
    return MaskedSequential(
        [
            *(keras.layers.Dense(n, activation) for n in units),
            keras.layers.Dense(math.prod(parameter_shape)),
            keras.layers.Reshape(tuple(parameter_shape)),
        ]
    )
