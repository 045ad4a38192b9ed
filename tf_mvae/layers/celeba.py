"""The paper's networks for CelebA: an image of 64 x 64 pixels, and attributes."""

import keras

from tf_mvae.layers.batch_normalization import MaskedBatchNormalization
from tf_mvae.layers.dropout import SeededDropout
from tf_mvae.layers.sequential import MaskedSequential
from tf_mvae.layers.transposed import ImageConv2DTranspose

__all__ = ["attributes_encoder", "batch_norm", "image_decoder", "image_encoder"]


def image_encoder(units: int | None = 512, last_stride: int = 1) -> MaskedSequential:
    """Returns the paper's network from an image to features.

    Convolutions of 32-64-128-256 (kernel 4, stride 2, padding 1; the last one without
    padding, and stride 1), batch normalisation after all but the first, fc 512 and dropout of 0.1.

    Args:
        units: Width of the last, fully connected layer; none, and no dropout, where None.
        last_stride: Stride of the last convolution.
    """
    layers = []
    for index, filters in enumerate((32, 64, 128)):
        layers += [
            keras.layers.ZeroPadding2D(1),
            keras.layers.Conv2D(filters, 4, strides=2, use_bias=False),
            *[batch_norm()] * bool(index),
            keras.layers.Activation("silu"),
        ]
    last = keras.layers.Conv2D(256, 4, strides=last_stride, use_bias=False)
    layers += [last, batch_norm(), keras.layers.Activation("silu"), keras.layers.Flatten()]
    if units is not None:
        layers += [keras.layers.Dense(units, "silu"), SeededDropout(0.1)]
    return MaskedSequential(layers)


def image_decoder(channels: int = 3) -> MaskedSequential:
    """Returns the paper's network from a latent to logits of an image.

    fc 6400 and transposed convolutions of 128-64-32-3 (kernel 4, stride 2, padding 1; the
    first stride 1, no padding), batch normalisation after all but the last.

    Args:
        channels: Of the image.
    """
    start = (5, 5, 256)
    layers = [keras.layers.Dense(6400, "silu"), keras.layers.Reshape(start)]
    for index, filters in enumerate((128, 64, 32)):
        shape = {"strides": 2, "padding": "same"} if index else {"padding": "valid"}
        layers += [
            keras.layers.Conv2DTranspose(filters, 4, use_bias=False, **shape),
            batch_norm(),
            keras.layers.Activation("silu"),
        ]
    last = ImageConv2DTranspose(channels, 4, strides=2, padding="same", use_bias=False)
    return MaskedSequential([*layers, last])


def attributes_encoder() -> MaskedSequential:
    """Returns the paper's network from a vector of attributes to features: 512-512, Swish.

    Batch normalisation comes before each activation.
    """
    layers = [keras.layers.Flatten()]
    for _ in range(2):
        layers += [keras.layers.Dense(512), batch_norm(), keras.layers.Activation("silu")]
    return MaskedSequential(layers)


def batch_norm() -> MaskedBatchNormalization:
    """Returns a batch normalisation with PyTorch's settings, as the paper's networks had."""
    return MaskedBatchNormalization(momentum=0.9, epsilon=1e-5)
