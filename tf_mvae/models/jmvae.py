"""The joint multimodal VAE of Suzuki, Nakayama and Matsuo."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import unpack
from tf_mvae.distributions.product_of_experts import gaussian_kl
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.modality import Modality
from tf_mvae.models.elbo import Elbo, PosteriorTerms
from tf_mvae.models.joint import JointPosteriorVAE

__all__ = ["JMVAE"]


@keras.saving.register_keras_serializable("tf_mvae")
class JMVAE(JointPosteriorVAE):
    """A joint posterior, and posteriors of single modalities that follow it.

        ELBO(X) - alpha * sum_i KL( q(z | X) || q(z | x_i) )

    (JMVAE-kl of Suzuki, Nakayama and Matsuo, *Joint multimodal learning with deep
    generative models*, ICLR workshop 2017, equation 7.) It learns from complete examples
    only; others count for nothing. `JointPosteriorVAE` says which posterior stands for
    which subset.

    Example:

    ```python
    model = JMVAE([
        Modality("image", likelihoods.Bernoulli([28, 28, 1])),
        Modality("label", likelihoods.Categorical(10)),
    ], alpha=0.1)
    ```
    """

    learns_from_incomplete = False

    def __init__(
        self, modalities: Sequence[Modality], latent_dim: int = 64, alpha: float = 0.1, **kwargs
    ):
        """Creates the model and all its weights.

        Args:
            modalities: Two or more.
            latent_dim: Size of the latent.
            alpha: Weight of the divergences from the single modalities' posteriors.
            **kwargs: Those of `JointPosteriorVAE` and `MultimodalVAE`.

        Raises:
            ValueError: There is one modality only, or alpha is negative.
        """
        alpha = checks.non_negative("alpha", alpha)
        super().__init__(modalities, latent_dim, **kwargs)
        self.alpha = alpha

    def elbo(
        self,
        batch: Any,
        kl_weight: tf.Tensor | float = 1.0,
        num_samples: int | None = None,
        seed: int | Sequence[int] | tf.Tensor | None = None,
        training: bool = False,
    ) -> Elbo:
        """See `MultimodalVAE.elbo`; there is one term, less the weighted divergences."""
        result = super().elbo(batch, kl_weight, num_samples, seed, training)
        x, _ = unpack(batch, self.modalities)
        complete = dict.fromkeys(self._names, result.valid[0])
        joint = (result.loc[0][:, tf.newaxis], result.log_variance[0][:, tf.newaxis])
        with layer_seeds(self._layer_seed(self._seed(seed))):
            experts = self._encode(x, complete, training)
        divergences = gaussian_kl(*joint, *experts)
        follow = tf.reduce_sum(divergences, axis=1)
        return result._replace(elbo=result.elbo - self.alpha * follow)

    def _terms(self, x, mask, present, seed, training):
        loc, log_variance = self._encode_jointly(x, mask, training)
        complete = tf.reduce_prod(present, axis=1)
        return PosteriorTerms(
            (present * complete[:, tf.newaxis])[tf.newaxis],
            complete[tf.newaxis],
            loc[tf.newaxis],
            log_variance[tf.newaxis],
            dict.fromkeys(self._names, [0]),
            dict.fromkeys(self._names, 0.0),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        return {**super().get_config(), "alpha": self.alpha}
