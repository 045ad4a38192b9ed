"""The networks that signatures share, each traced once per export."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.models import BaseVAE
from tf_mvae.posteriors import Posterior

__all__ = ["Parts"]

Tensors = Mapping[str, tf.Tensor]


class Parts:
    """A model's networks as `tf.function`s that all signatures call.

    About ten signatures run the same networks. Each function is traced at its first call
    (`expected` again for another rank of z), and later signatures call the traced graph. Without
    this a model of many modalities would take minutes to export.

    Attributes:
        model: The model.
        infer: `q(z | x)` given values and masks.
        conditional: The distribution that latents are sampled from given values and masks: the
            sampler if the model has one, and otherwise the posterior.
        complete: `model.call`: the posterior's mean and every modality's expected value.
        expected: Every modality's expected value given z and conditions.
        log_prob: `log p(x | z)` of observed values.
    """

    def __init__(self, model: BaseVAE):
        """Wraps a model's networks; tracing happens at the first calls.

        Args:
            model: The model.
        """
        self.model = model
        self.infer = tf.function(self._infer, autograph=False)
        self.conditional = tf.function(self._conditional, autograph=False)
        self.complete = tf.function(self._complete, autograph=False)
        self.expected = tf.function(self._expected, autograph=False)
        self.log_prob = tf.function(self._log_prob, autograph=False)

    def _infer(self, x: Tensors, mask: Tensors) -> Posterior:
        """Returns the posterior, `[batch]`."""
        return self.model._infer(x, mask)

    def _conditional(self, x: Tensors, mask: Tensors) -> Posterior:
        """Returns the distribution that latents are sampled from, `[batch]`."""
        return self.model._conditional(x, mask)

    def _complete(self, x: Tensors, mask: Tensors) -> dict[str, tf.Tensor]:
        """Returns the posterior's mean and every modality's expected value."""
        return self.model.call({"x": x, "mask": mask})

    def _expected(self, z: tf.Tensor, given: Tensors) -> dict[str, tf.Tensor]:
        """Returns every modality's expected value given z, `[..., latent]`, and `conditions`."""
        return self.model.from_latent(z, given=given)

    def _log_prob(self, z: tf.Tensor, prepared: Tensors, mask: Tensors) -> tf.Tensor:
        """Returns `log p(x | z)` of the observed values of each example, `[chunk, batch]`.

        Args:
            z: `[chunk, batch, latent]`.
            prepared: Prepared data, `[batch, *event_shape]`.
            mask: Masks, `[batch]`.
        """
        total = tf.zeros(tf.shape(z)[:-1])
        for modality in self.model.targets:
            name = modality.name
            parameters = self.model.likelihood_parameters(z, [name], prepared)[name]
            total += modality.log_prob(parameters, prepared[name], mask[name])
        return total

    def conditions(self, x: Tensors) -> dict[str, tf.Tensor]:
        """Returns those values that decoders take: the conditions and covariates."""
        return {name: x[name] for name in self.model.given_to_decoders}
