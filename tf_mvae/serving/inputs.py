"""The named inputs of an exported model, and what stands for those that are omitted."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae import batch
from tf_mvae.models import BaseVAE

__all__ = ["DRAWS", "Given", "mask_specs", "nothing", "optional_values", "unpack", "value_specs"]

Given = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]

DRAWS = {
    "num_samples": tf.TensorSpec([], tf.int32, name="num_samples"),
    "seed": tf.TensorSpec([2], tf.int32, name="seed"),
    "temperature": tf.TensorSpec([], tf.float32, name="temperature"),
}


def value_specs(model: BaseVAE) -> list[tf.TensorSpec]:
    """Returns a modality's values as an input each, `[batch, *event_shape]`, prepared.

    Covariates are behind them.
    """
    return [
        tf.TensorSpec([None, *m.likelihood.event_shape], m.likelihood.dtype, name=m.name)
        for m in model.batch_inputs
    ]


def mask_specs(model: BaseVAE) -> list[tf.TensorSpec]:
    """Returns the masks, `[batch]`, a group's `[batch, member]`, one of elements like its data.

    Conditions and covariates have none, since they have to be given.
    """
    return [
        tf.TensorSpec([None, *m.given_mask_shape], tf.float32, name=f"{m.name}_mask")
        for m in model.modalities
        if m.name not in model.conditions
    ]


def optional_values(model: BaseVAE) -> list[str]:
    """Returns names of modalities whose values may be omitted.

    Not a condition, and not the only modality: something has to say how many examples
    there are.
    """
    if len(model.modalities) == 1:
        return []
    return [m.name for m in model.modalities if m.name not in model.conditions]


def nothing(specs: list[tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Returns what stands for an input that is omitted: an array of no examples."""
    return {spec.name: tf.zeros([0, *spec.shape[1:]], spec.dtype) for spec in specs}


def unpack(model: BaseVAE, inputs: Mapping[str, tf.Tensor]) -> Given:
    """Takes the inputs apart, and fills in what was omitted.

    A modality of no examples is absent from every example; a mask of no examples says
    that every example has the modality if its values are given, and none otherwise.

    Args:
        model: The model.
        inputs: Values by name, and masks under `NAME_mask` or not at all: everything is
            present then.

    Returns:
        Values and masks of every modality, by name.
    """
    names = [one.name for one in model.batch_inputs]
    values = {name: inputs[name] for name in names}
    masks = {name: inputs[f"{name}_mask"] for name in names if f"{name}_mask" in inputs}
    if masks:
        counts = {name: tf.shape(value)[0] for name, value in values.items()}
        size = tf.reduce_max(list(counts.values()))
        for name, mask in masks.items():
            masks[name] = _or_constant(mask, size, tf.cast(counts[name] > 0, mask.dtype))
        for name in optional_values(model):
            values[name] = _or_constant(values[name], size, tf.zeros([], values[name].dtype))
    return batch.unpack({"x": values, "mask": masks}, model.batch_inputs)


def _or_constant(given: tf.Tensor, size: tf.Tensor, constant: tf.Tensor) -> tf.Tensor:
    """Returns an input if it holds examples, and otherwise `size` examples of a constant."""
    missing = tf.where(tf.shape(given)[0] > 0, 0, size)
    shape = tf.concat([[missing], tf.shape(given)[1:]], 0)
    return tf.concat([given, tf.fill(shape, constant)], axis=0)
