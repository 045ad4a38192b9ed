"""Many modalities of one kind: eighteen attributes, three hundred sensors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import modality_checks
from tf_mvae.default_networks import (
    encoder_width,
    num_classes,
    sees_covariates,
    with_log_counts,
)
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.distributions.members import MemberLikelihood
from tf_mvae.errors import UserError
from tf_mvae.layers import (
    GroupedDense,
    MaskedSequential,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
)
from tf_mvae.layers.appended import append
from tf_mvae.layers.lookup import once_an_input
from tf_mvae.layers.mlp import default_width
from tf_mvae.layers.sequential import call_network, check_network
from tf_mvae.modality import Modality

__all__ = ["ModalityGroup", "attribute_groups", "has_groups"]

Weights = float | Mapping[str, float]


@keras.saving.register_keras_serializable("tf_mvae")
class ModalityGroup(Modality):
    """Many modalities of one kind, each with its own networks, mask, expert and weights.

    In a batch a group is one array, `x[group]: [batch, member, *event_shape]`, with `mask[group]:
    [batch, member]` (or `[batch]`, the same for all members). For the objective every member is a
    modality: subsets contain it or not, independently of the others, and it has a term of its own
    and a metric. The encoders of all members run as one batched matrix product per layer, and so do
    the decoders. The cost of a step is linear in the number of members.

    A `cross_weight` does not apply to the term of a single member: if each of N members were
    reconstructed from each of the N, a step would need N^2 decodings. The terms of all modalities,
    of random subsets and of each single `Modality` reconstruct the whole group. The term of one
    member reconstructs this member only, neither other members nor other modalities.

    The data given to `posterior` or `generate` may name members: `model.generate({"Smiling":
    [1.0]})`.

    Attributes:
        members: The members' names.
        likelihood: Of the whole array; `likelihood.member` is that of one member.
        likelihood_weight: Each member's, as `Modality.likelihood_weight`.
        cross_weight: Each member's, as `Modality.cross_weight`.

    Example:
    ```python
    attributes = ModalityGroup(
        "attributes", ["Smiling", "Eyeglasses", "Male"], likelihoods.Bernoulli([]),
        grouped_mlp_encoder([512, 512], num_classes=2), grouped_mlp_decoder([], [512]))
    model = MVAE([Modality("image", likelihoods.Bernoulli([64, 64, 3])), attributes])
    ```
    """

    def __init__(
        self,
        name: str,
        members: Sequence[str],
        likelihood: Likelihood,
        encoder: keras.layers.Layer | None = None,
        decoder: keras.layers.Layer | None = None,
        likelihood_weight: Weights = 1.0,
        cross_weight: Weights | None = None,
        **kwargs,
    ):
        """Describes a group; a model then builds its networks.

        Args:
            name: The group's key in batches: letters, digits and underscores.
            members: The members' names, likewise; they may begin with a digit.
            likelihood: Of one member.
            encoder: Any Keras layer from prepared data, members first
                (`[member, batch, *event_shape]`), to features `[member, batch, ...]`:
                `tf_mvae.layers.grouped_mlp_encoder`, which is the default, as wide as the
                default of a `Modality` with that likelihood.
            decoder: Any Keras layer from `[member, batch, latent]` to as many numbers as
                `likelihood.parameter_shape` has, `[member, batch, numbers]`;
                `tf_mvae.layers.grouped_mlp_decoder` is the default, likewise.
            likelihood_weight: One for all members, or by member (1 if omitted).
            cross_weight: The same; the likelihood weight if omitted.
            **kwargs: Keras' own arguments for a layer.

        Raises:
            UserError: A name does not fit, the likelihood is not one, a weight is negative or names
                no member, or a network holds batch normalisation, which would mix the members.
        """
        members = modality_checks.checked_members(name, members)
        modality_checks.check_member_likelihood(name, likelihood)
        own = _by_member(name, members, likelihood_weight, 1.0)
        cross = own if cross_weight is None else _by_member(name, members, cross_weight, None, own)
        encoder = _default_encoder(likelihood) if encoder is None else encoder
        decoder = _default_decoder(likelihood) if decoder is None else decoder
        for argument, network in (("encoder", encoder), ("decoder", decoder)):
            check_network(f"group {name!r}: {argument}", network)
            modality_checks.refuse_batch_norm(name, network)
        if kwargs.get("element_mask"):
            raise UserError(
                f"group {name!r}: members are missing as a whole; element_mask is for a Modality"
            )
        for argument in ("size_factor", "expert_head"):
            if kwargs.get(argument) is not None:
                raise UserError(f"group {name!r}: {argument} is for a Modality")
        joint = MemberLikelihood(likelihood, len(members))
        super().__init__(name, joint, encoder, decoder, **kwargs)
        self.members = members
        # One weight for each member; a modality has one.
        self.likelihood_weight: Any = own
        self.cross_weight: Any = cross

    @property
    def size(self) -> int:
        """The number of members."""
        return len(self.members)

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """One number a member."""
        return (self.size,)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The members' names."""
        return self.members

    def encode(
        self,
        value: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        covariates: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the members' experts, `loc` and `log_variance`, `[batch, member, latent]`.

        Args:
            value: Raw data, `[batch, member, *event_shape]`.
            mask: `[batch, member]`, 0 where the example does not have a member.
            training: Whether this is a training step.
            covariates: See `Modality.encode`.
        """
        run, first = self._expert_parameters, _members_first(self.prepare(value, mask))
        if covariates is None:
            networks = (self.encoder, self.expert_head)
            parameters = once_an_input(networks, run, first, tf.transpose(mask), training)
        else:
            parameters = run(first, tf.transpose(mask), training, covariates)
        loc, log_variance = tf.split(tf.transpose(parameters, [1, 0, 2]), 2, axis=-1)
        return loc, log_variance

    def prepare(self, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns prepared data, with the likelihood's placeholder where a member is missing.

        Args:
            value: Raw data, `[batch, member, *event_shape]`.
            mask: `[batch, member]`.
        """
        inner = [1] * len(self.likelihood.member.event_shape)
        return self._prepared(value, tf.reshape(mask > 0, [-1, self.size, *inner]))

    def decode(
        self, z: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """Returns every member's parameters, float32 `[rows, member, *parameter_shape]`.

        Args:
            z: Latents, `[rows, latent]`.
            mask: `[rows]`, 0 where a row does not count; all count if omitted.
            training: Whether this is a training step.

        Raises:
            ValueError: The decoder's output does not fit the likelihood.
        """
        rows = tf.broadcast_to(z, [self.size, tf.shape(z)[0], z.shape[1]])
        counts = tf.ones(tf.shape(z)[:1]) if mask is None else mask
        counts = tf.broadcast_to(counts, [self.size, tf.shape(z)[0]])
        return _members_first(self.decode_each(rows, counts, training))

    def decode_each(self, z: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Decodes latents of every member's own, members first.

        Args:
            z: `[member, rows, latent]`.
            mask: `[member, rows]`, 0 where a row does not count.
            training: Whether this is a training step.

        Returns:
            Float32 `[member, rows, *parameter_shape]`.

        Raises:
            ValueError: The decoder's output does not fit the likelihood.
        """
        parameters = tf.cast(
            call_network(self.decoder, z, mask, training, self._network("decoder")), tf.float32
        )
        wanted = self.likelihood.member.parameter_shape
        return modality_checks.decoded(f"group {self.name!r}", parameters, wanted, leading=2)

    def log_prob(self, parameters: tf.Tensor, prepared: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns `log p(x | z)` of the members that an example has, added up, `[..., batch]`."""
        return tf.reduce_sum(super().log_prob(parameters, prepared, mask), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this group."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "members": list(self.members),
            "likelihood": serialize(self.likelihood.member),
            "likelihood_weight": dict(zip(self.members, self.likelihood_weight, strict=True)),
            "cross_weight": dict(zip(self.members, self.cross_weight, strict=True)),
        }

    def _expert_parameters(
        self,
        prepared: tf.Tensor,
        mask: tf.Tensor,
        training: bool,
        covariates: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Runs the encoder; data and mask have members first."""
        if covariates is not None and sees_covariates(self.likelihood.member):
            prepared, covariates = append(prepared, covariates, 1), None
        features = call_network(self.encoder, prepared, mask, training, self._network("encoder"))
        if covariates is not None:
            shape = tf.concat([tf.shape(features)[:2], [math.prod(features.shape[2:])]], 0)
            features = self._joined(tf.reshape(features, shape), covariates, 1)
        return tf.cast(self.expert_head(features), tf.float32)

    def _linear(self, units: int, activation: str | None, name: str) -> keras.layers.Layer:
        return GroupedDense(units, activation, name=name)


def attribute_groups(modalities: Sequence[Modality]) -> list[ModalityGroup]:
    """Returns the groups whose members are yes or no, a number each."""
    return [
        m
        for m in modalities
        if isinstance(m, ModalityGroup)
        and m.likelihood.member.is_binary
        and not m.likelihood.member.event_shape
    ]


def has_groups(modalities: Sequence[Modality]) -> bool:
    """Returns whether there is a group among modalities."""
    return any(isinstance(modality, ModalityGroup) for modality in modalities)


def _members_first(tensor: tf.Tensor) -> tf.Tensor:
    """Exchanges the first two axes."""
    return tf.transpose(tensor, [1, 0, *range(2, tensor.shape.rank)])


def _by_member(
    name: str,
    members: Sequence[str],
    weights: Weights,
    missing: float | None,
    others: Sequence[float] = (),
) -> tuple[float, ...]:
    """Returns a weight for each member."""
    if isinstance(weights, Mapping):
        unknown = [member for member in weights if member not in members]
        if unknown:
            raise UserError(f"group {name!r} has no member {unknown[0]!r} to weigh")
        usual: Sequence[Any] = others or [missing] * len(members)
        found = [weights.get(m, other) for m, other in zip(members, usual, strict=True)]
    else:
        found = [weights] * len(members)
    pairs = zip(members, found, strict=True)
    return tuple(
        modality_checks.check_weight(f"group {name!r}", f"that of {m}", weight)
        for m, weight in pairs
    )


def _default_encoder(likelihood: Likelihood) -> MaskedSequential:
    encoder = grouped_mlp_encoder([encoder_width(likelihood)] * 2, num_classes(likelihood))
    return with_log_counts(encoder) if likelihood.is_count else encoder


def _default_decoder(likelihood: Likelihood) -> MaskedSequential:
    shape = likelihood.parameter_shape
    return grouped_mlp_decoder(shape, [default_width(math.prod(shape))] * 3)
