"""The product of experts as a Keras layer."""

from typing import Any

import keras
import tensorflow as tf

from tf_mvae.ops import gaussian_product

__all__ = ["ProductOfExperts"]


@keras.saving.register_keras_serializable("tf_mvae")
class ProductOfExperts(keras.layers.Layer):
    """Multiplies the prior expert and the Gaussian experts that a mask leaves in.

    The layer has no weights and takes and returns tensors, so that it stands in
    functional and Sequential models; `tf_mvae.distributions.gaussian_product_of_experts`
    gives the same product as a distribution. The formula, and what keeps it finite,
    stand in `tf_mvae.ops.gaussian_product` (Wu and Goodman, NeurIPS 2018, section 2.1).

    Example:

    ```python
    loc, log_variance = ProductOfExperts()(
        tf.ones([4, 2, 8]), tf.zeros([4, 2, 8]), tf.ones([4, 2]))   # [4, 8] each
    ```
    """

    def __init__(self, use_custom_op: bool | None = None, **kwargs):
        """Creates the layer, which is built from the start: it has no weights.

        (Keras would build a model that holds an unbuilt layer once more under a
        distribution strategy, on the mean of a batch: classes are no integers then.)

        Args:
            use_custom_op: Whether the compiled op does the work; the environment variable
                TF_MVAE_CUSTOM_OPS decides if omitted.
            **kwargs: Keras' own arguments for a layer.
        """
        super().__init__(**kwargs)
        self.use_custom_op = use_custom_op
        self.built = True

    def call(
        self, loc: tf.Tensor, log_variance: tf.Tensor, expert_mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the products' `(loc, log_variance)`.

        Args:
            loc: Means of the experts, `[batch, modality, latent]`.
            log_variance: Logarithms of their variances, the same shape.
            expert_mask: `[batch, modality]`, or `[term, batch, modality]` for many subsets at
                once; all experts if omitted.
        """
        if expert_mask is None:
            expert_mask = tf.ones(tf.shape(loc)[:2], loc.dtype)
        return gaussian_product(loc, log_variance, expert_mask, self.use_custom_op)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this layer."""
        return {**super().get_config(), "use_custom_op": self.use_custom_op}

    def compute_output_shape(
        self, loc_shape: tuple, log_variance_shape: tuple = (), expert_mask_shape: tuple = ()
    ) -> tuple[tuple, tuple]:
        """Returns the two shapes that `call` gives."""
        terms = expert_mask_shape[:1] if len(expert_mask_shape or ()) == 3 else ()
        shape = (*terms, loc_shape[0], loc_shape[2])
        return shape, shape
