"""The velocity field of flow matching."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.ops.loops import bounded_loop

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
    (points,) = _integrated(lambda state, time: (velocity(state[0], time),), (start,), num_steps)
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

    def field(state, time):
        time = 1.0 - time if back else time
        found, divergence = _with_divergence(lambda x: velocity(x, time), state[0])
        return sign * found, sign * divergence

    start = tf.convert_to_tensor(start)
    return _integrated(field, (start, tf.zeros_like(start[..., 0])), num_steps)


def _integrated(
    field: Callable[[tuple, tf.Tensor], tuple], state: tuple, num_steps: int
) -> tuple[tf.Tensor, ...]:
    """Integrates the parts of a state, whose derivatives are `field(state, t)`; see `moved`."""
    size = 1.0 / num_steps

    def step(index, state):
        time = tf.cast(index, tf.float32) * size
        here = field(state, time)
        ahead = tuple(part + size * a for part, a in zip(state, here, strict=True))
        both = zip(state, here, field(ahead, time + size), strict=True)
        return index + 1, tuple(part + 0.5 * size * (a + b) for part, a, b in both)

    begin = tf.constant(0), tuple(map(tf.convert_to_tensor, state))
    return bounded_loop(lambda index, _: index < num_steps, step, begin, num_steps)[1]


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
