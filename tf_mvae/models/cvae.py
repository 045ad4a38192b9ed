"""The conditional variational autoencoder."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.covariate import as_numbers, size_factors
from tf_mvae.errors import UserError
from tf_mvae.inference.arguments import check_modalities
from tf_mvae.inference.ownership import check_unowned, own
from tf_mvae.layers.sequential import MaskedSequential, call_network, check_network, flat
from tf_mvae.modality import Modality
from tf_mvae.models.base import BaseVAE
from tf_mvae.models.registry import preset
from tf_mvae.models.vae import MODALITY
from tf_mvae.objectives import JointElbo
from tf_mvae.posteriors import ConditionalNetwork, DiagonalGaussian, Encoded
from tf_mvae.posteriors.kind import bounded

__all__ = ["CVAE"]


@preset("cvae", MODALITY)
@keras.saving.register_keras_serializable("tf_mvae")
class CVAE(BaseVAE):
    """One modality given the others (Sohn, Lee and Yan, NeurIPS 2015).

        E_q(z|x,y)[ w log p(x | z, y) ] - kl_weight * KL(q(z | x, y) || p(z))

    x is the target, y the conditions: classes one-hot, anything else as it is. The prior
    `p(z) = N(0, I)` does not depend on the conditions, which Sohn et al. allow for and
    Wu and Goodman's comparison has. There is no distribution of the conditions, so they
    have to be given whatever is asked of the model: `generate(given={"label": ...})`
    works, `sample` is an error. It learns from complete examples only.

    Example:

    ```python
    model = CVAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ])
    model.compile("adam")
    model.generate({"label": [7]}, num_samples=16)["image"]   # [16, 1, 28, 28, 1]
    ```
    """

    min_modalities = 2
    learns_from_incomplete = False

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        trunk: keras.layers.Layer | None = None,
        units: Sequence[int] = (512, 512),
        activation: str = "silu",
        log_counts: bool = True,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: The target, then the conditions. The target's decoder gets z and
                the conditions side by side; no other network of theirs is used.
            latent_dim: Size of the latent.
            trunk: From the prepared target to the features that are joined to the
                conditions; if omitted, the target is joined as conditions are.
            units: Widths of the layers that see both.
            activation: Their activation's name.
            log_counts: Whether networks see counts as `log(1 + count)`; models saved before
                version 0.2 see them as they are.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: There is no condition, or a sequence stands where numbers are needed.
        """
        check_modalities(modalities)
        units = checks.shape("units", units)
        keras.activations.get(activation)
        if len(modalities) < 2:
            raise UserError("a CVAE needs a target and at least one condition")
        as_numbers = modalities[1:] if trunk is not None else modalities
        for modality in as_numbers:
            if modality.likelihood.is_sequence:
                raise UserError(
                    f"a CVAE takes its conditions as numbers, which the ids of {modality.name!r} "
                    "are not; a sequence can be its target, with a trunk that reads it"
                )
        super().__init__(modalities, latent_dim, ConditionalNetwork(), JointElbo(), **kwargs)
        self.target = self.modalities[0]
        if trunk is not None:
            check_unowned(check_network("trunk", trunk), "the trunk")
        self.trunk = trunk
        self.log_counts = bool(log_counts)
        self.units, self.activation = tuple(units), activation
        hidden = [keras.layers.Dense(width, activation) for width in self.units]
        self.encoder = MaskedSequential([*hidden, keras.layers.Dense(2 * self.latent_dim)])
        blank, mask = self._blank_batch()
        self._infer(blank, mask)
        decoded = self.likelihood_parameters(tf.zeros([1, self.latent_dim]), given=blank)
        self.target.likelihood.build(decoded[self.target.name])
        own(self.target, f"modality {self.target.name!r}")
        if trunk is not None:
            own(trunk, "the trunk")

    def _connect(self, modality: Modality) -> None:
        """The model's own networks replace the modalities' encoders."""
        modality.built = True

    @classmethod
    def experiment_arguments(cls, experiment: Any, modalities: Sequence[Modality]) -> dict:
        """Returns the experiment's encoder of the target, if it has one."""
        make = experiment.conditional_encoders.get(modalities[0].name)
        return {} if make is None else dict(zip(("trunk", "units"), make(), strict=True))

    @property
    def targets(self) -> list[Modality]:
        """The one modality that is generated."""
        return self.modalities[:1]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the required modalities."""
        return tuple(self._names[1:])

    def sample(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises a UserError: nothing is generated without the conditions."""
        given = ", ".join(f"{name!r}: [...]" for name in self.given_to_decoders)
        raise UserError(
            f"{self.name} generates {self.target.name!r} from conditions only: use "
            f"generate({{{given}}}, num_samples)"
        )

    def likelihood_parameters(
        self,
        z: tf.Tensor,
        names: Sequence[str] | None = None,
        given: Mapping[str, Any] | None = None,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Decodes latents and conditions to the target's likelihood.

        Args:
            z: Latents, `[..., batch, latent]`.
            names: The target's name, or nothing.
            given: The conditions by name, `[batch, *event_shape]`; the target may be there.
            training: Whether layers such as dropout act as in training.

        Raises:
            UserError: A condition is not given, or a condition is asked for.
        """
        if names is not None and list(names) != [self.target.name]:
            raise UserError(f"{self.name} generates {self.target.name!r} only, not {list(names)}")
        condition = self._seen_by_decoder(self._condition(given or {}), given or {})
        counts = tf.ones(tf.shape(condition)[:1])
        return {self.target.name: self._decode(z, condition, counts, training)}

    def _seen_by_decoder(self, condition: tf.Tensor, x: Mapping[str, Any]) -> tf.Tensor:
        """Appends the target's size factor to its conditions, if it has one."""
        if self.target.size_factor is None:
            return condition
        size = size_factors(self.covariates, x, self.target.size_factor)
        return tf.concat([condition, size], axis=-1)

    def _appended(self, given, modalities):
        return None  # `_decode` does that

    def _log_likelihood_of(self, x, mask):
        condition = self._seen_by_decoder(self._condition(x, mask), x)

        def log_likelihood(modality, value, z, counts, training):
            parameters = self._decode(z, condition, counts, training)
            return modality.log_prob_of_present(parameters, value, training)

        return log_likelihood

    def _decode(
        self, z: tf.Tensor, condition: tf.Tensor, counts: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Decodes `[..., batch, latent]` with `[batch, size]` to the target's parameters."""
        if z.shape.rank == 1:  # one latent, which has no axis of examples
            condition, counts = condition[0], counts[0]
        lead = tf.shape(z)[:-1]
        size = condition.shape[-1]
        beside = tf.broadcast_to(condition, tf.concat([lead, [size]], 0))
        rows = tf.reshape(tf.concat([z, beside], axis=-1), [-1, self.latent_dim + size])
        mask = tf.reshape(tf.broadcast_to(counts, lead), [-1])
        parameters = self.target.decode(rows, mask, training)
        shape = tf.concat([lead, self.target.likelihood.parameter_shape], 0)
        return tf.reshape(parameters, shape)

    def _condition(
        self, x: Mapping[str, Any], mask: Mapping[str, tf.Tensor] | None = None
    ) -> tf.Tensor:
        """Returns the conditions and covariates side by side, `[batch, size]`."""
        parts = []
        for modality in self.modalities[1:]:
            if modality.name not in x:
                raise UserError(f"{self.name} needs {modality.name!r}, which is not given")
            value = tf.convert_to_tensor(x[modality.name])
            there = tf.ones(tf.shape(value)[:1]) if mask is None else mask[modality.name]
            parts.append(self._as_numbers(modality, modality.prepare(value, there)))
        covariates = as_numbers(self.covariates, x)
        return tf.concat(parts if covariates is None else [*parts, covariates], axis=-1)

    def _encoded(self, x, mask, training=False):
        """Returns the posterior given everything; the prior where something is missing."""
        condition = self._condition(x, mask)
        if self.target.name not in x:
            zeros = tf.zeros([tf.shape(condition)[0], self.latent_dim])
            return Encoded(None, DiagonalGaussian(zeros, zeros))
        complete = tf.reduce_prod(tf.stack([mask[name] for name in self._names]), axis=0)
        value = self.target.prepare(x[self.target.name], complete)
        if self.trunk is None:
            features = self._as_numbers(self.target, value)
        else:
            seen = self.target.network_input(value)
            features = flat(call_network(self.trunk, seen, complete, training, "the trunk"))
        inputs = tf.concat([tf.cast(features, tf.float32), condition], axis=-1)
        encoded = tf.cast(self.encoder(inputs, training=training), tf.float32)
        loc, log_variance = tf.split(encoded * complete[:, tf.newaxis], 2, axis=-1)
        return Encoded(None, DiagonalGaussian(loc, bounded(log_variance)))

    def _as_numbers(self, modality: Modality, prepared: tf.Tensor) -> tf.Tensor:
        """Returns prepared data as float32 `[batch, size]`, classes one-hot."""
        if modality.likelihood.is_categorical:
            return tf.one_hot(prepared, modality.likelihood.num_classes)
        value = flat(tf.cast(modality.network_input(prepared), tf.float32))
        return tf.math.log1p(value) if modality.likelihood.is_count and self.log_counts else value

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        return {
            **super().get_config(),
            "trunk": self.trunk and keras.saving.serialize_keras_object(self.trunk),
            "units": list(self.units),
            "activation": self.activation,
            "log_counts": self.log_counts,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CVAE":
        """Creates a model from the result of `get_config`."""
        make = keras.saving.deserialize_keras_object
        trunk = config["trunk"] and make(config["trunk"], custom_objects=custom_objects)
        config = {"log_counts": False, **config, "trunk": trunk}  # older files have no such entry
        return super().from_config(config, custom_objects)
