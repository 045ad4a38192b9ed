"""Bounds for posteriors that are mixtures."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.modality import Modality
from tf_mvae.objectives.engine import Batch, Reconstruction, reconstruct
from tf_mvae.objectives.joint_elbo import AnyElbo
from tf_mvae.objectives.objective import Elbo, Step
from tf_mvae.objectives.terms import Terms
from tf_mvae.objectives.unimodal import EachExplainsAll
from tf_mvae.posteriors import Encoded, LatentSpace, Posterior, PosteriorKind
from tf_mvae.posteriors.posterior import standard_normal_log_prob
from tf_mvae.settings import Setting

__all__ = ["BOUND", "BOUNDS", "MixtureElbo", "PrivateStratifiedBound", "StratifiedBound"]

BOUNDS = ("elbo", "iwae", "dreg")
BOUND = Setting(
    "bound",
    "dreg",
    "The bound that is maximised, with --num_samples samples.",
    choices=BOUNDS,
)


@keras.saving.register_keras_serializable("tf_mvae")
class MixtureElbo(AnyElbo):
    """The generalised multimodal ELBO, whose posterior is a mixture over subsets `S_k` of X.

        E_q(z|X)[ sum_i w_i log p(x_i | z) ] - kl_weight 1/K sum_k KL(q(z | S_k) || p(z))

    (Sutter, Daunhawer and Vogt, ICLR 2021, equation 10: the mean of the components'
    divergences is a bound on the mixture's.)
    """

    takes_free_bits = False

    def bound(
        self, terms: Terms, z: tf.Tensor, found: Reconstruction, step: Step
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See the formula of the class."""
        kl = terms.posterior.kl_bound()
        charged = terms.posterior.charged_kl(z, kl, step.free_bits)
        return kl, tf.reduce_mean(found.weighted, axis=0) - step.kl_weight * charged


@keras.saving.register_keras_serializable("tf_mvae")
class StratifiedBound(EachExplainsAll):
    """A bound with K samples from each component of a mixture of experts.

        1/M sum_m B_m,   log w_mk = sum_i w_i log p(x_i | z_mk)
                                    + kl_weight (log p(z_mk) - log q(z_mk | X)),
        z_mk ~ q(z | x_m)

    over the M modalities that an example has, where `q(z | X)` is the whole mixture and `B_m`

    - `'elbo'`: `1/K sum_k log w_mk`;
    - `'iwae'`: `log 1/K sum_k w_mk` (Burda, Grosse and Salakhutdinov, ICLR 2016);
    - `'dreg'`: the same value, with the doubly reparameterised gradient (Tucker, Lawson, Gu
      and Maddison, ICLR 2019), whose variance does not grow with K. Its identity is for one q;
      here z comes from one component of the mixture `q(z | X)`, so that for K > 1 the gradient is
      biased, as in the published implementations. That of `'iwae'` is not.

    (Shi, Siddharth, Paige and Torr, NeurIPS 2019, equations 2 and 3: the sum over m stands
    outside the logarithm.)
    """

    takes_free_bits = False

    def __init__(self, bound: str = "dreg"):
        """Creates the objective.

        Args:
            bound: `'elbo'`, `'iwae'` or `'dreg'`.

        Raises:
            ValueError: It is another.
        """
        self.kind = checks.one_of("bound", bound, BOUNDS)

    def mixture(self, kind: PosteriorKind, encoded: Encoded, present: tf.Tensor) -> Posterior:
        """See `Terms.mixture`."""
        return kind.of(encoded, present)

    def evaluate(
        self,
        targets: Sequence[Modality],
        batch: Batch,
        terms: Terms,
        present: tf.Tensor,
        step: Step,
    ) -> Elbo:
        """See `Objective.evaluate`."""
        z = terms.posterior.sample(step.num_samples, step.noise_seed)
        detached = self.kind == "dreg"
        give_factor = None
        if detached:
            z, give_factor = _with_gradient_factor(z, self.in_ratio(terms))
        found = reconstruct(targets, batch, terms, z, *step.reconstruction)
        log_ratio = self.log_ratio(terms, z, detached)
        log_weight = found.weighted + step.kl_weight * log_ratio
        bound = _bound(self.kind, log_weight, give_factor)
        return Elbo.of(terms, present, z, found, -tf.reduce_mean(log_ratio, axis=0), bound)

    def of_everything(self, elbo: Elbo) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]:
        """See `Objective.of_everything`: the mean over the strata, of which none is a bound."""
        total = tf.reduce_sum(elbo.valid, axis=0)
        share = tf.math.divide_no_nan(elbo.valid, total)  # [term, batch]
        means = {
            name: tf.reduce_sum(share * value, axis=0)
            for name, value in elbo.log_likelihood.items()
        }
        kl = tf.reduce_sum(share * elbo.kl, axis=0)
        return tf.reduce_max(elbo.present, axis=1), means, kl

    def log_ratio(self, terms: Terms, z: tf.Tensor, detached: bool) -> tf.Tensor:
        """Returns `log p(z) - log q(z | X)` of z, `[sample, term, batch, latent]`.

        Args:
            terms: The terms.
            z: The samples.
            detached: Whether no gradient reaches the mixture's parameters.
        """
        mixture = _stopped(terms.mixture) if detached else terms.mixture
        # One mixture serves the terms of an example.
        each = type(mixture)(*(part[tf.newaxis] for part in mixture))
        return standard_normal_log_prob(z) - each.log_prob(z)

    def in_ratio(self, terms: Terms) -> tf.Tensor:
        """Returns 1 for dimensions of z whose own density is in `log_ratio`, `[term, 1, latent]`.

        Args:
            terms: The terms.
        """
        return tf.ones([1, 1, terms.posterior.loc.shape[-1]])

    def get_config(self) -> dict[str, Any]:
        """See `Objective.get_config`."""
        return {"bound": self.kind}


@keras.saving.register_keras_serializable("tf_mvae")
class PrivateStratifiedBound(StratifiedBound):
    """`StratifiedBound` where each modality has latents of its own.

    z is `(u, w_1, ..., w_N)`, u shared. A term of modality m samples u and `w_m` from
    `q(u, w_m | x_m)`, and the other `w_n` from auxiliary priors `r_n`, so that a decoder
    cannot learn from another modality's private latent what it should learn from u:

        log w_mk = sum_i w_i log p(x_i | u, w_i) + kl_weight (log p(u) + log p(w_m)
                   - log 1/M sum_n q(u | x_n) - log q(w_m | x_m))

    (Palumbo, Daunhawer and Vogt, *MMVAE+: enhancing the generative quality of multimodal VAEs
    without compromises*, ICLR 2023, equation 4.)
    """

    def __init__(self, latent: LatentSpace, bound: str = "dreg"):
        """Creates the objective.

        Args:
            latent: The latent space.
            bound: See `StratifiedBound`.
        """
        super().__init__(bound)
        self.latent = latent

    def log_ratio(self, terms: Terms, z: tf.Tensor, detached: bool) -> tf.Tensor:
        """See `StratifiedBound.log_ratio`; private latents count in their own term only."""
        latent = self.latent
        mixture: Any = terms.mixture
        posterior: Any = terms.posterior
        if detached:
            mixture, posterior = _stopped(mixture), _stopped(posterior)
        shared = latent.shared_slice
        shared_mixture = type(mixture)(
            *(part[tf.newaxis, ..., shared] for part in mixture[:2]), mixture.weight[tf.newaxis]
        )
        u = z[..., shared]
        ratio = standard_normal_log_prob(u) - shared_mixture.log_prob(u)
        private = []
        for index, name in enumerate(latent.private):
            own = latent.private_slice(name)
            w = z[:, index, :, own]
            density = type(posterior)(*(part[index, :, own] for part in posterior))
            private.append(standard_normal_log_prob(w) - density.log_prob(w))
        return ratio + tf.stack(private, axis=1)

    def in_ratio(self, terms: Terms) -> tf.Tensor:
        """See `StratifiedBound.in_ratio`; those from auxiliary priors are not."""
        rows = np.zeros([len(self.latent.private), 1, self.latent.size], np.float32)
        rows[..., self.latent.shared_slice] = 1
        for row, name in zip(rows, self.latent.private, strict=True):
            row[:, self.latent.private_slice(name)] = 1
        return tf.constant(rows)

    def get_config(self) -> dict[str, Any]:
        """See `Objective.get_config`."""
        return {**super().get_config(), "latent": keras.saving.serialize_keras_object(self.latent)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PrivateStratifiedBound":
        """See `Objective.from_config`."""
        latent = keras.saving.deserialize_keras_object(config["latent"])
        return cls(**{**config, "latent": latent})


def _stopped(posterior: Posterior) -> Posterior:
    """Returns the posterior without gradients of its parameters."""
    return type(posterior)(*(tf.stop_gradient(part) for part in posterior))


def _bound(
    kind: str, log_weight: tf.Tensor, give_factor: Callable[[tf.Tensor], None] | None
) -> tf.Tensor:
    """Returns the bound of log-weights `[sample, term, batch]`, `[term, batch]`."""
    if kind == "elbo":
        return tf.reduce_mean(log_weight, axis=0)
    value = tf.reduce_logsumexp(log_weight, axis=0) - math.log(log_weight.shape[0])
    if kind == "iwae":
        return value
    # The gradient of sum_k w_k log w_k, whose part through z is multiplied by w_k once more.
    normalised = tf.stop_gradient(tf.nn.softmax(log_weight, axis=0))
    give_factor(normalised[..., tf.newaxis])
    surrogate = tf.reduce_sum(normalised * log_weight, axis=0)
    return tf.stop_gradient(value - surrogate) + surrogate


def _with_gradient_factor(
    z: tf.Tensor, where: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], None]]:
    """Returns z, whose gradient is multiplied by a factor that is known only later.

    Args:
        z: `[sample, term, batch, latent]`.
        where: 1 for the dimensions that have the factor, 0 for those that have none.

    Returns:
        z, and a function that takes the factor; it must be called before the gradient is
        taken.
    """
    factors = []

    @tf.custom_gradient
    def identity(value):
        return tf.identity(value), lambda up: up * (1 + where * (factors[0] - 1))

    return identity(z), factors.append
