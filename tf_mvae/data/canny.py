"""Canny's edge detector in TensorFlow's operations, so that an input pipeline can run it.

Canny, *A Computational Approach to Edge Detection* (PAMI 1986): a Gaussian filter, Sobel's
gradient, suppression of what is no maximum along the gradient, and hysteresis with two
thresholds. Filters, borders and thresholds are scikit-image's (`skimage.feature.canny`),
which a test compares with.
"""

import numpy as np
import tensorflow as tf

__all__ = ["canny"]

_TRUNCATE = 4.0  # the Gaussian's reach in standard deviations, scipy's


def canny(grey: tf.Tensor, sigma: float = 2.0, low: float = 0.1, high: float = 0.2) -> tf.Tensor:
    """Returns where the edges of grey pictures are.

    Computed in float64: what is compared are differences of neighbours.

    Args:
        grey: `[batch, height, width]` in [0, 1], or uint8; height and width are static.
        sigma: Standard deviation of the Gaussian filter, in pixels.
        low: Least length of the gradient (Sobel's filter, whose weights sum up to 8) of an
            edge's pixels.
        high: The same for one pixel at least of each edge.

    Returns:
        bool, `[batch, height, width]`; never at the border.

    Example:

    ```python
    picture = np.zeros([1, 64, 64])
    picture[:, :, 32:] = 1
    canny(tf.constant(picture))[0, 10]   # True at 31 and 32, at both sides of the step
    ```
    """
    scale = 1 / 255 if grey.dtype == tf.uint8 else 1.0
    smooth = _smooth(tf.cast(grey, tf.float64) * scale, sigma)
    rows, columns = _sobel(smooth)
    length = tf.sqrt(rows**2 + columns**2)
    inside = np.zeros(smooth.shape[1:], bool)
    inside[1:-1, 1:-1] = True
    weak = inside & (length >= low) & _is_maximum(rows, columns, length)
    return _connected(weak, weak & (length >= high))


def _smooth(picture: tf.Tensor, sigma: float) -> tf.Tensor:
    """Filters with a Gaussian whose weights beyond the border are omitted."""
    height, width = (_gaussian_matrix(size, sigma) for size in picture.shape[1:])
    return height @ picture @ tf.transpose(width)


def _gaussian_matrix(size: int, sigma: float) -> tf.Tensor:
    """Returns the filter along one axis, `[size, size]`; every row's weights sum up to 1."""
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights[distance > int(_TRUNCATE * sigma + 0.5)] = 0
    return tf.constant(weights / weights.sum(axis=1, keepdims=True))


def _sobel(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns Sobel's differences along rows and along columns; borders are mirrored."""
    padded = tf.pad(picture, [[0, 0], [1, 1], [1, 1]], "SYMMETRIC")
    down = padded[:, 2:] - padded[:, :-2]
    right = padded[:, :, 2:] - padded[:, :, :-2]
    return (
        down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:],
        right[:, :-2] + 2 * right[:, 1:-1] + right[:, 2:],
    )


def _is_maximum(rows: tf.Tensor, columns: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns where the gradient is as long as one step further along it, on both sides.

    There its length is interpolated between the neighbour along the axis that the gradient
    is nearer to and the diagonal one.
    """
    padded = tf.pad(length, [[0, 0], [1, 1], [1, 1]])

    def neighbour(down, right):
        height, width = length.shape[1:]
        return padded[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    steep = tf.abs(rows) > tf.abs(columns)
    same_sign = rows * columns >= 0
    longer = tf.maximum(tf.abs(rows), tf.abs(columns))
    weight = tf.math.divide_no_nan(tf.minimum(tf.abs(rows), tf.abs(columns)), longer)
    found = tf.ones_like(steep)
    for side in (1, -1):
        # Of a steep gradient the side is up or down, of another one left or right.
        straight = tf.where(steep, neighbour(side, 0), neighbour(0, side))
        falling = neighbour(side, side)
        rising = tf.where(steep, neighbour(side, -side), neighbour(-side, side))
        diagonal = tf.where(same_sign, falling, rising)
        found &= diagonal * weight + straight * (1 - weight) <= length
    return found


def _connected(weak: tf.Tensor, strong: tf.Tensor) -> tf.Tensor:
    """Returns the weak pixels that are connected with a strong one, over corners too.

    The strong ones grow by a pixel within the weak ones until nothing changes, which is
    exact.
    """
    # Pictures side by side as channels: a pool of one channel cannot be vectorised.
    weak, found = (tf.cast(tf.transpose(p, [1, 2, 0]), tf.float32) for p in (weak, strong))
    weak, found = weak[tf.newaxis], found[tf.newaxis]

    def grow(found, _):
        return tf.nn.max_pool2d(found, 3, 1, "SAME") * weak, found

    found, _ = tf.while_loop(
        lambda found, before: tf.reduce_any(found != before), grow, [found, found - 1]
    )
    return tf.transpose(found[0], [2, 0, 1]) > 0
