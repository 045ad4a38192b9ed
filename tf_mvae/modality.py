"""One modality: how it is encoded, decoded, judged and weighed."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae import modality_checks
from tf_mvae.default_networks import default_decoder, default_encoder, sees_covariates
from tf_mvae.distributions import elements
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.distributions.placeholder import fill_missing, set_placeholder
from tf_mvae.errors import UserError
from tf_mvae.layers.appended import append
from tf_mvae.layers.dropout import next_seed
from tf_mvae.layers.lookup import once_an_input
from tf_mvae.layers.sequential import call_network, check_network, flat

__all__ = ["Modality"]


@keras.saving.register_keras_serializable("tf_mvae")
class Modality(keras.layers.Layer):
    """One part of an example, such as an image, a label or a sentence, with its networks.

    Attributes:
        likelihood: The likelihood of the modality given the latent.
        likelihood_weight: Weight of its log-likelihood in the ELBO terms whose subset
            contains it (the paper's lambda).
        cross_weight: Its weight in the terms whose subset does not contain it, for examples in
            which it is observed. It is 0 in the paper's objective; terms of weight 0 are not
            decoded.
        element_mask: Whether single elements (pixels, cells of a table) may be missing.
        size_factor: The name of the `tf_mvae.SizeFactor` that multiplies its means, or None.
        expert_head: The layer from features to the expert; None before a model has made the
            default one.
        has_own_head: Whether the user gave that layer.
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
        expert_head: keras.layers.Layer | None = None,
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
                as described in `tf_mvae.layers.mlp.default_width` of that number.
            likelihood_weight: See the attribute.
            cross_weight: See the attribute; `likelihood_weight` if omitted, which
                makes every term a bound on the log-likelihood of all that an example
                has (Sutter et al., ICLR 2021).
            element_mask: Whether single elements of an example may be missing. Then
                `mask[name]` may have the shape `[batch, *event_shape]`, NaN in the data is a
                missing element, the log-likelihood is the sum over the observed ones, and the
                encoder sees zeros in the gaps and the mask behind the last axis
                (`[batch, 28, 28, 2]` for an image of one channel). Of a sequence it sees the id
                `tf_mvae.ops.tokens.GAP` where a symbol is missing. An example without an observed
                element counts as one that does not have the modality.
            element_dropout: For an `element_mask`: in training the encoder does not see random
                elements, of each example a fraction between 0 and this; all observed ones are
                reconstructed. The terms stay bounds on the log-likelihood of what is observed,
                and the encoder learns to predict elements from each other.
            size_factor: Of counts, the name of one of the model's `tf_mvae.SizeFactor` covariates:
                the means are its values times what the decoder says.
            expert_head: Any Keras layer from the encoder's output, in its own shape, to the
                expert: the first half of its last axis holds the means and the second half the
                log-variances, each `latent` numbers in all. Default: a linear layer of the
                flattened features. With a convolution such as `tf_mvae.layers.spatial_head` the
                latent is a grid, whose numbers the decoder sees flat
                (`tf_mvae.layers.LatentGrid` makes a grid of them).
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: The name is no identifier or is taken, the likelihood is not one, a weight is
                negative or not finite, or a network is not a Keras layer.
        """
        owner = f"modality {name!r}"
        modality_checks.check_name("modality", name)
        modality_checks.check_likelihood(owner, likelihood)
        super().__init__(name=name, **kwargs)
        self.likelihood = likelihood
        self._is_loaded = False
        self._frozen: tuple[str, ...] = ()  # those of `_made_layers`, by name, until they are there
        self.table_columns: str | None = None
        self.likelihood_weight, self.cross_weight = modality_checks.check_weights(
            owner, likelihood_weight, cross_weight
        )
        self.element_mask = bool(element_mask)
        self.element_dropout = modality_checks.check_element_dropout(
            owner, likelihood, self.element_mask, element_dropout
        )
        self.size_factor = modality_checks.check_size_factor(owner, likelihood, size_factor)
        self._set_networks(encoder, decoder, expert_head)

    def _set_networks(
        self,
        encoder: keras.layers.Layer | None,
        decoder: keras.layers.Layer | None,
        expert_head: keras.layers.Layer | None,
    ) -> None:
        """Sets the networks as attributes, so that Keras finds their weights, in this order."""
        given = {"encoder": encoder, "decoder": decoder, "expert_head": expert_head}
        for argument, network in given.items():
            if network is not None:
                check_network(f"modality {self.name!r}: {argument}", network)
        self.likelihood_network = self.likelihood.network
        self.encoder = default_encoder(self.likelihood) if encoder is None else encoder
        self.decoder = default_decoder(self.likelihood) if decoder is None else decoder
        self.expert_head: Any = expert_head  # the default one as soon as a model has the modality
        self.has_own_head = expert_head is not None
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
        if self.built:  # type: ignore[has-type]  # of the Keras layer, which mypy does not see
            return
        if not self.has_own_head:
            self.expert_head = self._linear(2 * latent_dim, None, "expert")
        present = tf.ones([1, *self.mask_shape])
        given = tf.zeros([1, covariates]) if covariates else None
        blank = tf.zeros([1, *self.likelihood.event_shape], self.likelihood.dtype)
        loc, _ = self.encode(blank, present, covariates=given)
        if loc.shape[-1] != latent_dim:
            raise UserError(
                f"modality {self.name!r}: its expert_head puts out {loc.shape[-1]} means, and the "
                f"latent has {latent_dim} numbers"
            )
        size = latent_dim + covariates + (self.size_factor is not None)
        parameters = self.decode(tf.zeros([1, size]))
        self.likelihood.build(parameters)
        set_placeholder(f"modality {self.name!r}", self.likelihood, parameters, self._is_loaded)
        for layer in self._made_layers:
            layer.trainable = layer.trainable and layer.name not in self._frozen
        self.built = True

    @property
    def _made_layers(self) -> list[keras.layers.Layer]:
        """The layers that `connect` makes: the default expert head and that of the covariates."""
        found = [None if self.has_own_head else self.expert_head, self.covariate_layer]
        return [layer for layer in found if layer is not None]

    @property
    def size(self) -> int:
        """The number of modalities: 1, for a group its members."""
        return 1

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Shape of one example's mask: one number, and for a group one per member."""
        return ()

    @property
    def given_mask_shape(self) -> tuple[int, ...]:
        """Shape of the most detailed mask of one example that a batch may hold."""
        return self.likelihood.event_shape if self.element_mask else self.mask_shape

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the modalities: its own name, for a group those of its members."""
        return (self.name,)

    def encode(
        self,
        value: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        covariates: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the modality's expert, `loc` and `log_variance`, each `[batch, latent]`.

        An encoder of few classes that treats rows one by one runs once a class if the number of
        rows is known to be larger. Experts are float32 even if the networks compute in bfloat16
        (Keras' mixed precision), which cannot hold the sums of densities and divergences.

        Args:
            value: Raw data, `[batch, *event_shape]`.
            mask: `[batch]`, 0 where the example does not have the modality.
            training: Whether this is a training step.
            covariates: The encoded covariates, `[batch, width]`, if the model has some. They are
                concatenated to the last axis of the encoder's input (channels of an image), or for
                classes, counts and sequences to its output, before a further layer.
        """
        run, prepared = self._expert_parameters, self.prepare(value, mask)
        if training and self.element_dropout:
            prepared = elements.hide_randomly(prepared, self.element_dropout, next_seed(self.name))
        if covariates is None:
            networks = (self.encoder, self.expert_head)
            parameters = once_an_input(networks, run, prepared, mask, training)
        else:
            parameters = run(prepared, mask, training, covariates)
        loc, log_variance = tf.split(parameters, 2, axis=-1)
        return loc, log_variance

    def prepare(self, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns prepared data, with the likelihood's placeholder where the modality is missing.

        Whatever stands there (NaN, infinity, a class out of range) is gone from here on. With an
        `element_mask` every gap is marked (`tf_mvae.distributions.elements`), which
        `network_input` and `log_prob` understand.
        """
        there = tf.reshape(mask > 0, [-1] + [1] * len(self.likelihood.event_shape))
        return self._prepared(value, there)

    def _prepared(self, value: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        """Prepares data of which `there` says what counts; both broadcast."""
        if self.element_mask:
            return elements.mark_gaps(self.likelihood, value, there)
        return fill_missing(self.likelihood, value, there)

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
        z, log_size = (z, None) if self.size_factor is None else (z[:, :-1], z[:, -1])
        parameters = tf.cast(
            call_network(self.decoder, z, mask, training, self._network("decoder")), tf.float32
        )
        wanted = self.likelihood.parameter_shape
        parameters = modality_checks.decoded(f"modality {self.name!r}", parameters, wanted)
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
            return elements.masked_log_prob(self.likelihood, parameters, prepared, training)
        return self.likelihood.log_prob(parameters, prepared, training)

    def network_input(self, prepared: tf.Tensor) -> tf.Tensor:
        """Returns what an encoder sees of prepared data; with an `element_mask` the mask, too."""
        if self.element_mask:
            return elements.masked_input(self.likelihood, prepared)
        return self.likelihood.network_input(prepared)

    def _expert_parameters(
        self,
        prepared: tf.Tensor,
        mask: tf.Tensor,
        training: bool,
        covariates: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Runs the encoder; returns `loc` and `log_variance` in one, `[batch, 2 latent]`."""
        inputs = self.network_input(prepared)
        if covariates is not None and sees_covariates(self.likelihood):
            inputs, covariates = append(inputs, covariates), None
        features = call_network(self.encoder, inputs, mask, training, self._network("encoder"))
        shape = features.shape[1:]
        if covariates is not None:
            features = self._joined(flat(features), covariates)
        if not self.has_own_head:
            return tf.cast(self.expert_head(flat(features)), tf.float32)
        features = tf.reshape(features, [-1, *shape])
        parameters = call_network(
            self.expert_head, features, mask, training, self._network("expert_head")
        )
        return modality_checks.flat_expert(self.name, tf.cast(parameters, tf.float32))

    def _network(self, argument: str) -> str:
        """Returns what messages call a network."""
        return f"{self.role} {self.name!r}: its {argument}"

    def _joined(self, features: tf.Tensor, covariates: tf.Tensor, batch_axis: int = 0) -> tf.Tensor:
        """Returns features of an encoder that does not see the covariates, and of these."""
        if self.covariate_layer is None:  # `connect` is at work
            self.covariate_layer = self._linear(features.shape[-1], "silu", "covariates")
        return self.covariate_layer(append(features, covariates, batch_axis))

    def _linear(self, units: int, activation: str | None, name: str) -> keras.layers.Layer:
        """Makes a fully connected layer."""
        return keras.layers.Dense(units, activation, name=name)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this modality."""
        serialize = keras.saving.serialize_keras_object
        masked = {"element_mask": True, "element_dropout": self.element_dropout}
        frozen = [layer.name for layer in self._made_layers if not layer.trainable]
        return {
            **super().get_config(),
            **(masked if self.element_mask else {}),
            **({"table_columns": self.table_columns} if self.table_columns else {}),
            **({"frozen": frozen} if frozen else {}),
            **({} if self.size_factor is None else {"size_factor": self.size_factor}),
            **({"expert_head": serialize(self.expert_head)} if self.has_own_head else {}),
            "likelihood": serialize(self.likelihood),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "likelihood_weight": self.likelihood_weight,
            "cross_weight": self.cross_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Modality":
        """Creates a modality from the result of `get_config`."""
        config = dict(config)
        table_columns, frozen = config.pop("table_columns", None), config.pop("frozen", ())
        parts: dict[str, Any] = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("likelihood", "encoder", "decoder", "expert_head")
            if key in config
        }
        made = cls(**(config | parts))
        made._is_loaded, made._frozen = True, tuple(frozen)
        made.table_columns = table_columns
        return made
