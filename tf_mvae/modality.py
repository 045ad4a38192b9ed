"""One modality: how it is encoded, decoded, judged and weighed."""

import math
import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_mvae.distributions.likelihoods import Categorical, Likelihood, TokenSequence
from tf_mvae.layers import RecurrentEncoder, mlp_decoder, mlp_encoder
from tf_mvae.layers.lookup import once_an_input
from tf_mvae.layers.sequential import MaskedSequential, call_network, flat

__all__ = ["Modality", "default_encoder"]

# Names of other tensors in what models give and in the signatures of exported ones.
_RESERVED = (
    *("everything", "loc", "log_variance", "num_samples", "seed", "temperature", "z"),
    "self",  # TensorFlow takes no input of this name
)


@keras.saving.register_keras_serializable("tf_mvae")
class Modality(keras.layers.Layer):
    """One of the things an example may consist of: an image, a label, a sentence.

    Attributes:
        likelihood: The likelihood of the modality given the latent.
        likelihood_weight: Weight of its log-likelihood in the ELBO terms whose subset
            contains it (the paper's lambda).
        cross_weight: Its weight in the terms whose subset does not contain it, for an
            example that has it. 0 in the paper's objective; such terms are then not
            decoded at all.

    Example:
    ```python
    image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
    label = Modality("label", likelihoods.Categorical(10), likelihood_weight=50, cross_weight=0)
    ```
    """

    def __init__(
        self,
        name: str,
        likelihood: Likelihood,
        encoder: keras.layers.Layer | None = None,
        decoder: keras.layers.Layer | None = None,
        likelihood_weight: float = 1.0,
        cross_weight: float | None = None,
        **kwargs,
    ):
        """Describes a modality; a model then builds its networks.

        Args:
            name: Its key in batches: letters, digits and underscores.
            likelihood: A `tf_mvae.likelihoods.Likelihood`.
            encoder: Any Keras layer from prepared data (`[batch, *event_shape]`,
                float32 with images in [0, 1], or int32 classes) to features; a linear
                layer to the expert's mean and log-variance is put behind it. Two layers
                of 512 with Swish where left out, for sequences a
                `tf_mvae.layers.RecurrentEncoder`.
            decoder: Any Keras layer from `[batch, latent]` to as many numbers as
                `likelihood.parameter_shape` has. Three layers of 512 with Swish where
                left out.
            likelihood_weight: See the attribute.
            cross_weight: See the attribute; `likelihood_weight` where left out, which
                makes every term a bound on the log-likelihood of all that an example
                has (Sutter et al., ICLR 2021).
            **kwargs: Keras' own arguments for a layer.

        Raises:
            ValueError: The name is no identifier or is taken, a weight is negative.
            TypeError: The likelihood is not one.
        """
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"a modality's name is letters, digits and underscores, not {name!r}")
        if name in _RESERVED or name.endswith("_mask"):
            raise ValueError(f"a modality's name is not {name!r}, which stands for something else")
        if not isinstance(likelihood, Likelihood):
            raise TypeError(
                f"modality {name!r}: likelihood must be a tf_mvae.likelihoods.Likelihood, not "
                f"{likelihood!r}; wrap a function in tf_mvae.likelihoods.CallableLikelihood"
            )
        cross_weight = likelihood_weight if cross_weight is None else cross_weight
        if likelihood_weight < 0 or cross_weight < 0:
            raise ValueError(f"modality {name!r}: weights must not be negative")
        super().__init__(name=name, **kwargs)
        self.likelihood = likelihood
        self.likelihood_weight = float(likelihood_weight)
        self.cross_weight = float(cross_weight)
        # An attribute of a layer, so that Keras finds its weights.
        self.likelihood_network = likelihood.network
        self.encoder = default_encoder(likelihood) if encoder is None else encoder
        self.decoder = mlp_decoder(likelihood.parameter_shape) if decoder is None else decoder
        self.expert_head: keras.layers.Dense | None = None
        for network in (self.encoder, self.decoder):
            _warn_of_unmasked_batch_norm(name, network)

    def connect(self, latent_dim: int) -> None:
        """Builds the networks for a latent of `latent_dim`; models call it.

        Raises:
            ValueError: The decoder's output does not fit the likelihood.
        """
        if self.expert_head is not None:
            return
        self.expert_head = self._head(2 * latent_dim)
        present = tf.ones([1, *self.mask_shape])
        self.encode(tf.zeros([1, *self.likelihood.event_shape], self.likelihood.dtype), present)
        self.likelihood.build(self.decode(tf.zeros([1, latent_dim])))
        self.built = True

    @property
    def size(self) -> int:
        """How many modalities this is: 1, and a group's members."""
        return 1

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Shape of one example's mask: one number, and for a group one a member."""
        return ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the modalities that this is: its own."""
        return (self.name,)

    def encode(
        self, value: tf.Tensor, mask: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the modality's expert, `loc` and `log_variance`, each `[batch, latent]`.

        An encoder of few classes that treats rows one by one runs once a class, not once a
        row, if the number of rows is known to be larger.

        They are float32 whatever type the networks compute in (Keras' mixed precision):
        densities and divergences are sums that bfloat16 cannot hold.

        Args:
            value: Raw data, `[batch, *event_shape]`.
            mask: `[batch]`, 0 where the example lacks the modality.
            training: Whether this is a training step.
        """
        run, prepared = self._expert_parameters, self.prepare(value, mask)
        parameters = once_an_input(self.encoder, run, prepared, mask, training)
        loc, log_variance = tf.split(parameters, 2, axis=-1)
        return loc, log_variance

    def prepare(self, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns prepared data, zero where the example lacks the modality.

        Whatever stands there (NaN, infinity, a class out of range) is gone from here on.
        """
        value = tf.convert_to_tensor(value)
        there = tf.reshape(mask > 0, [-1] + [1] * len(self.likelihood.event_shape))
        return self.likelihood.prepare(tf.where(there, value, tf.zeros([], value.dtype)))

    def decode(
        self, z: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the likelihood's parameters, float32 `[rows, *parameter_shape]`.

        Args:
            z: Latents, `[rows, latent]`.
            mask: `[rows]`, 0 where a row does not count; all count where left out.
            training: Whether this is a training step.

        Raises:
            ValueError: The decoder's output does not fit the likelihood.
        """
        if mask is None:
            mask = tf.ones(tf.shape(z)[:1])
        parameters = tf.cast(call_network(self.decoder, z, mask, training), tf.float32)
        wanted = self.likelihood.parameter_shape
        if math.prod(parameters.shape[1:]) != math.prod(wanted):
            raise ValueError(
                f"modality {self.name!r}: its likelihood wants {wanted} numbers an example from "
                f"the decoder, which puts out {tuple(parameters.shape[1:])}"
            )
        return tf.reshape(parameters, [tf.shape(parameters)[0], *wanted])

    def log_prob(self, parameters: tf.Tensor, prepared: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns `log p(x | z)` of what an example has, in nats, `[..., batch]`.

        Args:
            parameters: `[..., batch, *parameter_shape]`, what `decode` gives.
            prepared: Prepared data, `[batch, *event_shape]`.
            mask: `[batch]`; a group's `[batch, member]`.
        """
        return self.likelihood.log_prob(parameters, prepared) * mask

    def _expert_parameters(self, prepared: tf.Tensor, mask: tf.Tensor, training: bool) -> tf.Tensor:
        """Runs the encoder; returns `loc` and `log_variance` in one, `[batch, 2 latent]`."""
        features = flat(call_network(self.encoder, prepared, mask, training))
        return tf.cast(self.expert_head(features), tf.float32)

    def _head(self, units: int) -> keras.layers.Layer:
        """Makes the linear layer from features to the expert."""
        return keras.layers.Dense(units, name="expert")

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this modality again."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "likelihood": serialize(self.likelihood),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "likelihood_weight": self.likelihood_weight,
            "cross_weight": self.cross_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Modality":
        """Makes a modality from `get_config`'s answer."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("likelihood", "encoder", "decoder")
        }
        return cls(**{**config, **parts})


def default_encoder(
    likelihood: Likelihood, units: Sequence[int] = (512, 512)
) -> keras.layers.Layer:
    """Returns a network from prepared data to features, where a user gives none.

    Args:
        likelihood: Of the modality.
        units: Widths of the layers; a sequence is read by a `RecurrentEncoder` instead.
    """
    if isinstance(likelihood, TokenSequence):
        return RecurrentEncoder(likelihood.vocabulary_size)
    classes = likelihood.num_classes if isinstance(likelihood, Categorical) else None
    return mlp_encoder(units, classes)


def _warn_of_unmasked_batch_norm(name: str, network: keras.layers.Layer) -> None:
    masked = isinstance(network, MaskedSequential)
    layers = network.layers if masked else network._flatten_layers()
    for layer in layers:
        if type(layer) is keras.layers.BatchNormalization:
            logging.warning(
                "modality %r: %s averages over examples that lack the modality too; put "
                "tf_mvae.layers.MaskedBatchNormalization in a tf_mvae.layers.MaskedSequential",
                name,
                layer.name,
            )
