"""The signatures of an exported model: TensorFlow functions from named tensors to named tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.serving import inputs as named
from tf_mvae.serving.imputation import can_impute, quantiles_name, quantiles_spec
from tf_mvae.serving.imputation import impute as fill
from tf_mvae.serving.log_likelihood import log_likelihood as estimate
from tf_mvae.serving.parts import Parts
from tf_mvae.serving.tracing import trace

__all__ = ["ALL_PRESENT", "ServedModel", "signatures"]

ALL_PRESENT = "_all_present"

Function = tf.types.experimental.PolymorphicFunction
Tensors = dict[str, tf.Tensor]

# Defaults of the inputs that describe random samples.
_DRAW = {"num_samples": 1, "seed": [0, 0], "temperature": 1.0}
_LIKELIHOOD_DRAW = {"num_samples": 1000, "seed": [0, 0]}
_IMPUTATION_DRAW = {"num_samples": 100, "seed": [0, 0]}
_QUANTILES = [0.05, 0.5, 0.95]


class ServedModel(tf.Module):
    """The object to save: it tracks the variables that the signatures read."""

    def __init__(self, model: BaseVAE):
        """Tracks the variables of a model."""
        super().__init__()
        self.model_variables = [variable.value for variable in model.variables]


def signatures(model: BaseVAE) -> dict[str, Function]:
    """Returns the functions to export, by name. The batch size is free.

    A modality is an input under its name, with its prepared type (float32, images in [0, 1]; int32
    for classes). Its mask `NAME_mask`, float32 `[batch]`, is 1 for examples in which it is
    observed; a group's is `[batch, member]`, and with an `element_mask` it has the shape of the
    data. Values whose mask is 0 have no effect. Conditions and covariates have no mask: they are
    required.

    - `serving_default`: the posterior's mean `z` `[batch, latent]` and every modality's
      expected value.
    - `encode`: `loc` and `log_variance` of the posterior, `[batch, latent]`.
    - `decode`: every modality's expected value given `z` `[batch, latent]`, and the conditions and
      covariates if the model has any.
    - `generate`: also takes `num_samples`, `seed` `[2]` and `temperature`; returns `z` and every
      modality's expected value, `[num_samples, batch, ...]`.
    - `sample`: the same for `z` from the prior, `[num_samples, ...]`; models with conditions or
      covariates do not have it.
    - `log_likelihood`: also takes `num_samples` and `seed`; returns the importance-sampled
      `log_likelihood` of the observed values of each example (given the conditions and covariates,
      if any) in nats, its `standard_error` and the `effective_sample_size`, `[batch]`.
    - `impute`: also takes `num_samples`, `seed` and `quantiles` `[3]` (`quantiles_name`); returns
      missing values filled in, with standard deviations, quantiles and probabilities of classes
      (`tf_mvae.serving.imputation`). Models of sequences, and of likelihoods that cannot be
      sampled, do not have it.

    If the model has a sampler, `generate`, `sample` and `impute` sample z from it,
    `serving_default` returns missing modalities as means over its samples (`GenerativeModel.call`),
    and half of the samples of `log_likelihood` are from it if its density is fast.

    Each signature with masks, except `impute`, has a variant without masks, `NAME_all_present`.

    Inputs have defaults, in `SignatureDef.defaults` and as placeholders with defaults in the graph,
    which `saved_model_cli` and the C API use. With such a runtime these inputs may be omitted: a
    modality, which is then missing; a mask, which is then 1 if the values are given; `num_samples`
    (default: 1; 1000 for `log_likelihood`, 100 for `impute`), `quantiles` (0.05, 0.5, 0.95), `seed`
    (0, 0) and `temperature` (1).

    Args:
        model: The model to export.
    """
    functions = _Functions(model)
    latent = tf.TensorSpec([None, model.latent_dim], name="z")
    values = named.value_specs(model)
    conditions = [spec for spec in values if spec.name in model.given_to_decoders]
    found = {
        "decode": trace(functions.decode, [latent, *conditions]),
        **_of_examples(model, functions.serving_default),
        **_of_examples(model, functions.encode),
        **_of_examples(model, functions.generate, _DRAW),
        **_of_examples(model, functions.log_likelihood, _LIKELIHOOD_DRAW),
    }
    if can_impute(model):
        wanted = {quantiles_spec(model): tf.constant(_QUANTILES)}
        found |= _of_examples(model, functions.impute, _IMPUTATION_DRAW, wanted)
        del found["impute" + ALL_PRESENT]  # nothing is missing there
    if not conditions:
        found["sample"] = trace(functions.sample, *_draws(_DRAW))
    return found


class _Functions:
    """The signatures' functions, from named tensors to named tensors; see `signatures`."""

    def __init__(self, model: BaseVAE):
        self._model = model
        self._parts = Parts(model)

    def serving_default(self, **given: tf.Tensor) -> Tensors:
        """Returns the posterior's mean and every modality's expected value."""
        x, mask = named.unpack(self._model, given)
        if self._model.sampler is not None:
            return self._parts.complete(x, mask)
        return self._with_expected(self._parts.infer(x, mask).mean(), x)

    def encode(self, **given: tf.Tensor) -> Tensors:
        """Returns the posterior's mean and log-variance."""
        posterior = self._parts.infer(*named.unpack(self._model, given))
        return {"loc": posterior.mean(), "log_variance": posterior.log_variance()}

    def decode(self, z: tf.Tensor, **conditions: tf.Tensor) -> Tensors:
        """Returns every modality's expected value."""
        return self._parts.expected(z, conditions)

    def generate(
        self, num_samples: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, **given: tf.Tensor
    ) -> Tensors:
        """Returns samples of z given the observed modalities, and their expected values."""
        x, mask = named.unpack(self._model, given)
        posterior = self._parts.conditional(x, mask)
        # The same split as in the model's own `generate`, whose second seed samples values.
        model, seed = self._model, random.split(seed, 2)[0]
        guidance = model._guidance(None)
        z = model._guided(posterior, x, mask, num_samples, seed, temperature, guidance)
        return self._with_expected(z, x)

    def sample(self, num_samples: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> Tensors:
        """Returns samples of z given no modality, and their expected values."""
        z = self._model._drawn_from_nothing(num_samples, random.split(seed, 2)[0], temperature)
        return self._with_expected(z, {})

    def log_likelihood(
        self, num_samples: tf.Tensor, seed: tf.Tensor, **given: tf.Tensor
    ) -> Tensors:
        """Returns an importance-sampled estimate of each example's log-likelihood."""
        return estimate(self._parts, *named.unpack(self._model, given), num_samples, seed)

    def impute(self, num_samples: tf.Tensor, seed: tf.Tensor, **given: tf.Tensor) -> Tensors:
        """Returns missing values filled in, with deviations, quantiles and probabilities."""
        quantiles = given.pop(quantiles_name(self._model))
        x, mask = named.unpack(self._model, given)
        return fill(self._parts, x, mask, num_samples, quantiles, seed)

    def _with_expected(self, z: tf.Tensor, x: Mapping[str, tf.Tensor]) -> Tensors:
        """Returns `z` and every modality's expected value given it and the conditions in `x`."""
        return {"z": z, **self._parts.expected(z, self._parts.conditions(x))}


def _of_examples(
    model: BaseVAE,
    function: Callable[..., Tensors],
    draw: Mapping[str, Any] | None = None,
    more: Mapping[tf.TensorSpec, tf.Tensor] | None = None,
) -> dict[str, Function]:
    """Returns a function as two signatures: with masks, and for examples with all modalities.

    Args:
        model: The model.
        function: A method of `_Functions`; its name is the signature's.
        draw: Defaults of the function's inputs that describe samples, by name.
        more: Its other inputs, with their defaults.
    """
    values, masks = named.value_specs(model), named.mask_specs(model)
    optional = named.optional_values(model)
    absent = named.nothing([spec for spec in values if spec.name in optional] + masks)
    drawn, defaults = _draws(draw or {})
    for spec, value in (more or {}).items():
        drawn, defaults = [*drawn, spec], {**defaults, spec.name: value}
    name = function.__name__
    return {
        name: trace(function, [*values, *masks, *drawn], {**absent, **defaults}),
        name + ALL_PRESENT: trace(function, [*values, *drawn], defaults),
    }


def _draws(draw: Mapping[str, Any]) -> tuple[list[tf.TensorSpec], Tensors]:
    """Returns the inputs that describe random samples, and their defaults by name."""
    specs = [named.DRAWS[name] for name in draw]
    return specs, {spec.name: tf.constant(draw[spec.name], spec.dtype) for spec in specs}
