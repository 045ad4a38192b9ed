"""The mixture-of-experts model of Shi et al."""

from collections.abc import Sequence

import keras

from tf_mvae.modality import Modality
from tf_mvae.models.preset_model import PresetVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import StratifiedBound
from tf_mvae.objectives.mixture_bounds import BOUND
from tf_mvae.posteriors import MixtureOfExperts

__all__ = ["MMVAE"]


@preset("mmvae", BOUND)
@keras.saving.register_keras_serializable("tf_mvae")
class MMVAE(PresetVAE):
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

    _make_kind = MixtureOfExperts
    _make_objective = StratifiedBound

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        bound: str = "dreg",
        num_samples: int = 10,
        **kwargs,
    ):
        """Creates the model; `num_samples` is K, and `bound` the kind of `StratifiedBound`."""
        super().__init__(modalities, latent_dim, bound=bound, num_samples=num_samples, **kwargs)
