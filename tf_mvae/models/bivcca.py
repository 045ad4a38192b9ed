"""Bi-directional variational canonical correlation analysis."""

import keras

from tf_mvae.models.preset_model import PresetVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import EachExplainsAll
from tf_mvae.posteriors import FirstExpert

__all__ = ["BiVCCA"]


@preset("bivcca")
@keras.saving.register_keras_serializable("tf_mvae")
class BiVCCA(PresetVAE):
    """One posterior a view, each of which explains all views (Wang, Yan, Lee and Livescu, 2016).

        sum_i mu_i ( E_q(z|x_i)[ sum_j w_j log p(x_j | z) ] - kl_weight KL(q(z|x_i) || p(z)) )

    with `mu_i` the same for each view that an example has, adding up to 1 (the paper's
    mu of 0.5 for two). Nothing joins the views: given several, the posterior is the one of
    the first one, in the order of the modalities. The metrics but `loss` are those
    of the first modality's term, over the examples that have it.

    Example:

    ```python
    model = BiVCCA([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ])
    ```
    """

    min_modalities = 2
    _make_kind = FirstExpert
    _make_objective = EachExplainsAll
