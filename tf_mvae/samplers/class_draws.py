"""Samples missing classes of an example from the decoder's probabilities given its latent."""

from collections.abc import Mapping

import tensorflow as tf

from tf_mvae.batch import present_mask
from tf_mvae.models import BaseVAE

__all__ = ["draw_classes"]


def draw_classes(
    model: BaseVAE,
    x: Mapping[str, tf.Tensor],
    mask: Mapping[str, tf.Tensor],
    z: tf.Tensor,
    seed: tf.Tensor,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], tf.Tensor]:
    """Completes examples by `class ~ p(class | z)`, so that they teach `p(z | class)`.

    In weakly supervised data few examples have a label. A density of z given the label, fitted to
    these alone, would cover only a few images per class. So the missing labels of the other images
    are sampled from the joint model's `p(class | z)`, in the right proportions.

    Examples that contain only classes are not used: the sampler would learn to imitate their `q(z |
    class)`. Nor are those that contain nothing: it would learn to imitate the prior.

    Args:
        model: The trained model.
        x: Its modalities and covariates by name, `[batch, *event_shape]`.
        mask: 1 where an example has one, by name.
        z: Latents of the examples, `[batch, latent]`.
        seed: Two integers.

    Returns:
        `x` and masks with the classes, and what each example counts, 0 or 1, `[batch]`.
    """
    classes = [m for m in model.targets if m.likelihood.is_categorical and m.name in x]
    others = [m for m in model.modalities if m not in classes]
    needed = others or model.modalities  # a model of classes alone learns from these
    there = {m.name: mask[m.name] for m in needed if m.name in mask}
    counts = tf.cast(tf.reduce_any(present_mask(there, needed) > 0, axis=1), tf.float32)
    if not classes or not others:
        return dict(x), dict(mask), counts
    missing = {m.name: (mask[m.name] <= 0) & (counts > 0) for m in classes}

    def completed():
        drawn = model._drawn_values(z, list(missing), seed, x)
        return {
            name: tf.where(gaps, tf.cast(drawn[name], x[name].dtype), x[name])
            for name, gaps in missing.items()
        }

    # Complete batches, the usual case, decode nothing.
    some = tf.reduce_any([tf.reduce_any(gaps) for gaps in missing.values()])
    values = tf.cond(some, completed, lambda: {name: tf.identity(x[name]) for name in missing})
    masks = {name: tf.where(gaps, 1.0, mask[name]) for name, gaps in missing.items()}
    return {**x, **values}, {**mask, **masks}, counts
