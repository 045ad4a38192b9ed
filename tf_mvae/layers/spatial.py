"""Convolutional networks from and to latents that keep the positions of an image."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.layers.context_block import ContextBlock
from tf_mvae.layers.sequential import MaskedSequential

__all__ = [
    "FromPatches",
    "LatentGrid",
    "ToPatches",
    "parameters_apart",
    "spatial_decoder",
    "spatial_encoder",
    "spatial_head",
]


@keras.saving.register_keras_serializable("tf_mvae")
class LatentGrid(keras.layers.Layer):
    """Makes a grid `[height, width, channels]` of a flat latent, for a decoder to begin with.

    Numbers behind the latent, such as a model's covariates, become channels of their own that are
    the same at every position.

    Example:

    ```python
    LatentGrid([8, 8, 16])(tf.zeros([4, 1024])).shape       # [4, 8, 8, 16]
    LatentGrid([8, 8, 16])(tf.zeros([4, 1024 + 3])).shape   # [4, 8, 8, 19]
    ```
    """

    def __init__(self, latent_shape: Sequence[int], **kwargs):
        """Creates the layer; it has no weights.

        Args:
            latent_shape: `[height, width, channels]`.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: It is not three integers of 1 or more.
        """
        super().__init__(**kwargs)
        self.latent_shape = _grid_shape("latent_shape", latent_shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, height, width, channels + more]` of `[batch, latent + more]`.

        Raises:
            UserError: There are fewer numbers than the grid has.
        """
        shape = self.compute_output_shape(inputs.shape)[1:]
        size = math.prod(self.latent_shape)
        if inputs.shape[-1] == size:
            return tf.reshape(inputs, [-1, *shape])
        # Numbers after the latent are repeated at every position, as further channels.
        grid = tf.reshape(inputs[:, :size], [-1, *self.latent_shape])
        more = inputs[:, tf.newaxis, tf.newaxis, size:]
        return tf.concat([grid, tf.tile(more, [1, *shape[:2], 1])], -1)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple:
        """Returns the grid's shape."""
        height, width, channels = self.latent_shape
        more = input_shape[-1] - height * width * channels
        if more < 0:
            raise UserError(
                f"a grid of {list(self.latent_shape)} needs a latent of "
                f"{height * width * channels} numbers; it has {input_shape[-1]}"
            )
        return (input_shape[0], height, width, channels + more)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "latent_shape": list(self.latent_shape)}


class _PatchLayer(keras.layers.Layer):
    """The base of layers between images and patches, with the size of a patch."""

    def __init__(self, size: int, **kwargs):
        """Creates the layer; it has no weights.

        Args:
            size: Height and width of a patch.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: `size` is not an integer of 1 or more.
        """
        super().__init__(**kwargs)
        self.size = checks.positive_integer("size", size)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("tf_mvae")
class ToPatches(_PatchLayer):
    """Puts the numbers of each square patch of an image into the channels of one position.

    Example:

    ```python
    ToPatches(4)(tf.zeros([2, 64, 64, 3])).shape   # [2, 16, 16, 48]
    ```
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, height / size, width / size, size * size * channels]`."""
        self.compute_output_shape(inputs.shape)
        return inputs if self.size == 1 else tf.nn.space_to_depth(inputs, self.size)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple:
        """Returns the shape of the patches.

        Raises:
            UserError: The image's sides are not multiples of the patch's.
        """
        batch, height, width, channels = input_shape
        if height % self.size or width % self.size:
            raise UserError(
                f"a {height} x {width} image is not a whole number of {self.size} x "
                f"{self.size} patches"
            )
        return (batch, height // self.size, width // self.size, self.size**2 * channels)


@keras.saving.register_keras_serializable("tf_mvae")
class FromPatches(_PatchLayer):
    """Puts patches together to an image, as `ToPatches` took it apart.

    Example:

    ```python
    FromPatches(4)(tf.zeros([2, 16, 16, 48])).shape   # [2, 64, 64, 3]
    ```
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, height * size, width * size, channels / size**2]`."""
        return inputs if self.size == 1 else tf.nn.depth_to_space(inputs, self.size)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple:
        """Returns the image's shape."""
        batch, height, width, channels = input_shape
        return (batch, height * self.size, width * self.size, channels // self.size**2)


def spatial_encoder(patch_size: int = 4, filters: int = 32, blocks: int = 2) -> MaskedSequential:
    """Returns a network from an image to features that keep its positions.

    A linear layer of each patch of the image, as a convolution with a stride of its kernel's size
    is, and `ContextBlock`s.

    Args:
        patch_size: Height and width of a patch; those of the image are multiples of it.
        filters: Channels of the features.
        blocks: Number of blocks.

    Returns:
        A layer from `[batch, height, width, channels]` to
        `[batch, height / patch_size, width / patch_size, filters]`.

    Raises:
        UserError: A number is not an integer of 1 or more (0 blocks are allowed).

    Example:

    ```python
    spatial_encoder(4, 32)(tf.zeros([4, 64, 64, 3])).shape   # [4, 16, 16, 32]
    ```
    """
    return MaskedSequential(
        [
            ToPatches(patch_size),
            keras.layers.Dense(checks.positive_integer("filters", filters)),
            *_blocks(blocks),
            keras.layers.Activation("silu"),
        ]
    )


def spatial_head(channels: int) -> keras.layers.Layer:
    """Returns a convolution from an encoder's features to an expert, for `Modality(expert_head=)`.

    Args:
        channels: Of the latent's grid; the expert has twice as many, its means and its
            log-variances.

    Example:

    ```python
    spatial_head(8)(tf.zeros([4, 16, 16, 32])).shape   # [4, 16, 16, 16]
    ```
    """
    return keras.layers.Conv2D(2 * checks.positive_integer("channels", channels), 3, padding="same")


def spatial_decoder(
    latent_shape: Sequence[int],
    parameter_shape: Sequence[int],
    filters: int = 32,
    blocks: int = 1,
) -> MaskedSequential:
    """Returns a network from a latent that is a grid to a likelihood's parameters of an image.

    A convolution (kernel 3), `ContextBlock`s, and a linear layer to a patch of the image for each
    position of the grid.

    Args:
        latent_shape: `[height, width, channels]` of the latent, which comes in flat.
        parameter_shape: The likelihood's: `[height, width, channels]` of the image, or
            `[n, height, width, channels]` of n parameters an entry (a learned scale).
        filters: Channels of the features.
        blocks: Number of blocks.

    Returns:
        A layer from `[batch, latent]` to `[batch, *parameter_shape]`.

    Raises:
        UserError: The image's sides are not the same multiple of the latent's, or a number is
            not an integer of 1 or more (0 blocks are allowed).

    Example:

    ```python
    spatial_decoder([16, 16, 8], [64, 64, 3])(tf.zeros([4, 2048])).shape   # [4, 64, 64, 3]
    ```
    """
    latent_shape = _grid_shape("latent_shape", latent_shape)
    parameter_shape = checks.shape("parameter_shape", parameter_shape)
    if len(parameter_shape) not in (3, 4):
        raise UserError(
            "parameter_shape must be [height, width, channels] or [n, height, width, channels]; "
            f"it is {list(parameter_shape)}"
        )
    *several, height, width, channels = parameter_shape
    size, number = height // latent_shape[0], math.prod(several)
    if (height, width) != tuple(size * side for side in latent_shape[:2]):
        raise UserError(
            f"the sides of an image of {height} x {width} are not the same multiple of those of "
            f"a latent of {list(latent_shape)}"
        )
    layers = [
        LatentGrid(latent_shape),
        keras.layers.Conv2D(checks.positive_integer("filters", filters), 3, padding="same"),
        *_blocks(blocks),
        keras.layers.Activation("silu"),
        keras.layers.Conv2D(filters, 3, padding="same", activation="silu"),
        keras.layers.Dense(size * size * number * channels),
        FromPatches(size),
    ]
    return MaskedSequential([*layers, *parameters_apart(parameter_shape)])


def parameters_apart(parameter_shape: Sequence[int]) -> list[keras.layers.Layer]:
    """Returns layers that take the n parameters of each entry of an image out of its channels.

    From `[batch, height, width, n * channels]` to `[batch, n, height, width, channels]`; no layer
    if there is one parameter.

    Args:
        parameter_shape: The likelihood's, `[height, width, channels]` or
            `[n, height, width, channels]`.
    """
    *several, height, width, channels = parameter_shape
    if not several:
        return []
    (number,) = several
    return [
        keras.layers.Reshape([height, width, number, channels]),
        keras.layers.Permute([3, 1, 2, 4]),
    ]


def _blocks(number: int) -> list[keras.layers.Layer]:
    return [ContextBlock() for _ in range(checks.non_negative_integer("blocks", number))]


def _grid_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    found = checks.shape(name, shape)
    if len(found) != 3:
        raise UserError(f"{name} must be [height, width, channels]; it is {list(found)}")
    return found
