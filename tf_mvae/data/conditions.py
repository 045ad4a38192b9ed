"""Parses given values on a command line: `label=7`, `image=digit.png`."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.covariate import Covariate
from tf_mvae.distributions.likelihoods import Categorical, Likelihood
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["parse_conditions"]


def parse_conditions(
    conditions: Sequence[str],
    modalities: Sequence[Modality | Covariate],
    tokenizers: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Reads conditions into one example's parts.

    Args:
        conditions: `NAME=VALUE` each: the name or the number of a class, or the path of a
            PNG file for an image (scaled to the modality's size). A member of a group stands
            under its own name: yes or no (1 or 0) of an attribute, a number of a reading.
        modalities: The model's, and its covariates.
        tokenizers: By modality, what turns a sentence into ids, as
            `tf_mvae.data.vocabulary.Vocabulary`. Nothing, as in `text=`, can be given where
            it has ids of its own, as the string of an empty canvas has.

    Returns:
        Arrays by name, `[1, *event_shape]`.

    Raises:
        UserError: A condition cannot be read.
    """
    tokenizers = tokenizers or {}
    by_name: dict[str, Any] = {m.name: m.likelihood for m in modalities if not m.mask_shape}
    for group in (m for m in modalities if m.mask_shape):
        by_name |= dict.fromkeys(group.column_names, group.likelihood.member)
    given = {}
    for condition in conditions:
        name, equals, text = condition.partition("=")
        if not equals or not (text or name in tokenizers):
            raise UserError(
                f"a condition is written NAME=VALUE, as in label=7; {condition!r} is not"
            )
        if name not in by_name:
            raise UserError(f"condition {condition!r}: the modalities are {', '.join(by_name)}")
        likelihood = by_name[name]
        if likelihood.is_categorical:
            given[name] = np.array([_class_number(condition, text, likelihood)], np.int32)
        elif likelihood.is_sequence and name in tokenizers:
            given[name] = _ids(condition, text, likelihood.length, tokenizers[name])
        elif likelihood.is_image:
            given[name] = _image(text, likelihood.event_shape)
        elif math.prod(likelihood.event_shape) == 1:
            given[name] = _number(condition, text, likelihood)
        else:
            kinds = "images, single numbers and text" if tokenizers else "images and single numbers"
            raise UserError(f"condition {condition!r}: only classes, {kinds} can be given")
    return given


def _number(condition: str, text: str, likelihood: Likelihood) -> np.ndarray:
    words = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
    known = words if likelihood.is_binary else {}
    try:
        number = known[text] if text in known else float(text)
    except ValueError:
        number = math.nan
    if not likelihood.low <= number <= likelihood.high:
        hint = " (yes or no, too)" if known else ""
        raise UserError(f"condition {condition!r} wants {likelihood.describe_range()}{hint}")
    return np.full([1, *likelihood.event_shape], number, np.float32)


def _ids(condition: str, text: str, length: int, tokenizer: Any) -> np.ndarray:
    try:
        ids, cut = tokenizer.encode([text], length)
    except UserError as error:
        raise UserError(f"condition {condition!r}: {error}") from error
    if cut:
        raise UserError(
            f"condition {condition!r} has more than the {length} symbols that the model reads"
        )
    if not np.any(ids):
        raise UserError(f"condition {condition!r} says nothing: write a sentence, or leave it out")
    return ids


def _class_number(condition: str, text: str, likelihood: Categorical) -> int:
    if text in likelihood.class_names:
        return likelihood.class_names.index(text)
    if text.isascii() and text.isdigit() and int(text) < likelihood.num_classes:
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
