"""The signatures of an exported model: plain TensorFlow functions with named tensors."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from tf_mvae.data import contract
from tf_mvae.models import MultimodalVAE
from tf_mvae.ops import random

__all__ = ["ServedModel", "signatures"]

_COUNT = tf.TensorSpec([], tf.int32, name="num_samples")
_SEED = tf.TensorSpec([2], tf.int32, name="seed")
_TEMPERATURE = tf.TensorSpec([], tf.float32, name="temperature")


class ServedModel(tf.Module):
    """Holds the variables that the signatures read."""

    def __init__(self, model: MultimodalVAE):
        """Takes the variables of a model."""
        super().__init__()
        self.model_variables = [variable.value for variable in model.variables]


def signatures(model: MultimodalVAE) -> dict[str, Callable]:
    """Returns the functions to export, by name. The batch size is free.

    A modality is an input under its name, in its prepared type (float32, images in
    [0, 1]; int32 classes), and `NAME_mask`, float32 `[batch]`, says which examples have
    it; what stands where the mask is 0 does not matter.

    - `serving_default`: the posterior's mean `z` `[batch, latent]` and every modality's
      expected value.
    - `encode`: `loc` and `log_variance` of the posterior, `[batch, latent]`.
    - `decode`: from `z` `[batch, latent]` (and the conditions of a model that has some) to
      every modality's expected value.
    - `generate`: also takes `num_samples`, `seed` `[2]` and `temperature`; every
      modality's expected value, `[num_samples, batch, ...]`, and `z`.
    - `sample`: the same from the prior, `[num_samples, ...]`; not for a model that has
      conditions.
    - `serving_default_all_present` and `encode_all_present` take no masks.

    Args:
        model: The model to export.
    """
    values, masks = _input_specs(model)
    given = [*values, *masks]

    def complete(**inputs):
        return model(_batch(model, inputs))

    def encode(**inputs):
        batch = _batch(model, inputs)
        posterior = model.posterior(batch["x"], batch["mask"])
        return {"loc": posterior.mean(), "log_variance": 2 * tf.math.log(posterior.stddev())}

    def decode(z, **inputs):
        return model.from_latent(z, given=inputs)

    def generate(num_samples, seed, temperature, **inputs):
        batch = _batch(model, inputs)
        seed = random.split(seed, 2)[0]  # as `model.generate` does
        z = model.latent_samples(batch["x"], num_samples, batch["mask"], seed, temperature)
        return {"z": z, **model.from_latent(z, given=batch["x"])}

    def sample(num_samples, seed, temperature):
        seed = random.split(seed, 2)[0]  # as `model.sample` does
        z = temperature * random.stateless_normal([num_samples, model.latent_dim], seed)
        return {"z": z, **model.from_latent(z)}

    draw = [_COUNT, _SEED, _TEMPERATURE]
    latent = tf.TensorSpec([None, model.latent_dim], name="z")
    conditions = [spec for spec in values if spec.name in model.conditions]
    found = {
        "serving_default": _concrete(complete, given),
        "serving_default_all_present": _concrete(complete, values),
        "encode": _concrete(encode, given),
        "encode_all_present": _concrete(encode, values),
        "decode": _concrete(decode, [latent, *conditions]),
        "generate": _concrete(generate, [*given, *draw]),
    }
    if not conditions:
        found["sample"] = _concrete(sample, draw)
    return found


def _input_specs(model: MultimodalVAE) -> tuple[list[tf.TensorSpec], list[tf.TensorSpec]]:
    values = [
        tf.TensorSpec([None, *m.likelihood.event_shape], m.likelihood.dtype, name=m.name)
        for m in model.modalities
    ]
    masks = [tf.TensorSpec([None], tf.float32, name=f"{m.name}_mask") for m in model.modalities]
    return values, masks


def _batch(model: MultimodalVAE, inputs: Mapping[str, tf.Tensor]) -> dict[str, dict]:
    names = [modality.name for modality in model.modalities]
    mask = {name: inputs[f"{name}_mask"] for name in names if f"{name}_mask" in inputs}
    batch = {"x": {name: inputs[name] for name in names}, "mask": mask}
    contract.unpack(batch, model.modalities)
    return batch


def _concrete(function: Callable, specs: list[tf.TensorSpec]) -> Callable:
    """Traces a function for named inputs."""
    return tf.function(function, autograph=False).get_concrete_function(
        **{spec.name: spec for spec in specs}
    )
