"""A model's functions without random numbers, for runtimes other than TensorFlow."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.serving import inputs as named
from tf_mvae.serving.tracing import trace

__all__ = ["expected_prefix", "noise_name", "portable_functions"]


def expected_prefix(model: BaseVAE) -> str:
    """Returns the prefix of outputs' names, `expected_`.

    An input and an output of an ONNX graph cannot have the same name, so the prefix is repeated if
    a modality's own name begins with it.
    """
    prefix = "expected_"
    while any(one.name.startswith(prefix) for one in model.batch_inputs):
        prefix += "expected_"
    return prefix


def noise_name(model: BaseVAE) -> str:
    """Returns the name of the noise input: `noise`, or `latent_noise` if that is taken."""
    taken = [one.name for one in model.batch_inputs]
    return "latent_noise" if "noise" in taken else "noise"


def portable_functions(
    model: BaseVAE,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns a model's deterministic functions, by name.

    Inputs are those of `tf_mvae.serving.signatures`, and all are required. The batch size and the
    number of samples are free.

    - `encode`: `loc` and `log_variance` of the posterior, `[batch, latent]`.
    - `decode`: every modality's expected value, `expected_NAME` (`expected_prefix`), given `z`
      `[batch, latent]` and the conditions and covariates.
    - `generate`: also takes `temperature` `t` and standard normal `noise` `e` (`noise_name`)
      `[num_samples, batch, latent]` instead of a seed; returns `z = loc + t exp(log_variance / 2)
      e` and every modality's expected value, `[num_samples, batch, ...]`.

    Args:
        model: The model to export.

    Raises:
        UserError: The posterior is a mixture.
    """
    if model.posterior_kind.is_mixture:
        raise UserError(
            f"a {type(model).__name__} has a mixture as its posterior, and a mixture's sample is "
            "not a function of one normal noise; export it as saved_model or keras"
        )
    functions = _Functions(model)
    values, masks = named.value_specs(model), named.mask_specs(model)
    conditions = [spec for spec in values if spec.name in model.given_to_decoders]
    given = [*values, *masks]
    latent = tf.TensorSpec([None, model.latent_dim], name="z")
    noise = tf.TensorSpec([None, None, model.latent_dim], name=noise_name(model))
    return {
        "encode": trace(functions.encode, given),
        "decode": trace(functions.decode, [latent, *conditions]),
        "generate": trace(functions.generate, [*given, noise, named.DRAWS["temperature"]]),
    }


class _Functions:
    """The exported functions, from named tensors to named tensors."""

    def __init__(self, model: BaseVAE):
        self._model = model
        self._noise = noise_name(model)
        self._prefix = expected_prefix(model)

    def encode(self, **given: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the posterior's mean and log-variance."""
        _, loc, log_variance = self._posterior(given)
        return {"loc": loc, "log_variance": log_variance}

    def decode(self, z: tf.Tensor, **conditions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns every modality's expected value."""
        values = self._model.from_latent(z, given=conditions)
        return {self._prefix + name: value for name, value in values.items()}

    def generate(self, temperature: tf.Tensor, **given: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `z = loc + temperature * scale * noise`, and its expected values."""
        x, loc, log_variance = self._posterior(given)
        z = loc + temperature * tf.exp(log_variance / 2) * given[self._noise]
        return {"z": z, **self.decode(z, **x)}

    def _posterior(
        self, given: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Returns the values by name, and the posterior's mean and log-variance."""
        names = [modality.name for modality in self._model.modalities]
        mask = {name: given[f"{name}_mask"] for name in names if f"{name}_mask" in given}
        values = {one.name: given[one.name] for one in self._model.batch_inputs}
        x, mask = unpack({"x": values, "mask": mask}, self._model.batch_inputs)
        found = self._model._infer(x, mask)
        return x, found.mean(), found.log_variance()
