"""The signatures of an exported model: plain TensorFlow functions with named tensors."""

import tensorflow as tf

from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.serving import inputs as named
from tf_mvae.serving.log_likelihood import log_likelihood as estimate
from tf_mvae.serving.parts import Parts
from tf_mvae.serving.tracing import trace

__all__ = ["ALL_PRESENT", "ServedModel", "signatures"]

ALL_PRESENT = "_all_present"

_LIKELIHOOD_SAMPLES = 1000


class ServedModel(tf.Module):
    """Holds the variables that the signatures read."""

    def __init__(self, model: BaseVAE):
        """Takes the variables of a model."""
        super().__init__()
        self.model_variables = [variable.value for variable in model.variables]


def signatures(
    model: BaseVAE,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns the functions to export, by name. The batch size is free.

    A modality is an input under its name, in its prepared type (float32, images in
    [0, 1]; int32 classes), and `NAME_mask`, float32 `[batch]`, says which examples have
    it (of a group `[batch, member]`, which members; of a modality with an `element_mask`, which
    elements, in the shape of its data); what stands where the mask is 0 does not
    matter. The conditions and covariates of a model that has some have no mask: they have to be
    given.

    - `serving_default`: the posterior's mean `z` `[batch, latent]` and every modality's
      expected value.
    - `encode`: `loc` and `log_variance` of the posterior, `[batch, latent]`.
    - `decode`: from `z` `[batch, latent]` (and the conditions and covariates of a model that has
      some) to every modality's expected value.
    - `generate`: also takes `num_samples`, `seed` `[2]` and `temperature`; every
      modality's expected value, `[num_samples, batch, ...]`, and `z`.
    - `sample`: the same from nothing, `[num_samples, ...]`; not for a model that has
      conditions or covariates.
    - `log_likelihood`: also takes `num_samples` and `seed`; the importance-sampled
      `log_likelihood` of what each example has (given the conditions and covariates of a
      model that has some), its `standard_error` and the `effective_sample_size`, `[batch]`.

    If the model has a sampler, `generate` and `sample` draw z from it, `serving_default` gives
    what is missing as the mean over samples of it (`GenerativeModel.call`), and it proposes half
    of the draws of `log_likelihood`.

    Each that takes masks has a sister without, `NAME_all_present`.

    Where a runtime fills in the defaults that a signature holds (`SignatureDef.defaults`,
    and placeholders with these defaults in the graph, which serve `saved_model_cli` and
    the C API), these inputs may be left out: a modality, which is absent then; a mask, with
    which every example has the modality if its values are given; `num_samples` (1, and 1000
    for `log_likelihood`), `seed` (0, 0) and `temperature` (1).

    Args:
        model: The model to export.
    """
    values, masks = named.value_specs(model), named.mask_specs(model)
    conditions = [spec for spec in values if spec.name in model.given_to_decoders]
    count, seed_spec, temperature_spec = named.DRAWS.values()
    latent = tf.TensorSpec([None, model.latent_dim], name="z")

    parts = Parts(model)

    def serving_default(**given):
        x, mask = named.unpack(model, given)
        if model.sampler is not None:
            return parts.complete(x, mask)
        z = parts.infer(x, mask).mean()
        return {"z": z, **parts.expected(z, parts.conditions(x))}

    def encode(**given):
        posterior = parts.infer(*named.unpack(model, given))
        return {"loc": posterior.mean(), "log_variance": posterior.log_variance()}

    def decode(z, **given):
        return parts.expected(z, given)

    def generate(num_samples, seed, temperature, **given):
        x, mask = named.unpack(model, given)
        posterior = parts.conditional(x, mask)
        z = posterior.sample(num_samples, random.split(seed, 2)[0], temperature)
        z = tf.ensure_shape(z, [None, None, model.latent_dim])
        return {"z": z, **parts.expected(z, parts.conditions(x))}

    def sample(num_samples, seed, temperature):
        z = model._drawn_from_nothing(num_samples, random.split(seed, 2)[0], temperature)
        return {"z": z, **parts.expected(z, {})}

    def log_likelihood(num_samples, seed, **given):
        return estimate(parts, *named.unpack(model, given), num_samples, seed)

    draw = {count: 1, seed_spec: [0, 0], temperature_spec: 1.0}
    draw_many = {count: _LIKELIHOOD_SAMPLES, seed_spec: [0, 0]}
    optional = named.optional_values(model)
    absent = named.nothing([spec for spec in values if spec.name in optional] + masks)
    found = {"decode": trace(decode, [latent, *conditions])}
    for function, drawn in (
        (serving_default, {}),
        (encode, {}),
        (generate, draw),
        (log_likelihood, draw_many),
    ):
        name = function.__name__
        defaults = {spec.name: tf.constant(value, spec.dtype) for spec, value in drawn.items()}
        found[name] = trace(function, [*values, *masks, *drawn], {**absent, **defaults})
        found[name + ALL_PRESENT] = trace(function, [*values, *drawn], defaults)
    if not conditions:
        defaults = {spec.name: tf.constant(value, spec.dtype) for spec, value in draw.items()}
        found["sample"] = trace(sample, list(draw), defaults)
    return found
