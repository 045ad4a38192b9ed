"""The multi-view total correlation autoencoder of Hwang et al."""

import keras

from tf_mvae.models.preset_model import PresetVAE
from tf_mvae.models.registry import preset
from tf_mvae.objectives import TotalCorrelation
from tf_mvae.objectives.joint_elbo import CORRELATION_ALPHA
from tf_mvae.posteriors import Product

__all__ = ["MVTCAE"]


@preset("mvtcae", CORRELATION_ALPHA)
@keras.saving.register_keras_serializable("tf_mvae")
class MVTCAE(PresetVAE):
    """A product of experts whose factors follow it, by a bound on total correlation.

        (N - alpha)/N sum_i E_q(z|X)[ log p(x_i | z) ]
            - beta [ (1 - alpha) KL(q(z | X) || p(z)) + alpha/N sum_i KL(q(z | X) || q(z | x_i)) ]

    (Hwang, Kim, Hong and Kim, *Multi-view representation learning via total correlation
    objective*, NeurIPS 2021, equation 11), with N modalities, sums over the observed ones, alpha in
    [0, 1] (0.9 if omitted), and beta the model's `kl_weight`. The product has no prior expert.

    Example:

    ```python
    model = MVTCAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], alpha=0.9, kl_weight=2.5)
    ```
    """

    _make_kind = staticmethod(lambda: Product(prior_expert=False))
    _make_objective = TotalCorrelation
