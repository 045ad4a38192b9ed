"""The mixture-of-experts models of Shi et al. and of Palumbo et al."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import PrivateStratifiedBound, StratifiedBound
from tf_mvae.objectives.mixture_bounds import BOUNDS
from tf_mvae.posteriors import LatentSpace, MixtureOfExperts, PrivateMixtureOfExperts
from tf_mvae.settings import Setting

__all__ = ["MMVAE", "MMVAEPlus"]

BOUND = Setting(
    "bound",
    "dreg",
    "What is maximised, of --num_samples.",
    choices=BOUNDS,
)


@preset("mmvae", BOUND)
@keras.saving.register_keras_serializable("tf_mvae")
class MMVAE(MultimodalVAE):
    """A mixture of experts, trained with samples from each of its components.

        1/M sum_m B_m,   q(z | X) = 1/M sum_m q(z | x_m)

    (Shi, Siddharth, Paige and Torr, *Variational mixture-of-experts autoencoders for
    multi-modal deep generative models*, NeurIPS 2019, equations 2 and 3), over the modalities
    that an example has; `tf_mvae.objectives.StratifiedBound` gives B_m. Posteriors are normal
    distributions (the paper's are Laplace).

    Example:

    ```python
    model = MMVAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], num_samples=10, bound="dreg")
    ```
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        bound: str = "dreg",
        num_samples: int = 10,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of.
            latent_dim: Size of the latent.
            bound: `'elbo'`, `'iwae'` or `'dreg'`; see `StratifiedBound`.
            num_samples: K, the samples of each modality's posterior.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `seed`, `name`.
        """
        objective = StratifiedBound(bound)
        kwargs |= {"num_samples": num_samples}
        super().__init__(modalities, latent_dim, MixtureOfExperts(), objective, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {**super().get_config(), **self.objective.get_config()}


@preset(
    "mmvae_plus",
    Setting(
        "private_dim",
        32,
        "Size of each modality's own latent.",
        checks.positive_integer,
    ),
    BOUND,
)
@keras.saving.register_keras_serializable("tf_mvae")
class MMVAEPlus(MultimodalVAE):
    """`MMVAE` with a latent of each modality's own next to the shared one.

        1/M sum_m B_m,   z = (u, w_1, ..., w_N),   q(u | X) = 1/M sum_m q(u | x_m)

    (Palumbo, Daunhawer and Vogt, *MMVAE+: enhancing the generative quality of multimodal VAEs
    without compromises*, ICLR 2023, equation 4; `tf_mvae.objectives.PrivateStratifiedBound`
    gives B_m.) A latent of the model holds all parts: `latent_dim` shared numbers, then each
    modality's own.

    Example:

    ```python
    model = MMVAEPlus([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], latent_dim=32, private_dim={"image": 32, "label": 2})
    ```
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 32,
        private_dim: int | Mapping[str, int] = 32,
        bound: str = "dreg",
        num_samples: int = 1,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: Two or more.
            latent_dim: Size of the shared latent.
            private_dim: Size of each modality's own, one for all or by name.
            bound: See `StratifiedBound`.
            num_samples: K, the samples of each modality's posterior.
            **kwargs: Those of `BaseVAE`: `kl_weight`, `seed`, `name`.

        Raises:
            ValueError: A size is below 1, or a name is not known.
        """
        names = [modality.name for modality in modalities]
        sizes = private_dim
        if not isinstance(private_dim, Mapping):
            sizes = dict.fromkeys(names, private_dim)
        if set(sizes) != set(names):
            raise UserError(f"private_dim must have {names}; it has {sorted(sizes)}")
        sizes = {n: checks.positive_integer(f"private_dim[{n!r}]", sizes[n]) for n in names}
        latent = LatentSpace(checks.positive_integer("latent_dim", latent_dim), sizes)
        kwargs |= {"num_samples": num_samples, "latent": latent}
        super().__init__(
            modalities,
            latent.size,
            PrivateMixtureOfExperts(latent),
            PrivateStratifiedBound(latent, bound),
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {
            **super().get_config(),
            "latent_dim": self.latent.shared,
            "private_dim": self.latent.private,
            **self.objective.get_config(),
        }
