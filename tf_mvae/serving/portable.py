"""What other runtimes than TensorFlow can run of a model: graphs without random numbers."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.models import BaseVAE
from tf_mvae.serving import inputs as named
from tf_mvae.serving.tracing import trace

__all__ = ["expected_prefix", "noise_name", "portable_functions"]


def expected_prefix(model: BaseVAE) -> str:
    """Returns what outputs have in front of a modality's name: `expected_`.

    An input and an output of one ONNX graph cannot have one name, so it is repeated if a modality's
    own name begins with it.
    """
    prefix = "expected_"
    while any(one.name.startswith(prefix) for one in model.batch_inputs):
        prefix += "expected_"
    return prefix


def noise_name(model: BaseVAE) -> str:
    """Returns the name of the input of random numbers: `noise`, if no modality has that name."""
    taken = [one.name for one in model.batch_inputs]
    return "latent_noise" if "noise" in taken else "noise"


def portable_functions(
    model: BaseVAE,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns a model's deterministic functions, by name.

    Inputs are those of `tf_mvae.serving.signatures`, and none may be omitted. The batch
    size is free, and so is the number of samples.

    - `encode`: `loc` and `log_variance` of the posterior, `[batch, latent]`.
    - `decode`: from `z` `[batch, latent]` (and conditions and covariates) to every modality's
      expected value, `expected_NAME` (`expected_prefix`).
    - `generate`: takes `noise` (`noise_name`), standard normal numbers
      `[num_samples, batch, latent]`, in place of a seed, and `temperature`; `z` and every
      modality's expected value, `[num_samples, batch, ...]`.

    Args:
        model: The model to export.

    Raises:
        UserError: The posterior is a mixture.
    """
    if model.posterior_kind.is_mixture:
        raise UserError(
            f"a {type(model).__name__} has a mixture as its posterior, of which one noise cannot "
            "be made a sample; export it as saved_model or keras"
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
    """What a model computes without random numbers, from named tensors to named tensors."""

    def __init__(self, model: BaseVAE):
        self._model = model
        self._noise = noise_name(model)
        self._prefix = expected_prefix(model)

    def encode(self, **given: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the posterior's two parameters."""
        _, loc, log_variance = self._posterior(given)
        return {"loc": loc, "log_variance": log_variance}

    def decode(self, z: tf.Tensor, **conditions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns every modality's expected value."""
        values = self._model.from_latent(z, given=conditions)
        return {self._prefix + name: value for name, value in values.items()}

    def generate(self, temperature: tf.Tensor, **given: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns latents made of noise, and what is expected of each."""
        x, loc, log_variance = self._posterior(given)
        z = loc + temperature * tf.exp(log_variance / 2) * given[self._noise]
        return {"z": z, **self.decode(z, **x)}

    def _posterior(
        self, given: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Returns the examples and their posterior's parameters."""
        names = [modality.name for modality in self._model.modalities]
        mask = {name: given[f"{name}_mask"] for name in names if f"{name}_mask" in given}
        values = {one.name: given[one.name] for one in self._model.batch_inputs}
        x, mask = unpack({"x": values, "mask": mask}, self._model.batch_inputs)
        found = self._model._infer(x, mask)
        return x, found.mean(), found.log_variance()
