"""An affine coupling layer."""

import keras
import numpy as np
import tensorflow as tf

__all__ = ["AffineCoupling"]


class AffineCoupling(keras.layers.Layer):
    """Scales and shifts half of the numbers by a network of the other half.

        forward: b' = b exp(s(a, h)) + t(a, h),   a' = a

    (Dinh, Sohl-Dickstein and Bengio, ICLR 2017, equations 7 and 8), with features h. s is
    bounded, `s = m tanh(r / m)`. At first s and t are zero.
    """

    def __init__(self, permutation: np.ndarray, units: int, max_log_scale: float, **kwargs):
        """Creates the layer.

        Args:
            permutation: An order of the numbers; the first half of it is a.
            units: Width of the two hidden layers.
            max_log_scale: m.
            **kwargs: Keras' own arguments for a layer.
        """
        super().__init__(**{"dtype": "float32", **kwargs})
        size = len(permutation)
        order = np.asarray(permutation)
        # Tuples: Keras tracks lists, and these are no state.
        self._kept, self._changed = tuple(order[: size // 2]), tuple(order[size // 2 :])
        self._back = tuple(np.argsort(order))
        self._limit = float(max_log_scale)

        def dense(units, name, **kwargs):
            return keras.layers.Dense(units, dtype="float32", name=name, **kwargs)

        self.of_kept = dense(units, "of_kept", use_bias=False)
        self.of_features = dense(units, "of_features")
        self.hidden = dense(units, "hidden", activation="silu")
        self.output_map = dense(2 * len(self._changed), "output", kernel_initializer="zeros")
        self.built = True  # the layers inside build themselves

    def forward(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Transforms `[..., batch, size]`; returns the result and the log-volume `[..., batch]`."""
        kept, changed, log_scale, shift = self._parts(value, features)
        changed = changed * tf.exp(log_scale) + shift
        return self._joined(kept, changed), tf.reduce_sum(log_scale, axis=-1)

    def inverse(self, value: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Inverts `forward`; returns the input, `[..., batch, size]`, and the log-volume."""
        kept, changed, log_scale, shift = self._parts(value, features)
        changed = (changed - shift) * tf.exp(-log_scale)
        return self._joined(kept, changed), -tf.reduce_sum(log_scale, axis=-1)

    def _parts(self, value, features):
        kept = tf.gather(value, self._kept, axis=-1) if self._kept else None
        hidden = self.of_features(features)
        if kept is not None:
            hidden += self.of_kept(kept)
        else:  # a single number: there is no other half
            hidden += tf.zeros_like(value)
        parameters = self.output_map(self.hidden(tf.nn.silu(hidden)))
        raw, shift = tf.split(parameters, 2, axis=-1)
        log_scale = self._limit * tf.tanh(raw / self._limit)
        return kept, tf.gather(value, self._changed, axis=-1), log_scale, shift

    def _joined(self, kept, changed):
        parts = changed if kept is None else tf.concat([kept, changed], axis=-1)
        return tf.gather(parts, self._back, axis=-1)
