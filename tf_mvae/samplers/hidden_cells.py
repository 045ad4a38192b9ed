"""Hides single cells of examples in the context of a sampler."""

import math
from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.distributions import elements
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random

__all__ = ["hide_cells", "hides_cells"]


def hides_cells(model: BaseVAE) -> bool:
    """Whether a model has a modality with an `element_dropout`, whose cells are hidden."""
    return bool(_with_cells(model))


def hide_cells(
    model: BaseVAE, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], seed: tf.Tensor
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Hides random cells of each example, as training hid them from the model's encoders.

    Of each modality an example loses a fraction between 0 and `element_dropout`. One that loses all
    of its cells does not have the modality.

    Args:
        model: The trained model.
        x: Data as `tf_mvae.batch.unpack` returns them, with NaN in the gaps.
        mask: Masks of the modalities, by name.
        seed: Two integers; the same ones hide the same cells.

    Returns:
        `x` and `mask` with more gaps.
    """
    x, mask = dict(x), dict(mask)
    for place, modality in enumerate(_with_cells(model)):
        if modality.name not in x:
            continue
        value = x[modality.name]
        rows = tf.shape(value)[0]
        size = math.prod(modality.likelihood.event_shape)
        numbers = random.batch_uniform([rows, size + 1], random.fold_in(seed, place))
        share = tf.reshape(numbers[:, 0], [rows] + [1] * (value.shape.rank - 1))
        uniform = tf.reshape(numbers[:, 1:], tf.shape(value))
        kept = elements.hide(value, modality.element_dropout, uniform, share)
        there = elements.any_observed(kept)
        x[modality.name] = kept
        mask[modality.name] = mask[modality.name] * tf.cast(there, mask[modality.name].dtype)
    return x, mask


def _with_cells(model: BaseVAE) -> list[Modality]:
    return [m for m in model.modalities if m.element_mask and m.element_dropout > 0]
