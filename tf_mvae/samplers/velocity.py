"""The velocity field of flow matching."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

__all__ = ["VelocityNetwork", "moved", "moved_with_volume"]

_WAVES = np.exp(np.linspace(0.0, 5.0, 32)).astype(np.float32)  # frequencies of the time's features


class VelocityNetwork(keras.layers.Layer):
    """`v(x, t, h)`: a residual network of a point, a time and features of what is given.

        u_0 = A x,   u_k = u_(k-1) + C_k silu(B_k silu(norm(u_(k-1))) + c),   v = D u_K
        c = E [sin(w t), cos(w t)] + F h + e

    with 32 frequencies w and an embedding e of a point's cluster. D is zero at first.
    """

    def __init__(
        self, size: int, features: int, units: int, num_blocks: int, labels: int, **kwargs
    ):
        """Creates the network and its weights.

        Args:
            size: Size of a point.
            features: Size of the features.
            units: Width of the hidden layers.
            num_blocks: K.
            labels: The number of embeddings.
            **kwargs: Keras' own arguments for a layer.
        """
        super().__init__(**{"dtype": "float32", **kwargs})

        def dense(inputs, units, name, **kwargs):
            layer = keras.layers.Dense(units, dtype="float32", name=name, **kwargs)
            layer.build([None, inputs])
            return layer

        self.of_point = dense(size, units, "of_point")
        self.of_time = dense(2 * len(_WAVES), units, "of_time", use_bias=False)
        self.of_features = dense(features, units, "of_features", use_bias=False)
        self.of_label = keras.layers.Embedding(labels, units, dtype="float32", name="of_label")
        self.of_label.build([None])
        self.norms, self.first, self.second = [], [], []
        for index in range(num_blocks):
            norm = keras.layers.LayerNormalization(dtype="float32", name=f"norm_{index}")
            norm.build([None, units])
            self.norms.append(norm)
            self.first.append(dense(units, units, f"first_{index}"))
            self.second.append(dense(units, units, f"second_{index}", kernel_initializer="zeros"))
        self.last = dense(units, size, "last", kernel_initializer="zeros")
        self.built = True

    def call(
        self, points: tf.Tensor, time: tf.Tensor, features: tf.Tensor, label: tf.Tensor
    ) -> tf.Tensor:
        """Returns velocities, `[..., batch, size]`.

        Args:
            points: x, `[..., batch, size]`.
            time: t in [0, 1], one or `[..., batch]`.
            features: h, `[batch, width]`.
            label: The index of each point's embedding, `[..., batch]`.
        """
        angle = time[..., tf.newaxis] * _WAVES
        waves = self.of_time(tf.concat([tf.sin(angle), tf.cos(angle)], axis=-1)[tf.newaxis])[0]
        condition = waves + self.of_features(features) + self.of_label(label)
        hidden = self.of_point(points)
        for norm, first, second in zip(self.norms, self.first, self.second, strict=True):
            hidden += second(tf.nn.silu(first(tf.nn.silu(norm(hidden))) + condition))
        return self.last(hidden)


def moved(
    velocity: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], start: tf.Tensor, num_steps: int
) -> tf.Tensor:
    """Integrates `dx / dt = v(x, t)` from t = 0 to 1 by Heun's method.

    Args:
        velocity: v, of points and one time.
        start: Points at t = 0, `[..., size]`.
        num_steps: The number of steps of equal size.
    """

    def step(index, points):
        time, size = _time(index, num_steps)
        here = velocity(points, time)
        there = velocity(points + size * here, time + size)
        return index + 1, points + 0.5 * size * (here + there)

    start = tf.convert_to_tensor(start)
    shapes = tf.TensorShape([]), start.shape
    _, points = tf.while_loop(
        lambda index, _: index < num_steps, step, (tf.constant(0), start), shapes
    )
    return points


def moved_with_volume(
    velocity: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    start: tf.Tensor,
    num_steps: int,
    back: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `moved`, with `log |det dx(1) / dx(0)|`, the integral of the velocity's divergence.

    Chen, Rubanova, Bettencourt and Duvenaud, NeurIPS 2018, theorem 1. The divergence is exact: it
    takes as many derivatives as a point has numbers.

    Args:
        velocity: See `moved`.
        start: See `moved`.
        num_steps: See `moved`.
        back: Whether to integrate from t = 1 to 0.

    Returns:
        The points, and the logarithms, `[...]`; those of the way back if it is taken.
    """
    sign = -1.0 if back else 1.0

    def field(points, time):
        time = 1.0 - time if back else time
        found, divergence = _with_divergence(lambda x: velocity(x, time), points)
        return sign * found, sign * divergence

    def step(index, points, log_volume):
        time, size = _time(index, num_steps)
        here, first = field(points, time)
        there, second = field(points + size * here, time + size)
        points += 0.5 * size * (here + there)
        return index + 1, points, log_volume + 0.5 * size * (first + second)

    start = tf.convert_to_tensor(start)
    begin = tf.constant(0), start, tf.zeros_like(start[..., 0])
    _, points, log_volume = tf.while_loop(
        lambda index, *_: index < num_steps,
        step,
        begin,
        (tf.TensorShape([]), start.shape, start.shape[:-1]),
    )
    return points, log_volume


def _time(index: tf.Tensor, num_steps: int) -> tuple[tf.Tensor, float]:
    size = 1.0 / num_steps
    return tf.cast(index, tf.float32) * size, size


def _with_divergence(
    function: Callable[[tf.Tensor], tf.Tensor], points: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `f(x)` and `sum_i df_i / dx_i`, one derivative after the other."""
    size = points.shape[-1]

    def add(index, total):
        direction = tf.broadcast_to(tf.one_hot(index, size), tf.shape(points))
        with tf.autodiff.ForwardAccumulator(points, direction) as accumulator:
            value = function(points)
        return index + 1, total + tf.gather(accumulator.jvp(value), index, axis=-1)

    begin = tf.constant(0), tf.zeros_like(points[..., 0])
    _, divergence = tf.while_loop(
        lambda index, _: index < size, add, begin, (tf.TensorShape([]), points.shape[:-1])
    )
    return function(points), divergence
