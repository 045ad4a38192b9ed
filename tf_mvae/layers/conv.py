"""Convolutional encoder and decoder networks for images."""

import math
from collections.abc import Sequence

import keras

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.layers.mlp import widths
from tf_mvae.layers.sequential import MaskedSequential
from tf_mvae.layers.transposed import ImageConv2DTranspose

__all__ = ["conv_decoder", "conv_encoder"]


def conv_encoder(
    filters: Sequence[int] = (64, 128), units: int | None = 512, activation: str = "silu"
) -> MaskedSequential:
    """Returns a convolutional network from an image to features.

    The paper's for FashionMNIST: convolutions of 64 and 128 filters (kernel 4,
    stride 2, padding 1, no bias), then a fully connected layer of 512, Swish
    after each. Each convolution halves the height and the width.

    Args:
        filters: Number of filters of each convolution.
        units: Width of the last, fully connected layer; none where None.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[batch, height, width, channels]` to `[batch, units]`.

    Raises:
        ValueError: A number is not an integer of 1 or more.

    Example:

    ```python
    conv_encoder()(tf.zeros([4, 28, 28, 1])).shape   # [4, 512]
    ```
    """
    layers = []
    for number in widths(filters, 0, "filters"):
        layers += [
            keras.layers.ZeroPadding2D(1),
            keras.layers.Conv2D(number, 4, strides=2, use_bias=False, activation=activation),
        ]
    layers.append(keras.layers.Flatten())
    if units is not None:
        units = checks.positive_integer("units", units)
        layers.append(keras.layers.Dense(units, activation))
    return MaskedSequential(layers)


def conv_decoder(
    image_shape: Sequence[int],
    filters: Sequence[int] = (128, 64),
    units: int = 512,
    activation: str = "silu",
) -> MaskedSequential:
    """Returns a network from a latent to logits of an image.

    The paper's for FashionMNIST: fully connected layers of 512 and 6272 = 7 * 7 * 128,
    then transposed convolutions (kernel 4, stride 2, padding 1, no bias) of 64 filters
    and of one. Each doubles the height and the width.

    Args:
        image_shape: `[height, width, channels]`; height and width are multiples of
            `2 ** len(filters)`.
        filters: Channels that each transposed convolution reads.
        units: Width of the first layer.
        activation: Keras' name of the activation.

    Returns:
        A layer from `[batch, latent]` to `[batch, height, width, channels]`.

    Raises:
        ValueError: The image's size is no such multiple, or a number is not an integer of 1 or
            more.

    Example:

    ```python
    conv_decoder([28, 28, 1])(tf.zeros([4, 64])).shape   # [4, 28, 28, 1]
    ```
    """
    shape, filters = checks.shape("image_shape", image_shape), widths(filters, 1, "filters")
    if len(shape) != 3:
        raise UserError(f"image_shape must be [height, width, channels]; it is {image_shape!r}")
    height, width, channels = shape
    units = checks.positive_integer("units", units)
    scale = 2 ** len(filters)
    if height % scale or width % scale:
        raise UserError(f"a {height} x {width} image is no multiple of {scale} in each direction")
    start = (height // scale, width // scale, filters[0])
    layers = [
        keras.layers.Dense(units, activation),
        keras.layers.Dense(math.prod(start), activation),
        keras.layers.Reshape(start),
    ]
    for number in filters[1:]:
        layers.append(
            keras.layers.Conv2DTranspose(
                number, 4, strides=2, padding="same", use_bias=False, activation=activation
            )
        )
    layers.append(ImageConv2DTranspose(channels, 4, strides=2, padding="same", use_bias=False))
    return MaskedSequential(layers)
