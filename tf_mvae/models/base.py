"""What every multimodal VAE offers: infer, decode, generate, train, save."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae.data import contract
from tf_mvae.distributions.product_of_experts import diagonal_normal, standard_normal
from tf_mvae.layers import ProductOfExperts
from tf_mvae.modality import Modality
from tf_mvae.models.elbo import Elbo
from tf_mvae.ops import random

__all__ = ["MultimodalVAE"]

_EVALUATION_STREAM = 1


class MultimodalVAE(keras.Model):
    """A joint model `p(z) prod_i p(x_i | z)` with a posterior for any subset.

    It is a Keras model: `compile(optimizer)`, `fit`, `evaluate`, `predict`, callbacks,
    `save` and `keras.models.load_model`. Data are batches of
    `{"x": {name: array}, "mask": {name: float32 [batch]}}`; `mask` may be left out.
    Subclasses say in `elbo` what is trained.

    The random numbers of a training step are a function of `seed` and the optimizer's
    step alone, so a run that goes on from a checkpoint repeats none and skips none.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        kl_weight: float | keras.optimizers.schedules.LearningRateSchedule = 1.0,
        num_samples: int = 1,
        seed: int = 0,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of; their names differ.
            latent_dim: Size of the latent.
            kl_weight: Weight of the KL divergence in training (the paper's beta): a
                number, or a Keras schedule of the step such as
                `tf_mvae.LinearAnnealing`. Evaluation uses 1.
            num_samples: Samples of the latent for each term of a training step.
            seed: Seed of the subsets and the noise.
            **kwargs: Keras' own arguments for a model.

        Raises:
            ValueError: No modality, two of one name, or a size below 1.
        """
        super().__init__(**kwargs)
        names = [modality.name for modality in modalities]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"modalities must have names that differ; they are {names}")
        if latent_dim < 1 or num_samples < 1:
            raise ValueError("latent_dim and num_samples must be at least 1")
        self.modalities = list(modalities)
        self.latent_dim = int(latent_dim)
        self.kl_weight = kl_weight
        self.num_samples = int(num_samples)
        self.seed = int(seed)
        self.product_of_experts = ProductOfExperts()
        for modality in self.modalities:
            self._connect(modality)
        self._trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ["loss", "elbo", "kl", *(f"{m.name}_log_likelihood" for m in self.targets)]
        }
        self.built = True

    @property
    def targets(self) -> list[Modality]:
        """The modalities that the model generates; mostly all."""
        return self.modalities

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of modalities that have to be given, whatever is asked; mostly none."""
        return ()

    # Inference and generation -------------------------------------------------------

    @property
    def prior(self) -> tfp.distributions.Distribution:
        """The prior `N(0, I)`, with events `[latent]`."""
        return standard_normal(self.latent_dim)

    def experts(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None = None, training: bool = False
    ) -> dict[str, tfp.distributions.Distribution]:
        """Returns each given modality's own expert `q~(z | x_i)`, without the prior.

        Args:
            x: Arrays by name, `[batch, *event_shape]`.
            mask: Masks by name, `[batch]`.
            training: Whether layers such as dropout act as in training.
        """
        x, mask = contract.unpack({"x": x, "mask": mask or {}}, self.modalities, partial=True)
        encoded = {
            m.name: self._encode_one(m, x[m.name], mask[m.name], training) for m in self._given(x)
        }
        return {name: diagonal_normal(*expert) for name, expert in encoded.items()}

    def posterior(
        self, x: Mapping[str, Any], mask: Mapping[str, Any] | None = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """Returns `q(z | what is present in x)`.

        Args:
            x: Arrays by name, `[batch, *event_shape]`; any modalities may be left out.
            mask: Masks by name, `[batch]`; 0 where an example lacks the modality.
            training: Whether layers such as dropout act as in training.

        Returns:
            A `tfd.MultivariateNormalDiag` with batch `[batch]` and events `[latent]`. An
            example that has nothing gets the prior.

        Raises:
            UserError: A key, shape, type or mask does not fit.
        """
        x, mask = contract.unpack({"x": x, "mask": mask or {}}, self.modalities, partial=True)
        return diagonal_normal(*self._infer(x, mask, training))

    def decode(
        self, z: Any, training: bool = False, given: Mapping[str, Any] | None = None
    ) -> dict[str, tfp.distributions.Distribution]:
        """Returns the likelihood of every modality.

        Args:
            z: Latents, `[..., latent]`.
            training: Whether layers such as dropout act as in training.
            given: For models whose decoders see data beside the latent (`conditions`),
                these by name, `[batch, *event_shape]`, for z of `[..., batch, latent]`.

        Returns:
            TFP distributions by name, with batch `[...]` and the modality's events.
        """
        z = tf.convert_to_tensor(z, tf.float32)
        parameters = self.likelihood_parameters(z, given=given, training=training)
        wanted = self._given(parameters)
        return {m.name: m.likelihood.distribution(parameters[m.name]) for m in wanted}

    def generate(
        self,
        given: Mapping[str, Any],
        num_samples: int = 1,
        mask: Mapping[str, Any] | None = None,
        seed: int | Sequence[int] | None = None,
        temperature: float = 1.0,
        return_samples: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Generates every modality from the given ones.

        `z ~ q(z | given)`, then every modality from z.

        Args:
            given: Arrays by name, `[batch, *event_shape]`.
            num_samples: Samples of z for each example.
            mask: Masks by name, `[batch]`.
            seed: A number (or two); the same one gives the same samples. The model's own
                where left out.
            temperature: Factor on the posterior's standard deviation; 0 is its mean.
            return_samples: Whether to sample the likelihoods too, instead of returning
                their means (probabilities for classes).

        Returns:
            Tensors by name, `[num_samples, batch, *event_shape]` (with a last axis of
            probabilities for classes, unless sampled).
        """
        seeds = random.split(self._seed(seed), 2)
        z = self.latent_samples(given, num_samples, mask, seeds[0], temperature)
        return self.from_latent(z, seeds[1] if return_samples else None, given=given)

    def latent_samples(
        self,
        given: Mapping[str, Any],
        num_samples: int | tf.Tensor = 1,
        mask: Mapping[str, Any] | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        temperature: float | tf.Tensor = 1.0,
    ) -> tf.Tensor:
        """Samples `q(z | given)`; see `generate` for the arguments.

        Returns:
            `[num_samples, batch, latent]`.
        """
        posterior = self.posterior(given, mask)
        loc, scale = posterior.mean(), posterior.stddev()
        shape = tf.concat([[num_samples], tf.shape(loc)], 0)
        return loc + temperature * scale * random.stateless_normal(shape, self._seed(seed))

    def sample(
        self,
        num_samples: int,
        seed: int | Sequence[int] | None = None,
        temperature: float = 1.0,
        return_samples: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Generates every modality from the prior; see `generate` for the arguments.

        Returns:
            Tensors by name, `[num_samples, *event_shape]`.
        """
        seeds = random.split(self._seed(seed), 2)
        z = temperature * random.stateless_normal([num_samples, self.latent_dim], seeds[0])
        return self.from_latent(z, seeds[1] if return_samples else None)

    def from_latent(
        self,
        z: Any,
        seed: tf.Tensor | None = None,
        names: Sequence[str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Returns modalities' expected values, or samples, given latents.

        Args:
            z: Latents, `[..., latent]`.
            seed: Two integers; samples of the likelihoods are drawn where given.
            names: The modalities to decode; all where left out.
            given: See `decode`.

        Returns:
            Tensors by name, `[..., *event_shape]` (with a last axis of probabilities for
            classes, unless sampled).
        """
        z = tf.convert_to_tensor(z, tf.float32)
        parameters = self.likelihood_parameters(z, names, given)
        wanted = self._given(parameters)
        if seed is None:
            return {m.name: m.likelihood.expected_value(parameters[m.name]) for m in wanted}
        seeds = dict(zip(self._names, random.split(seed, len(self.modalities)), strict=True))
        return {
            m.name: m.likelihood.distribution(parameters[m.name]).sample(seed=seeds[m.name])
            for m in wanted
        }

    def likelihood_parameters(
        self,
        z: tf.Tensor,
        names: Sequence[str] | None = None,
        given: Mapping[str, Any] | None = None,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Decodes latents to the parameters of likelihoods.

        Args:
            z: Latents, `[..., latent]`.
            names: The modalities to decode; all where left out.
            given: See `decode`.
            training: Whether layers such as dropout act as in training.

        Returns:
            Decoder outputs by name, `[..., *parameter_shape]`.
        """
        lead = tf.shape(z)[:-1]
        rows = tf.reshape(z, [-1, self.latent_dim])
        parameters = {}
        for modality in self._given(self._names if names is None else names):
            shape = tf.concat([lead, tf.constant(modality.likelihood.parameter_shape, tf.int32)], 0)
            parameters[modality.name] = tf.reshape(modality.decode(rows, training=training), shape)
        return parameters

    def call(self, inputs: Any, training: bool = False) -> dict[str, tf.Tensor]:
        """Reconstructs and completes a batch from the posterior's mean.

        Args:
            inputs: A batch; any modalities may be left out.
            training: Whether layers such as dropout act as in training.

        Returns:
            `"z"`, the posterior's mean, and every modality's expected value, by name.
        """
        x, mask = contract.unpack(inputs, self.modalities, partial=True)
        loc, _ = self._infer(x, mask, training)
        return {"z": loc, **self.from_latent(loc, given=x)}

    # Training -----------------------------------------------------------------------

    def elbo(
        self,
        batch: Any,
        kl_weight: tf.Tensor | float = 1.0,
        num_samples: int | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        training: bool = False,
    ) -> Elbo:
        """Returns the objective of a batch, by term, example and modality.

        Args:
            batch: `{"x": ..., "mask": ...}`.
            kl_weight: Weight of the KL divergence.
            num_samples: Samples of the latent a term; the model's where left out.
            seed: A number (or two) for subsets and noise; the model's where left out.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def compile(self, optimizer: Any = "adam", **kwargs) -> None:
        """Configures training as `keras.Model.compile`; the loss is the model's own.

        Raises:
            ValueError: A loss is given.
        """
        if kwargs.get("loss") is not None:
            raise ValueError("the loss is the negative ELBO; leave `loss` out of compile")
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as the saved one was; Keras calls it."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, validation_data: Any = None, **kwargs) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, after checking the data.

        Args:
            x: A dict of arrays, or a `tf.data.Dataset` of batches.
            validation_data: The same.
            **kwargs: Keras' own arguments.

        Raises:
            UserError: The data do not fit the modalities.
        """
        x = self._checked(x)
        validation_data = None if validation_data is None else self._checked(validation_data)
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)
        return super().fit(x=x, validation_data=validation_data, **kwargs)

    def evaluate(self, x: Any = None, **kwargs) -> Any:
        """Evaluates as `keras.Model.evaluate`, after checking the data."""
        return super().evaluate(x=self._checked(x), **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one step of the optimizer; Keras calls it."""
        step = tf.cast(self.optimizer.iterations.value, tf.int32)
        kl_weight = self.kl_weight(step) if callable(self.kl_weight) else self.kl_weight
        with tf.GradientTape() as tape:
            elbo = self.elbo(data, kl_weight=kl_weight, seed=self._step_seed(step), training=True)
            loss = elbo.loss + tf.add_n([tf.zeros([]), *self.losses])
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss / replicas)
        gradients = tape.gradient(scaled, [v.value for v in self.trainable_variables])
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_metrics(loss, elbo)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch, at a KL weight of 1; Keras calls it."""
        elbo = self.elbo(data, seed=tf.constant([self.seed, _EVALUATION_STREAM]))
        return self._update_metrics(elbo.loss + tf.add_n([tf.zeros([]), *self.losses]), elbo)

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Reconstructs and completes one batch; Keras calls it."""
        return self(data, training=False)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of training and evaluation, in nats an example.

        `loss`, the training objective; of the term that sees everything: `elbo`, all
        weights 1, its `kl`, and each modality's log-likelihood over the examples that
        have it.
        """
        return list(self._trackers.values())

    # Saving -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        weight = self.kl_weight
        return {
            "name": self.name,
            "modalities": [keras.saving.serialize_keras_object(m) for m in self.modalities],
            "latent_dim": self.latent_dim,
            "kl_weight": keras.saving.serialize_keras_object(weight)
            if callable(weight)
            else weight,
            "num_samples": self.num_samples,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MultimodalVAE":
        """Makes a model from `get_config`'s answer."""
        make = keras.saving.deserialize_keras_object
        modalities = [make(m, custom_objects=custom_objects) for m in config["modalities"]]
        weight = config["kl_weight"]
        weight = make(weight, custom_objects=custom_objects) if isinstance(weight, dict) else weight
        return cls(**{**config, "modalities": modalities, "kl_weight": weight})

    # Parts --------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        return [modality.name for modality in self.modalities]

    def _given(self, names: Container[str]) -> list[Modality]:
        return [modality for modality in self.modalities if modality.name in names]

    def _encode(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes what is given, once: `loc` and `log_variance`, `[batch, modality, latent]`."""
        found = {
            m.name: self._encode_one(m, x[m.name], mask[m.name], training) for m in self._given(x)
        }
        nothing = (tf.zeros_like(next(iter(found.values()))[0]),) * 2
        experts = [found.get(modality.name, nothing) for modality in self.modalities]
        loc, log_variance = zip(*experts, strict=True)
        return tf.stack(loc, axis=1), tf.stack(log_variance, axis=1)

    def _connect(self, modality: Modality) -> None:
        """Builds a modality's networks."""
        modality.connect(self.latent_dim)

    def _encode_one(
        self, modality: Modality, value: tf.Tensor, mask: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns one modality's expert, `loc` and `log_variance`, `[batch, latent]`."""
        return modality.encode(value, mask, training)

    def _infer(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the posterior's `loc` and `log_variance`, `[batch, latent]`.

        Here it is the product of the prior and the experts; models that infer in another
        way override this.
        """
        present = contract.present_mask(mask, self.modalities)
        return self.product_of_experts(*self._encode(x, mask, training), present)

    def _seed(self, seed: int | Sequence[int] | tf.Tensor | None) -> tf.Tensor:
        """Returns a seed of two integers; a missing one is the model's own."""
        seed = tf.convert_to_tensor(self.seed if seed is None else seed)
        return tf.stack([tf.cast(seed, tf.int32), 0]) if seed.shape.rank == 0 else seed

    def _step_seed(self, step: tf.Tensor) -> tf.Tensor:
        return random.fold_in(tf.constant([self.seed, 0]), step)

    def _noise_seed(self, seed: tf.Tensor) -> tf.Tensor:
        """Returns a seed of a replica's own: its examples are its own, and so is the noise."""
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            return random.fold_in(seed, replica.replica_id_in_sync_group)
        return seed

    def _checked(self, data: Any) -> Any:
        if isinstance(data, tf.data.Dataset):
            return contract.check_dataset(data, self.modalities)
        return contract.check_arrays(data, self.modalities) if isinstance(data, Mapping) else data

    def _update_metrics(self, loss: tf.Tensor, elbo: Elbo) -> dict[str, tf.Tensor]:
        everything = tf.cast(elbo.valid[0] > 0, tf.float32)
        total = tf.add_n([elbo.log_likelihood[m.name][0] for m in self.targets]) - elbo.kl[0]
        trackers = self._trackers
        trackers["loss"].update_state(loss, sample_weight=tf.shape(everything)[0])
        trackers["elbo"].update_state(total, sample_weight=everything)
        trackers["kl"].update_state(elbo.kl[0], sample_weight=everything)
        for index, modality in enumerate(self.modalities):
            if modality.name not in elbo.log_likelihood:
                continue
            trackers[f"{modality.name}_log_likelihood"].update_state(
                elbo.log_likelihood[modality.name][0], sample_weight=elbo.subset[0, :, index]
            )
        return {name: tracker.result() for name, tracker in trackers.items()}
