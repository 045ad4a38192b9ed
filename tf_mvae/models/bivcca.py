"""Bi-directional variational canonical correlation analysis."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_mvae.batch import present_mask
from tf_mvae.modality import Modality
from tf_mvae.models.arguments import check_modalities
from tf_mvae.models.base import MultimodalVAE
from tf_mvae.models.elbo import PosteriorTerms

__all__ = ["BiVCCA"]


@keras.saving.register_keras_serializable("tf_mvae")
class BiVCCA(MultimodalVAE):
    """One posterior a view, each of which explains all views (Wang, Yan, Lee and Livescu, 2016).

        sum_i mu_i ( E_q(z|x_i)[ sum_j w_j log p(x_j | z) ] - kl_weight KL(q(z|x_i) || p(z)) )

    with `mu_i` the same for each view that an example has, adding up to 1 (the paper's
    mu of 0.5 for two). Nothing joins the views: given several, the posterior is that of
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

    def __init__(self, modalities: Sequence[Modality], latent_dim: int = 64, **kwargs):
        """Creates the model and all its weights.

        Args:
            modalities: Two or more.
            latent_dim: Size of the latent.
            **kwargs: Those of `MultimodalVAE`: `kl_weight`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: There is one modality only.
        """
        check_modalities(modalities)
        if len(modalities) < 2:
            raise ValueError("BiVCCA needs two modalities or more")
        super().__init__(modalities, latent_dim, **kwargs)

    def _terms(self, x, mask, present, seed, training):
        number = len(self.modalities)
        alone = tf.eye(number)[:, tf.newaxis, :] * present
        share = tf.math.divide_no_nan(present, tf.reduce_sum(present, axis=1, keepdims=True))
        there = present[:, :, tf.newaxis]
        loc, log_variance = (
            tf.transpose(parameter * there, [1, 0, 2])
            for parameter in self._encode(x, mask, training)
        )
        return PosteriorTerms(
            alone,
            tf.transpose(share),
            loc,
            log_variance,
            dict.fromkeys(self._names, list(range(number))),
            {m.name: m.likelihood_weight for m in self.modalities},
        )

    def _infer(self, x, mask, training=False):
        loc, log_variance = self._encode(x, mask, training)
        present = present_mask(mask, self.modalities)
        before = tf.cumsum(present, axis=1, exclusive=True)  # LiteRT has no cumulative product
        first = present * tf.cast(before < 1, present.dtype)
        choose = first[:, :, tf.newaxis]
        return tf.reduce_sum(loc * choose, axis=1), tf.reduce_sum(log_variance * choose, axis=1)
