"""The MVAE whose experts are posteriors, divided by the prior."""

import keras

from tf_mvae.models.mvae import MVAE, MVAE_SETTINGS
from tf_mvae.models.registry import preset
from tf_mvae.posteriors import Quotient

__all__ = ["MVAEQ"]


@preset("mvae_q", *MVAE_SETTINGS)
@keras.saving.register_keras_serializable("tf_mvae")
class MVAEQ(MVAE):
    """The MVAE-Q of Wu and Goodman (NeurIPS 2018, section 2.1): a quotient of posteriors.

        q(z | S) ∝ prod_{i in S} q(z | x_i) / p(z)^(|S| - 1)

    `tf_mvae.posteriors.Quotient` says how it stays a distribution. The objective, and what it
    can do, are those of `MVAE`.

    Example:

    ```python
    model = MVAEQ([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ])
    ```
    """

    _make_kind = Quotient
