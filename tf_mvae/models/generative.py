"""Inference and generation: what a model does once it is trained."""

import contextlib
from collections.abc import Container, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae.data import contract
from tf_mvae.distributions.product_of_experts import diagonal_normal, standard_normal
from tf_mvae.group import has_groups
from tf_mvae.layers import ProductOfExperts, unrolled
from tf_mvae.modality import Modality
from tf_mvae.ops import random
from tf_mvae.ops.custom_op import reference_only

__all__ = ["GenerativeModel"]


class GenerativeModel(keras.Model):
    """`p(z) prod_i p(x_i | z)` and `q(z | any of them)`: infers, decodes, generates.

    `MultimodalVAE` adds how it is trained.

    Attributes:
        takes_groups: Whether a `ModalityGroup` may be among the modalities.
    """

    takes_groups = False

    def __init__(self, modalities: Sequence[Modality], latent_dim: int, seed: int, **kwargs):
        """Creates all weights.

        Args:
            modalities: What an example may consist of; their names differ.
            latent_dim: Size of the latent.
            seed: Seed of what is drawn where no other is given.
            **kwargs: Keras' own arguments for a model.

        Raises:
            ValueError: No modality, two of one name, or a size below 1.
        """
        super().__init__(**kwargs)
        names = [modality.name for modality in modalities]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"modalities must have names that differ; they are {names}")
        if has_groups(modalities):
            self._check_groups(modalities)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1; it is {latent_dim}")
        self.modalities = list(modalities)
        self.latent_dim = int(latent_dim)
        self.seed = int(seed)
        # Sums of precisions are nothing for bfloat16, whatever type the networks compute in.
        self.product_of_experts = ProductOfExperts(dtype="float32")
        for modality in self.modalities:
            self._connect(modality)

    @property
    def targets(self) -> list[Modality]:
        """The modalities that the model generates; mostly all."""
        return self.modalities

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of modalities that have to be given, whatever is asked; mostly none."""
        return ()

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

    def export(self, *args, **kwargs) -> Any:
        """Exports as `keras.Model.export`, with TensorFlow's own ops alone in the graph.

        It works before the model is called. The input is a whole batch,
        `{"x": {name: ...}, "mask": {name: ...}}`, without masks of conditions; a signature that
        takes tensors by name calls them `x_NAME` and `mask_NAME`.
        `tf_mvae.serving.export_saved_model` writes more signatures, and
        `tf_mvae.serving.export_format` ONNX and LiteRT files that are checked against the model.

        Args:
            *args: Keras' own arguments, `filepath` and `format` first.
            **kwargs: The same by name; `input_signature` replaces the batch that is described.
        """
        kwargs.setdefault("input_signature", [self._batch_signature()])
        litert = "litert" in (*args[1:2], kwargs.get("format"))  # which has no graph loops
        with reference_only(), unrolled(self) if litert else contextlib.nullcontext():
            return super().export(*args, **kwargs)

    def _batch_signature(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """Returns the shapes and types of a batch of any size."""
        x, mask = {}, {}
        lower = [modality.name.lower() for modality in self.modalities]
        for index, modality in enumerate(self.modalities):
            name, likelihood = modality.name, modality.likelihood
            # TensorFlow takes no two names that differ in case alone.
            own = f"{name}_{index}" if lower.count(name.lower()) > 1 else name
            shape = [None, *likelihood.event_shape]
            x[name] = tf.TensorSpec(shape, likelihood.dtype, f"x_{own}")
            if name not in self.conditions:
                mask[name] = tf.TensorSpec([None, *modality.mask_shape], tf.float32, f"mask_{own}")
        return {"x": x, "mask": mask}

    @property
    def _names(self) -> list[str]:
        return [modality.name for modality in self.modalities]

    @property
    def _columns(self) -> list[str]:
        """Names of everything that can be present by itself: groups' members one by one."""
        return [name for modality in self.modalities for name in modality.column_names]

    def _given(self, names: Container[str]) -> list[Modality]:
        return [modality for modality in self.modalities if modality.name in names]

    def _encode(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes what is given, once: `loc` and `log_variance`, `[batch, modality, latent]`."""
        found = {
            m.name: self._encode_one(m, x[m.name], mask[m.name], training) for m in self._given(x)
        }
        rows = tf.shape(next(iter(found.values()))[0])[0]
        experts = []
        for modality in self.modalities:
            shape = tf.stack([rows, modality.size, self.latent_dim])
            expert = found.get(modality.name, (tf.zeros(shape),) * 2)
            experts.append([p if p.shape.rank == 3 else p[:, tf.newaxis] for p in expert])
        loc, log_variance = zip(*experts, strict=True)
        return tf.concat(loc, axis=1), tf.concat(log_variance, axis=1)

    def _check_groups(self, modalities: Sequence[Modality]) -> None:
        """Refuses groups whose members' names are taken, or a model that cannot have groups."""
        groups = [modality.name for modality in modalities if modality.mask_shape]
        if not self.takes_groups:
            raise ValueError(
                f"{type(self).__name__} takes single modalities only, not the group "
                f"{groups[0]!r}; MVAE and MVAEQ take groups"
            )
        names = [m.name for m in modalities]
        names += [name for m in modalities if m.mask_shape for name in m.column_names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} stands for two modalities; rename one")

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
