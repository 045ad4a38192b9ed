"""An encoder of several modalities at once."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.layers.sequential import call_network, check_network, flat

__all__ = ["JointEncoder"]


@keras.saving.register_keras_serializable("tf_mvae")
class JointEncoder(keras.layers.Layer):
    """Encodes several modalities together, to a mean and a log-variance.

    Each modality passes through its own trunk. The outputs are concatenated, and a fully connected
    layer and a linear layer follow. This is the joint network of JMVAE (Suzuki, Nakayama and
    Matsuo, ICLR workshop 2017), with the sizes of Wu and Goodman's Table 1.

    Example:

    ```python
    encoder = JointEncoder({"image": mlp_encoder([512]), "label": mlp_encoder([512], 10)}, 64)
    x = {"image": tf.zeros([4, 28, 28, 1]), "label": tf.zeros([4], tf.int32)}
    loc, log_variance = encoder(x)   # [4, 64] each
    ```
    """

    def __init__(
        self,
        trunks: Mapping[str, keras.layers.Layer],
        latent_dim: int,
        units: int = 512,
        activation: str = "silu",
        **kwargs,
    ):
        """Creates the layer.

        Args:
            trunks: By modality, a layer from prepared data to features.
            latent_dim: Size of the latent.
            units: Width of the layer after the concatenated features.
            activation: Keras' name of its activation.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            ValueError: A size is not an integer of 1 or more, or a trunk is not a Keras layer.
        """
        super().__init__(**kwargs)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        units = checks.positive_integer("units", units)
        self.latent_dim, self.units, self.activation = latent_dim, units, activation
        self.trunks = {n: check_network(f"trunks[{n!r}]", trunk) for n, trunk in trunks.items()}
        self.hidden = keras.layers.Dense(units, activation, name="hidden")
        self.head = keras.layers.Dense(2 * latent_dim, name="posterior")

    def build(self, input_shape: Any = None) -> None:
        """Does nothing: the parts are built at their first call."""
        self.built = True

    def call(
        self,
        values: Mapping[str, tf.Tensor],
        example_mask: tf.Tensor | None = None,
        training: bool = False,
        covariates: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `loc` and `log_variance`, float32 `[batch, latent]`.

        Args:
            values: Prepared data by name, one for each trunk.
            example_mask: `[batch]`, 1 where a row counts; all count if omitted.
            training: Whether this is a training step.
            covariates: Further inputs of the joint layers, `[batch, width]`.
        """
        if example_mask is None:
            example_mask = tf.ones(tf.shape(next(iter(values.values())))[:1])
        features = [
            flat(
                call_network(trunk, values[name], example_mask, training, f"the trunk of {name!r}")
            )
            for name, trunk in self.trunks.items()
        ]
        if covariates is not None:
            features.append(tf.cast(covariates, features[0].dtype))
        encoded = self.head(self.hidden(tf.concat(features, axis=-1)))
        loc, log_variance = tf.split(tf.cast(encoded, tf.float32), 2, axis=-1)
        return loc, log_variance

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "trunks": {name: serialize(trunk) for name, trunk in self.trunks.items()},
            "latent_dim": self.latent_dim,
            "units": self.units,
            "activation": self.activation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "JointEncoder":
        """Makes the layer from `get_config`'s answer."""
        make = keras.saving.deserialize_keras_object
        trunks = {name: make(trunk) for name, trunk in config["trunks"].items()}
        return cls(**{**config, "trunks": trunks})
