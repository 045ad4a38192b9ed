"""The networks of a model: encoders and decoders of its modalities."""

import contextlib
from collections.abc import Container, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import present_mask
from tf_mvae.covariate import Covariate, as_numbers, check_covariates
from tf_mvae.distributions.product_of_experts import standard_normal
from tf_mvae.distributions.tfp import Distribution
from tf_mvae.errors import UserError
from tf_mvae.group import has_groups
from tf_mvae.inference import arguments
from tf_mvae.inference.covariates import CovariateModel
from tf_mvae.inference.eager_calls import EagerCalls
from tf_mvae.inference.ownership import check_unowned, own
from tf_mvae.layers.appended import append
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.modality import Modality
from tf_mvae.ops import random
from tf_mvae.posteriors import (
    DiagonalGaussian,
    Encoded,
    LatentSpace,
    Posterior,
    PosteriorKind,
)

__all__ = ["NetworkModel"]


class NetworkModel(CovariateModel):
    """Modalities with their networks, joined by a posterior kind.

    How a subset of the modalities becomes `q(z | S)` is the posterior kind's
    (`tf_mvae.posteriors`).

    Attributes:
        posterior_kind: How experts become `q(z | S)`.
        latent: The latent space.
        min_modalities: The least number of modalities.
        sampler: The conditional density `p(z | S)` that latents are drawn from, of
            `tf_mvae.samplers`; None without one. See `set_sampler`.
        default_latents: What `latents=None` stands for in methods that draw latents; None: the
            sampler, if there is one, else the posterior kind's default. It is not saved with the
            model.
    """

    min_modalities = 1

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        seed: int,
        posterior_kind: PosteriorKind,
        latent: LatentSpace | None = None,
        covariates: Sequence[Covariate] = (),
        **kwargs,
    ):
        """Creates all weights.

        Args:
            modalities: What an example may consist of; their names differ.
            latent_dim: Size of the latent.
            seed: Seed of what is drawn where no other is given.
            posterior_kind: How experts become `q(z | S)`.
            latent: The latent space; default: `latent_dim` shared numbers.
            covariates: What is given with every example and not modelled.
            **kwargs: Keras' own arguments for a model.

        Raises:
            ValueError: No modality, two of one name, one that belongs to another model already,
                a size below 1, or covariates that do not fit.
        """
        # Layers cast their own inputs: data of fewer digits would be others.
        super().__init__(**{"autocast": False, **kwargs})
        arguments.check_modalities(modalities)
        self.posterior_kind = posterior_kind
        self._check_number(modalities)
        # A tuple: Keras tracks lists, and these are no state.
        self.covariates = tuple(check_covariates(covariates, modalities, type(self).__name__))
        if has_groups(modalities):
            self._check_groups(modalities)
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.seed = checks.integer("seed", seed)
        self.latent = LatentSpace(self.latent_dim) if latent is None else latent
        checks.instance("latent", self.latent, LatentSpace, "a tf_mvae.posteriors.LatentSpace")
        if self.latent.size != self.latent_dim:
            raise UserError(
                f"latent_dim is {self.latent_dim} and the latent space has {self.latent.size} "
                "dimensions: give latent_dim=latent.size"
            )
        names = [modality.name for modality in modalities]
        if self.latent.private and list(self.latent.private) != names:
            raise UserError(
                f"the latent space has private parts of {list(self.latent.private)}; give one of "
                f"each modality, in the model's order: {names}"
            )
        self.sampler = None
        self.default_latents: str | None = None
        self._eager_calls = EagerCalls(self)
        self.modalities = list(modalities)
        for modality in self.modalities:
            what = f"modality {modality.name!r}"
            check_unowned(modality, what)
            self._connect(modality)
            own(modality, what)
        for name, layer in posterior_kind.make_layers(self.modalities, self.latent_dim).items():
            setattr(self, name, layer)
        posterior_kind.joint(self, *self._blank_batch(), training=False)  # builds a joint network

    @property
    def targets(self) -> list[Modality]:
        """The modalities that the model generates; mostly all."""
        return self.modalities

    @property
    def prior(self) -> Distribution:
        """The prior `N(0, I)`, with events `[latent]`."""
        return standard_normal(self.latent_dim)

    @property
    def num_columns(self) -> int:
        """The number of modalities, counting every member of a group."""
        return len(self._columns)

    def set_sampler(self, sampler: Any) -> None:
        """Attaches a latent sampler, replacing any other; None removes it.

        It is saved with the model, and training the model leaves it as it is.

        Args:
            sampler: A fitted `tf_mvae.samplers.LatentSampler`.

        Raises:
            UserError: It does not fit the model.
        """
        if sampler is not None:
            self.check_sampler(sampler)
            sampler.trainable = False
        locked = self._tracker.locked
        self._tracker.unlock()  # Keras locks a model that is built
        if self.sampler is not None and self.sampler is not sampler:
            del self.sampler
        self.sampler = sampler
        if locked:
            self._tracker.lock()

    @property
    def proposing_sampler(self) -> Any:
        """The sampler that estimates of likelihoods take half of their samples from; or None.

        A sampler whose density is slow is none (`LatentSampler.has_fast_density`).
        """
        return self.sampler if self.sampler is not None and self.sampler.has_fast_density else None

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; those of a sampler it never does."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        sampler = getattr(self, "sampler", None)
        if sampler is not None:
            sampler.trainable = False

    def check_takes_sampler(self) -> None:
        """Checks that the model has a use for a sampler.

        Raises:
            UserError: It has conditions.
        """
        if self.conditions:
            raise UserError(
                f"{self.name} needs {self.conditions[0]!r} of every example, and its latent does "
                "not depend on it: it has no use for a sampler; fit none (--sampler_epochs=0)"
            )

    def check_sampler(self, sampler: Any) -> None:
        """Checks that a sampler fits the model.

        Raises:
            UserError: The model has conditions, or the sampler is of other sizes.
        """
        self.check_takes_sampler()
        if not hasattr(sampler, "of"):
            raise UserError(f"sampler must be of tf_mvae.samplers; it is {sampler!r}")
        sizes = (sampler.latent_dim, sampler.num_columns)
        if sampler.num_covariates != self.num_covariates:
            raise UserError(
                f"the sampler is for covariates of {sampler.num_covariates} numbers, and "
                f"{self.name} has {self.num_covariates}; make it with num_covariates="
                f"{self.num_covariates}"
            )
        if sizes != (self.latent_dim, self.num_columns):
            raise UserError(
                f"the sampler is for a latent of {sizes[0]} and {sizes[1]} modalities; "
                f"{self.name} has a latent of {self.latent_dim} and {self.num_columns} modalities"
            )

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
            names: The modalities to decode (default: all).
            given: See `decode`.
            training: Whether layers such as dropout act as in training.

        Returns:
            Decoder outputs by name, `[..., *parameter_shape]`.

        Raises:
            UserError: A covariate is not given.
        """
        lead = tf.shape(z)[:-1]
        wanted = self._given(self._names if names is None else names)
        appended = self._appended(given or {}, wanted) or {}
        rows = tf.reshape(z, [-1, self.latent_dim])
        parameters = {}
        for modality in wanted:
            shape = tf.concat([lead, tf.constant(modality.likelihood.parameter_shape, tf.int32)], 0)
            seen = self.latent.part(rows, modality.name)
            if modality.name in appended:
                whole = self.latent.part(z, modality.name)
                whole = append(whole, appended[modality.name], max(0, z.shape.rank - 2))
                seen = tf.reshape(whole, [-1, whole.shape[-1]])
            parameters[modality.name] = tf.reshape(modality.decode(seen, training=training), shape)
        return parameters

    @property
    def _names(self) -> list[str]:
        return [modality.name for modality in self.modalities]

    @property
    def _columns(self) -> list[str]:
        """Names of all modalities, with the members of groups one by one."""
        return [name for modality in self.modalities for name in modality.column_names]

    def _given(self, names: Container[str]) -> list[Modality]:
        return [modality for modality in self.modalities if modality.name in names]

    def _encode_each(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool = False
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Returns the expert of each modality that is given, by name."""
        covariates = as_numbers(self.covariates, x)
        return {
            m.name: self._encode_one(m, x[m.name], mask[m.name], training, covariates)
            for m in self._given(x)
        }

    def _encoded(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool = False
    ) -> Encoded:
        """Encodes the given modalities, once for all subsets."""
        joint = self.posterior_kind.joint(self, x, mask, training)
        found = self._encode_each(x, mask, training)
        rows = tf.shape(next(iter(found.values()))[0])[0]
        experts = []
        for modality in self.modalities:
            shape = tf.stack([rows, modality.size, self.latent_dim])
            expert = found.get(modality.name, (tf.zeros(shape),) * 2)
            experts.append([p if p.shape.rank == 3 else p[:, tf.newaxis] for p in expert])
        joined = DiagonalGaussian(*(tf.concat(p, axis=1) for p in zip(*experts, strict=True)))
        return Encoded(joined, joint)

    def _blank_batch(self) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns one example of zeros, with its masks, to build networks on."""
        x = {
            m.name: tf.zeros([1, *m.likelihood.event_shape], m.likelihood.dtype)
            for m in self.batch_inputs
        }
        x |= {c.name: tf.ones_like(x[c.name]) for c in self.covariates if not c.is_network_input}
        return x, {m.name: tf.ones([1, *m.mask_shape]) for m in self.modalities}

    def _check_number(self, modalities: Sequence[Modality]) -> None:
        """Checks that there are enough modalities."""
        least = max(self.min_modalities, self.posterior_kind.min_modalities)
        if len(modalities) < least:
            raise UserError(
                f"{type(self).__name__} needs {least} modalities or more; it has {len(modalities)}"
            )

    def _check_groups(self, modalities: Sequence[Modality]) -> None:
        """Checks that members' names are unique, and that the model supports groups."""
        groups = [modality.name for modality in modalities if modality.mask_shape]
        if not self.posterior_kind.takes_groups:
            raise UserError(
                f"{type(self).__name__} takes single modalities only, not the group "
                f"{groups[0]!r}; MVAE, MVAEQ and MVTCAE take groups"
            )
        names = [m.name for m in modalities]
        names += [name for m in modalities if m.mask_shape for name in m.column_names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"the name {twice[0]!r} stands for two modalities; rename one")

    def _connect(self, modality: Modality) -> None:
        """Builds a modality's networks."""
        modality.connect(self.latent.size_of(modality), self.num_covariates)

    def _encode_one(
        self,
        modality: Modality,
        value: tf.Tensor,
        mask: tf.Tensor,
        training: bool,
        covariates: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns one modality's expert, `loc` and `log_variance`, `[batch, latent]`."""
        expert = self.posterior_kind.expert(*modality.encode(value, mask, training, covariates))
        return tuple(self.latent.spread(modality.name, part) for part in expert)

    def _infer(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool = False
    ) -> Posterior:
        """Returns `q(z | what is present)`, `[batch]`."""
        encoded = self._encoded(x, mask, training)
        return self.posterior_kind.of(encoded, present_mask(mask, self.modalities))

    def _seed(self, seed: int | Sequence[int] | tf.Tensor | None) -> tf.Tensor:
        """Returns a seed of two integers; a missing one is the model's own."""
        return arguments.seed_pair(self.seed if seed is None else seed)

    def _drawn_layers(self, training: bool) -> contextlib.AbstractContextManager[None]:
        """Gives layers such as dropout the model's seed, where they act outside a training step."""
        return layer_seeds(self._seed(None)) if training else contextlib.nullcontext()

    def _two_seeds(self, seed: int | Sequence[int] | tf.Tensor | None) -> list[tf.Tensor]:
        """Returns two seeds of one; by a graph, since eagerly that is forty operations."""
        return self._eager_calls(
            "seeds",
            lambda whole: tf.unstack(random.split(whole, 2), num=2),
            self._seed(seed),
            free_axes=0,
        )
