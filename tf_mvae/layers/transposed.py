"""A transposed convolution to an image's few channels, computed as an ordinary convolution."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["ImageConv2DTranspose"]

# Filters up to which an ordinary convolution is faster on CPUs; more fill a vector register.
_FEW = 4


@keras.saving.register_keras_serializable("tf_mvae")
class ImageConv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' `Conv2DTranspose`, faster on CPUs where it makes the few channels of an image.

    oneDNN computes a transposed convolution as the gradient of a convolution, at a quarter of its
    usual speed for one to four channels. With a kernel of twice the stride `s`, each block of
    `s x s` outputs depends on `2 x 2` inputs. So it equals a convolution with a kernel of 2 x 2 to
    `s * s * filters` channels, whose blocks are then laid out as pixels (`tf.nn.depth_to_space`):
    the same products, summed up in another order. Gradients are those of `Conv2DTranspose`. Other
    kernels, more filters, and GPUs use Keras' operation. Arguments and weights are Keras'.

    Example:

    ```python
    ImageConv2DTranspose(3, 4, strides=2, padding="same")(tf.zeros([8, 14, 14, 32])).shape
    # [8, 28, 28, 3]
    ```
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, stride * height, stride * width, filters]`."""
        if not self.is_a_convolution:
            return super().call(inputs)
        outputs = _transposed(
            inputs, tf.cast(self.kernel, inputs.dtype), self.strides[0], self.padding.upper()
        )
        if self.use_bias:
            outputs += tf.cast(self.bias, outputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)

    @property
    def is_a_convolution(self) -> bool:
        """Whether it is computed as an ordinary convolution."""
        stride = self.strides[0]
        return (
            self.filters <= _FEW
            and self.strides == (stride, stride)
            and stride > 1
            and self.kernel_size == (2 * stride, 2 * stride)
            and self.output_padding is None
            and self.dilation_rate == (1, 1)
            and self.data_format == "channels_last"
            and not tf.config.list_logical_devices("GPU")
        )


def _transposed(inputs: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    """Returns the transposed convolution of `inputs`, `[batch, height, width, channels]`.

    Args:
        inputs: The input.
        kernel: `[2 * stride, 2 * stride, filters, channels]`.
        stride: Of the output.
        padding: TensorFlow's name of it.
    """

    @tf.custom_gradient
    def convolved(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        # Block (i, j) consists of contributions of the inputs (i-1, j-1) to (i, j).
        blocks = tf.nn.conv2d(
            inputs, _block_kernel(kernel, stride), 1, [[0, 0], *[[1, 1]] * 2, [0, 0]]
        )
        outputs = tf.nn.depth_to_space(blocks, stride)
        if padding == "SAME":
            first, last = stride // 2, stride - stride // 2
            outputs = outputs[:, first:-last, first:-last]
        return outputs, gradient

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        strides = [1, stride, stride, 1]
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=upstream,
            filter_sizes=kernel.shape,
            out_backprop=inputs,
            strides=strides,
            padding=padding,
        )
        return tf.nn.conv2d(upstream, kernel, strides, padding), of_kernel

    return convolved(inputs, kernel)


def _block_kernel(kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Returns the kernel `[2, 2, channels, stride * stride * filters]` of whole blocks."""
    filters, channels = kernel.shape[2:]
    # [row of the input, row in the block, the same of columns, filters, channels]; the earlier of
    # two inputs reaches a block by the later half of its kernel.
    parts = tf.reshape(kernel, [2, stride, 2, stride, filters, channels])[::-1, :, ::-1]
    return tf.reshape(tf.transpose(parts, [0, 2, 5, 1, 3, 4]), [2, 2, channels, -1])
