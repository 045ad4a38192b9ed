"""The parts that signatures are put together from, each traced once."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.models import BaseVAE
from tf_mvae.posteriors import Posterior

__all__ = ["Parts"]

Tensors = Mapping[str, tf.Tensor]


class Parts:
    """A model's networks as functions of a graph.

    Ten signatures run the same networks. Each function here is traced when it is first
    called (`expected` once more for another rank of z), and all signatures call that graph:
    a model of many modalities would otherwise take minutes to export.
    """

    def __init__(self, model: BaseVAE):
        """Takes a model; nothing is traced yet.

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
        """Returns what latents are drawn from, `[batch]`."""
        return self.model._conditional(x, mask)

    def _complete(self, x: Tensors, mask: Tensors) -> dict[str, tf.Tensor]:
        """Returns the posterior's mean and every modality's expected value."""
        return self.model.call({"x": x, "mask": mask})

    def _expected(self, z: tf.Tensor, given: Tensors) -> dict[str, tf.Tensor]:
        """Returns every modality's expected value given z, `[..., latent]`, and `conditions`."""
        return self.model.from_latent(z, given=given)

    def _log_prob(self, z: tf.Tensor, prepared: Tensors, mask: Tensors) -> tf.Tensor:
        """Returns `log p(x | z)` of what each example has, `[chunk, batch]`.

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
        """Returns the conditions and covariates among some values."""
        return {name: x[name] for name in self.model.given_to_decoders}
