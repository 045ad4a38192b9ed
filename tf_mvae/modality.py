"""One modality: how it is encoded, decoded, judged and weighed."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tf_mvae import checks, modality_checks
from tf_mvae.default_networks import default_decoder, default_encoder
from tf_mvae.distributions import elements
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.distributions.placeholder import choose_placeholder
from tf_mvae.errors import UserError
from tf_mvae.layers.appended import append
from tf_mvae.layers.dropout import next_seed
from tf_mvae.layers.lookup import once_an_input
from tf_mvae.layers.sequential import call_network, check_network, flat
from tf_mvae.ops import random

__all__ = ["Modality"]


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
        element_mask: Whether elements may be missing one by one.
        size_factor: The name of the `tf_mvae.SizeFactor` that multiplies its means, or None.
        element_dropout: The largest fraction of an example's elements that training hides.
        table_columns: JSON of the columns that it consists of, if a `tf_mvae.data.Schema` made it;
            saved with it.

    Example:
    ```python
    image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
    label = Modality("label", likelihoods.Categorical(10), likelihood_weight=50, cross_weight=0)
    blood = Modality("blood", likelihoods.Normal([12], scale=None), element_mask=True)
    ```
    """

    role = "modality"

    def __init__(
        self,
        name: str,
        likelihood: Likelihood,
        encoder: keras.layers.Layer | None = None,
        decoder: keras.layers.Layer | None = None,
        likelihood_weight: float = 1.0,
        cross_weight: float | None = None,
        element_mask: bool = False,
        element_dropout: float = 0.0,
        size_factor: str | None = None,
        **kwargs,
    ):
        """Describes a modality; a model then builds its networks.

        Args:
            name: Its key in batches: letters, digits and underscores.
            likelihood: A `tf_mvae.likelihoods.Likelihood`.
            encoder: Any Keras layer from prepared data (`[batch, *event_shape]`,
                float32 with images in [0, 1], or int32 classes) to features; a linear
                layer to the expert's mean and log-variance follows it. Default:
                `default_encoder`.
            decoder: Any Keras layer from `[batch, latent]` to as many numbers as
                `likelihood.parameter_shape` has. Default: three layers with Swish, as wide
                as `tf_mvae.layers.mlp.default_width` says of that number.
            likelihood_weight: See the attribute.
            cross_weight: See the attribute; `likelihood_weight` if omitted, which
                makes every term a bound on the log-likelihood of all that an example
                has (Sutter et al., ICLR 2021).
            element_mask: Whether single elements of an example may be missing. Then
                `mask[name]` may have the shape `[batch, *event_shape]`, NaN in the data is a
                missing element, the log-likelihood is the sum over the observed ones, and the
                encoder sees zeros in the gaps and the mask behind the last axis
                (`[batch, 28, 28, 2]` for an image of one channel). An example without an observed
                element counts as one that does not have the modality.
            element_dropout: For an `element_mask`: in training the encoder does not see random
                elements, of each example a fraction between 0 and this; all observed ones are
                reconstructed. The terms stay bounds on the log-likelihood of what is observed,
                and the encoder learns to predict elements from each other.
            size_factor: Of counts, the name of one of the model's `tf_mvae.SizeFactor` covariates:
                the means are its values times what the decoder says.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            ValueError: The name is no identifier or is taken, a weight is negative or not
                finite, or a network is not a Keras layer.
            TypeError: The likelihood is not one.
        """
        modality_checks.check_name("modality", name)
        if not isinstance(likelihood, Likelihood):
            raise TypeError(
                f"modality {name!r}: likelihood must be a tf_mvae.likelihoods.Likelihood, not "
                f"{likelihood!r}; wrap a function in tf_mvae.likelihoods.CallableLikelihood"
            )
        super().__init__(name=name, **kwargs)
        self.likelihood = likelihood
        self._is_loaded = False
        self.table_columns: str | None = None
        self._set_weights(likelihood_weight, cross_weight)
        self._set_elements(element_mask, element_dropout)
        self._set_size_factor(size_factor)
        self._set_networks(encoder, decoder)

    def _set_weights(self, likelihood_weight: float, cross_weight: float | None) -> None:
        owner = f"modality {self.name!r}"
        own = modality_checks.check_weight(owner, "likelihood_weight", likelihood_weight)
        cross = own if cross_weight is None else cross_weight
        self.likelihood_weight = own
        self.cross_weight = modality_checks.check_weight(owner, "cross_weight", cross)

    def _set_elements(self, element_mask: bool, element_dropout: float) -> None:
        self.element_mask = bool(element_mask)
        self.element_dropout = checks.fraction("element_dropout", element_dropout)
        if self.element_mask:
            elements.check_elements(f"modality {self.name!r}", self.likelihood)
        elif self.element_dropout:
            raise UserError(f"modality {self.name!r}: element_dropout is for element_mask=True")

    def _set_size_factor(self, size_factor: str | None) -> None:
        if size_factor is not None and not self.likelihood.takes_size_factor:
            raise UserError(
                f"modality {self.name!r}: size_factor is for counts (Poisson, NegativeBinomial), "
                f"not for a {type(self.likelihood).__name__}"
            )
        self.size_factor = size_factor

    def _set_networks(
        self, encoder: keras.layers.Layer | None, decoder: keras.layers.Layer | None
    ) -> None:
        """Sets the networks as attributes, so that Keras finds their weights, in this order."""
        for argument, network in (("encoder", encoder), ("decoder", decoder)):
            if network is not None:
                check_network(f"modality {self.name!r}: {argument}", network)
        self.likelihood_network = self.likelihood.network
        self.encoder = default_encoder(self.likelihood) if encoder is None else encoder
        self.decoder = default_decoder(self.likelihood) if decoder is None else decoder
        self.expert_head: keras.layers.Dense | None = None
        self.covariate_layer: keras.layers.Layer | None = None
        for network in (self.encoder, self.decoder):
            modality_checks.warn_of_unmasked_batch_norm(self.name, network)

    def connect(self, latent_dim: int, covariates: int = 0) -> None:
        """Builds the networks for a latent of `latent_dim`; models call it.

        Args:
            latent_dim: Size of the part of the latent that the modality has to do with.
            covariates: How many numbers networks see of the model's covariates.

        Raises:
            ValueError: The decoder's output does not fit the likelihood, or no value is found
                to stand where an example does not have the modality.
        """
        if self.expert_head is not None:
            return
        self.expert_head = self._linear(2 * latent_dim, None, "expert")
        present = tf.ones([1, *self.mask_shape])
        given = tf.zeros([1, covariates]) if covariates else None
        blank = tf.zeros([1, *self.likelihood.event_shape], self.likelihood.dtype)
        self.encode(blank, present, covariates=given)
        size = latent_dim + covariates + (self.size_factor is not None)
        parameters = self.decode(tf.zeros([1, size]))
        self.likelihood.build(parameters)
        self._choose_placeholder(parameters)
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
    def given_mask_shape(self) -> tuple[int, ...]:
        """Shape of the most detailed mask of one example that a batch may hold."""
        return self.likelihood.event_shape if self.element_mask else self.mask_shape

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the modalities that this is: its own."""
        return (self.name,)

    def encode(
        self,
        value: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        covariates: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the modality's expert, `loc` and `log_variance`, each `[batch, latent]`.

        An encoder of few classes that treats rows one by one runs once a class, not once a
        row, if the number of rows is known to be larger.

        They are float32 whatever type the networks compute in (Keras' mixed precision):
        densities and divergences are sums that bfloat16 cannot hold.

        Args:
            value: Raw data, `[batch, *event_shape]`.
            mask: `[batch]`, 0 where the example does not have the modality.
            training: Whether this is a training step.
            covariates: What networks see of the model's covariates, `[batch, width]`, if any:
                the encoder sees them behind the last axis of its input (channels of an image);
                of classes, counts and sequences a layer behind the encoder does.
        """
        run, prepared = self._expert_parameters, self.prepare(value, mask)
        if training and self.element_dropout:
            prepared = self._hidden(prepared)
        if covariates is None:
            parameters = once_an_input(self.encoder, run, prepared, mask, training)
        else:
            parameters = run(prepared, mask, training, covariates)
        loc, log_variance = tf.split(parameters, 2, axis=-1)
        return loc, log_variance

    def prepare(self, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns prepared data, with the likelihood's placeholder where the modality is missing.

        Whatever stands there (NaN, infinity, a class out of range) is gone from here on. With an
        `element_mask` every gap is NaN instead, which `network_input` and `log_prob` understand.
        """
        there = tf.reshape(mask > 0, [-1] + [1] * len(self.likelihood.event_shape))
        return self._prepared(value, there)

    def _prepared(self, value: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """Prepares data of which `there` says what counts; both broadcast."""
        if self.element_mask:
            return elements.mark_gaps(self.likelihood, value, there)
        value = tf.convert_to_tensor(value)
        # Zeros first: raw data may have another unit than prepared ones.
        prepared = self.likelihood.prepare(tf.where(there, value, tf.zeros([], value.dtype)))
        placeholder = self.likelihood.placeholder
        if placeholder is None or not np.any(placeholder):
            return prepared
        return tf.where(there, prepared, tf.cast(placeholder, prepared.dtype))

    def _choose_placeholder(self, parameters: tf.Tensor) -> None:
        """Sets the likelihood's placeholder, given decoder outputs, `[1, *parameter_shape]`."""
        likelihood = getattr(self.likelihood, "member", self.likelihood)
        if likelihood.placeholder is not None and not np.any(likelihood.placeholder):
            return
        if likelihood is not self.likelihood:
            parameters = parameters[:, 0]
        try:
            likelihood.placeholder = choose_placeholder(likelihood, parameters)
        except UserError as error:
            if not self._is_loaded:
                raise
            # A model of an earlier version may hold complete examples only.
            logging.warning("modality %r: %s", self.name, error)

    def decode(
        self, z: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the likelihood's parameters, float32 `[rows, *parameter_shape]`.

        Args:
            z: Latents, `[rows, latent]`; with what networks see of the model's covariates behind
                them, and of a modality with a size factor then its logarithm.
            mask: `[rows]`, 0 where a row does not count; all count if omitted.
            training: Whether this is a training step.

        Raises:
            ValueError: The decoder's output does not fit the likelihood.
        """
        if mask is None:
            mask = tf.ones(tf.shape(z)[:1])
        log_size = None
        if self.size_factor is not None:
            z, log_size = z[:, :-1], z[:, -1]
        parameters = tf.cast(call_network(self.decoder, z, mask, training), tf.float32)
        wanted = self.likelihood.parameter_shape
        if math.prod(parameters.shape[1:]) != math.prod(wanted):
            raise ValueError(
                f"modality {self.name!r}: its likelihood wants {wanted} numbers an example from "
                f"the decoder, which puts out {tuple(parameters.shape[1:])}"
            )
        parameters = tf.reshape(parameters, [tf.shape(parameters)[0], *wanted])
        return parameters if log_size is None else self.likelihood.scaled(parameters, log_size)

    def log_prob(self, parameters: tf.Tensor, prepared: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns `log p(x | z)` of what an example has, in nats, `[..., batch]`.

        Args:
            parameters: `[..., batch, *parameter_shape]`, what `decode` gives.
            prepared: Prepared data, `[batch, *event_shape]`.
            mask: `[batch]`; a group's `[batch, member]`.
        """
        return self.log_prob_of_present(parameters, prepared) * mask

    def log_prob_of_present(
        self, parameters: tf.Tensor, prepared: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Returns `log p(x | z)` of examples that are not missing, see `log_prob`."""
        if self.element_mask:
            return elements.masked_log_prob(self.likelihood, parameters, prepared)
        return self.likelihood.log_prob(parameters, prepared, training)

    def network_input(self, prepared: tf.Tensor) -> tf.Tensor:
        """Returns what an encoder sees of prepared data; with an `element_mask` the mask, too."""
        if self.element_mask:
            return elements.masked_input(self.likelihood, prepared)
        return self.likelihood.network_input(prepared)

    def _hidden(self, prepared: tf.Tensor) -> tf.Tensor:
        """Returns prepared data with random elements turned into gaps."""
        seeds = tf.unstack(random.split(next_seed(self.name), 2), num=2)
        shape = tf.shape(prepared)
        ones = tf.ones([prepared.shape.rank - 1], tf.int32)
        share = random.stateless_uniform(tf.concat([shape[:1], ones], 0), seeds[0])
        uniform = random.stateless_uniform(shape, seeds[1])
        return elements.hide(prepared, self.element_dropout, uniform, share)

    def _expert_parameters(
        self,
        prepared: tf.Tensor,
        mask: tf.Tensor,
        training: bool,
        covariates: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Runs the encoder; returns `loc` and `log_variance` in one, `[batch, 2 latent]`."""
        inputs = self.network_input(prepared)
        if covariates is not None and self._appends_to(self.likelihood):
            inputs, covariates = append(inputs, covariates), None
        features = flat(call_network(self.encoder, inputs, mask, training))
        if covariates is not None:
            features = self._joined(features, covariates)
        return tf.cast(self.expert_head(features), tf.float32)

    @staticmethod
    def _appends_to(likelihood: Likelihood) -> bool:
        """Whether covariates are appended to an encoder's input: it holds several real numbers.

        Encoders of counts take logarithms of theirs.
        """
        real = likelihood.dtype.is_floating and not likelihood.is_count
        return real and bool(likelihood.event_shape)

    def _joined(self, features: tf.Tensor, covariates: tf.Tensor, batch_axis: int = 0) -> tf.Tensor:
        """Returns features of an encoder that does not see the covariates, and of these."""
        if self.covariate_layer is None:  # `connect` is at work
            self.covariate_layer = self._linear(features.shape[-1], "silu", "covariates")
        return self.covariate_layer(append(features, covariates, batch_axis))

    def _linear(self, units: int, activation: str | None, name: str) -> keras.layers.Layer:
        """Makes a fully connected layer."""
        return keras.layers.Dense(units, activation, name=name)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this modality again."""
        serialize = keras.saving.serialize_keras_object
        elements_too = {"element_mask": True, "element_dropout": self.element_dropout}
        return {
            **super().get_config(),
            **(elements_too if self.element_mask else {}),
            **({"table_columns": self.table_columns} if self.table_columns else {}),
            **({} if self.size_factor is None else {"size_factor": self.size_factor}),
            "likelihood": serialize(self.likelihood),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "likelihood_weight": self.likelihood_weight,
            "cross_weight": self.cross_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Modality":
        """Makes a modality from `get_config`'s answer."""
        config = dict(config)
        table_columns = config.pop("table_columns", None)
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("likelihood", "encoder", "decoder")
        }
        made = cls(**{**config, **parts})
        made._is_loaded = True
        made.table_columns = table_columns
        return made
