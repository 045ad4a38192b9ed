"""Reading what is given from a command line: `label=7`, `image=digit.png`."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["parse_conditions"]


def parse_conditions(
    conditions: Sequence[str], modalities: Sequence[Modality]
) -> dict[str, np.ndarray]:
    """Reads conditions into one example's parts.

    Args:
        conditions: `NAME=VALUE` each: the name or the number of a class, or the path of a
            PNG file for an image (scaled to the modality's size).
        modalities: The model's.

    Returns:
        Arrays by name, `[1, *event_shape]`.

    Raises:
        UserError: A condition cannot be read.
    """
    by_name = {modality.name: modality for modality in modalities}
    given = {}
    for condition in conditions:
        name, equals, text = condition.partition("=")
        if not equals or not text:
            raise UserError(
                f"a condition is written NAME=VALUE, as in label=7; {condition!r} is not"
            )
        if name not in by_name:
            raise UserError(f"condition {condition!r}: the modalities are {', '.join(by_name)}")
        likelihood = by_name[name].likelihood
        if isinstance(likelihood, Categorical):
            given[name] = np.array([_class_number(condition, text, likelihood)], np.int32)
        elif likelihood.is_image:
            given[name] = _image(text, likelihood.event_shape)
        else:
            raise UserError(f"condition {condition!r}: only classes and images can be given here")
    return given


def _class_number(condition: str, text: str, likelihood: Categorical) -> int:
    if text in likelihood.class_names:
        return likelihood.class_names.index(text)
    if text.isdigit() and int(text) < likelihood.num_classes:
        return int(text)
    names = ", ".join(likelihood.class_names)
    raise UserError(f"condition {condition!r}: the classes are {names}")


def _image(path: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        data = pathlib.Path(path).expanduser().read_bytes()
        image = tf.io.decode_png(data, channels=shape[-1])
    except OSError as error:
        raise UserError(f"image {path} cannot be read: {error.strerror}") from error
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"image {path} is no PNG file") from error
    resized = tf.image.resize(tf.cast(image, tf.float32) / 255, shape[:2], antialias=True)
    return np.clip(resized.numpy(), 0, 1)[np.newaxis]
