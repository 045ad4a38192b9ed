"""The named inputs of an exported model, and the default values of optional ones."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae import batch
from tf_mvae.models import BaseVAE

__all__ = ["DRAWS", "Given", "mask_specs", "nothing", "optional_values", "unpack", "value_specs"]

Given = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]  # values and masks by modality

# Inputs that describe a request's random samples; a signature has some of them.
DRAWS = {
    "num_samples": tf.TensorSpec([], tf.int32, name="num_samples"),
    "seed": tf.TensorSpec([2], tf.int32, name="seed"),
    "temperature": tf.TensorSpec([], tf.float32, name="temperature"),
}


def value_specs(model: BaseVAE) -> list[tf.TensorSpec]:
    """Returns one input per modality, then one per covariate: prepared `[batch, *event_shape]`."""
    return [
        tf.TensorSpec([None, *m.likelihood.event_shape], m.likelihood.dtype, name=m.name)
        for m in model.batch_inputs
    ]


def mask_specs(model: BaseVAE) -> list[tf.TensorSpec]:
    """Returns one mask input per modality, float32: 1 where it is observed.

    Its shape is `[batch]`, for a group `[batch, member]`, and with an `element_mask` that of the
    data. Conditions and covariates have no mask, because they are required.
    """
    return [
        tf.TensorSpec([None, *m.given_mask_shape], tf.float32, name=f"{m.name}_mask")
        for m in model.modalities
        if m.name not in model.conditions
    ]


def optional_values(model: BaseVAE) -> list[str]:
    """Returns the names of modalities whose values may be omitted.

    Conditions are required. So is the only modality of a model, because its values define the batch
    size.
    """
    if len(model.modalities) == 1:
        return []
    return [m.name for m in model.modalities if m.name not in model.conditions]


def nothing(specs: list[tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Returns the default value of each omitted input: an array with 0 examples."""
    return {spec.name: tf.zeros([0, *spec.shape[1:]], spec.dtype) for spec in specs}


def unpack(model: BaseVAE, inputs: Mapping[str, tf.Tensor]) -> Given:
    """Splits a signature's inputs into values and masks, and replaces defaults.

    An array of 0 examples means that the input was omitted. A modality whose values are omitted is
    missing, whatever its mask holds; an omitted mask is 1 everywhere. A request of masks alone has
    as many examples as these.

    Args:
        model: The model.
        inputs: Values by name, and masks under `NAME_mask`. Without any mask all modalities are
            observed.

    Returns:
        Values and masks of every modality, by name.
    """
    names = [one.name for one in model.batch_inputs]
    values = {name: inputs[name] for name in names}
    masks = {name: inputs[f"{name}_mask"] for name in names if f"{name}_mask" in inputs}
    if masks:
        counts = {name: tf.shape(value)[0] for name, value in values.items()}
        size = tf.reduce_max([*counts.values(), *(tf.shape(mask)[0] for mask in masks.values())])
        for name, mask in masks.items():
            observed = _or_constant(mask, size, tf.ones([], mask.dtype)) > 0
            masks[name] = tf.cast(observed & (counts[name] > 0), mask.dtype)
        for name in optional_values(model):
            values[name] = _or_constant(values[name], size, tf.zeros([], values[name].dtype))
    return batch.unpack({"x": values, "mask": masks}, model.batch_inputs)


def _or_constant(given: tf.Tensor, size: tf.Tensor, constant: tf.Tensor) -> tf.Tensor:
    """Returns an input if it has examples, and otherwise `size` examples of a constant."""
    # No tf.cond: one of the two concatenated arrays is always empty.
    missing = tf.where(tf.shape(given)[0] > 0, 0, size)
    shape = tf.concat([[missing], tf.shape(given)[1:]], 0)
    return tf.concat([given, tf.fill(shape, constant)], axis=0)
