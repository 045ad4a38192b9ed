"""Latent spaces with parts that only one modality has."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["PRIVATE_DIM", "LatentSpace", "PrivatePriors"]

PRIVATE_DIM = Setting(
    "private_dim",
    32,
    "Size of each modality's own latent.",
    checks.positive_integer,
)


@keras.saving.register_keras_serializable("tf_mvae")
class LatentSpace:
    """`z = (u, w_1, ..., w_N)`: a part that all modalities share, and a part of each one's own.

    A modality's network gives an expert of `(u, w_i)`, and its decoder sees `(u, w_i)`.

    Attributes:
        shared: Size of u.
        private: Size of each modality's own part, by name; empty for none.
    """

    def __init__(self, shared: int, private: Mapping[str, int] | None = None):
        """Describes a latent space."""
        self.shared, self.private = int(shared), dict(private or {})

    @classmethod
    def of(
        cls, names: Sequence[str], shared: int, private: int | Mapping[str, int]
    ) -> "LatentSpace":
        """Returns a space with a private part for each modality.

        Args:
            names: The modalities.
            shared: Size of the shared part.
            private: Size of each one's own, one for all or by name.

        Raises:
            UserError: A size is below 1, or a name is not known.
        """
        sizes = private if isinstance(private, Mapping) else dict.fromkeys(names, private)
        if set(sizes) != set(names):
            raise UserError(f"private_dim must have {list(names)}; it has {sorted(sizes)}")
        sizes = {n: checks.positive_integer(f"private_dim[{n!r}]", sizes[n]) for n in names}
        return cls(checks.positive_integer("latent_dim", shared), sizes)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"shared": self.shared, "private": self.private}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "LatentSpace":
        """Creates a space from the result of `get_config`."""
        return cls(**config)

    @property
    def size(self) -> int:
        """The size of z."""
        return self.shared + sum(self.private.values())

    @property
    def shared_slice(self) -> slice:
        """The slice of the shared part u in z."""
        return slice(0, self.shared)

    def private_slice(self, name: str) -> slice:
        """Returns the slice of a modality's private part in z."""
        names = list(self.private)
        start = self.shared + sum(self.private[n] for n in names[: names.index(name)])
        return slice(start, start + self.private[name])

    def size_of(self, modality: Modality) -> int:
        """Returns the size of the latent that a modality's networks use."""
        return self.shared + self.private.get(modality.name, 0)

    def slices(self, modalities: Sequence[Modality]) -> dict[str, list[slice]] | None:
        """Returns the parts of z that each decoder sees; None where that is all of it."""
        if not self.private:
            return None
        return {m.name: [self.shared_slice, self.private_slice(m.name)] for m in modalities}

    def part(self, z: tf.Tensor, name: str) -> tf.Tensor:
        """Returns the part of z, `[..., size]`, that a modality's decoder uses."""
        if not self.private:
            return z
        return tf.concat([z[..., self.shared_slice], z[..., self.private_slice(name)]], -1)

    def spread(self, name: str, own: tf.Tensor) -> tf.Tensor:
        """Puts a modality's `[batch, size_of]` into its places of z, zeros elsewhere."""
        if not self.private:
            return own
        place = self.private_slice(name)
        u, w = own[:, : self.shared], own[:, self.shared :]
        padded = tf.pad(w, [[0, 0], [place.start - self.shared, self.size - place.stop]])
        return tf.concat([u, padded], -1)


@keras.saving.register_keras_serializable("tf_mvae")
class PrivatePriors(keras.layers.Layer):
    """The auxiliary priors `r_n(w_n) = N(0, diag(exp(s_n)))`, with learned s_n.

    They stand in for a private latent whose modality a term does not see (Palumbo et al.,
    ICLR 2023, section 3.2). Generation uses the prior `N(0, I)`.
    """

    def __init__(self, size: int, **kwargs):
        """Creates the layer.

        Args:
            size: The size of all private parts together.
            **kwargs: Keras' own arguments for a layer.
        """
        super().__init__(**kwargs)
        self.size = int(size)
        self.log_variance = self.add_weight(
            shape=(self.size,), initializer="zeros", dtype="float32", name="log_variance"
        )
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs`, `[..., size]`, plus the log-variances."""
        return inputs + self.log_variance

    def get_config(self) -> dict:
        """Returns the constructor arguments of this layer."""
        return {**super().get_config(), "size": self.size}
