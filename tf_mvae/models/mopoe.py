"""The mixture of products of experts of Sutter, Daunhawer and Vogt."""

import keras

from tf_mvae.models.preset_model import PresetVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import MixtureElbo
from tf_mvae.posteriors import MixtureOfProducts

__all__ = ["MoPoE"]


@preset("mopoe")
@keras.saving.register_keras_serializable("tf_mvae")
class MoPoE(PresetVAE):
    """A mixture, over the subsets of what an example has, of products of experts.

        E_q(z|X)[ sum_i w_i log p(x_i | z) ] - kl_weight 1/K sum_k KL(q(z | S_k) || p(z)),
        q(z | X) = 1/K sum_k prod_{i in S_k} q(z | x_i)

    (Sutter, Daunhawer and Vogt, *Generalized multimodal ELBO*, ICLR 2021, equations 8 to 10.)
    The mixture of an incomplete example has the subsets of its observed modalities. `generate`
    and the like draw z from the product of all that is given (`latents='product'`).
    `tf_mvae.posteriors.MixtureOfProducts` defines K; its arguments `num_subsets=16` and
    `subset_seed=0` are arguments of the model as well.

    Example:

    ```python
    model = MoPoE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ])
    ```
    """

    _make_kind = MixtureOfProducts
    _make_objective = MixtureElbo
