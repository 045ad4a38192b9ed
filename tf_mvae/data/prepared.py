"""Finds prepared TFDS data; errors say how to prepare missing ones."""

import contextlib
import pathlib
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError

__all__ = [
    "chosen_builder",
    "directory_builder",
    "embedded_builder",
    "image_and_label",
    "prepared_builder",
    "read",
    "usual_splits",
]


def prepared_builder(name: str, data_dir: str | None = None) -> tfds.core.DatasetBuilder:
    """Returns the builder of a prepared data set on disk; nothing is downloaded.

    Args:
        name: TFDS's name of the data set.
        data_dir: Where TFDS keeps data; its own default if omitted.

    Raises:
        UserError: It is missing.
    """
    _check_directory(data_dir)
    place = str(pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser())
    try:
        with _without_warnings():
            builder = tfds.builder(name, data_dir=place, try_gcs=False)
            prepared = builder.is_prepared()
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError, OSError) as error:
        raise UserError(f"data set {name!r} in {place} cannot be read: {error}") from error
    if not prepared:
        build = shlex.join(["tfds", "build", name, f"--data_dir={place}"])
        raise UserError(
            f"data set {name!r} is not prepared in {place}: run `{build}` (needs a "
            "network), give --data_dir of a prepared copy, or take --experiment=digits, which "
            "needs neither"
        )
    return builder


def _check_directory(data_dir: str | None) -> None:
    """Raises `UserError` if a data directory is given and does not exist: it may be a typo."""
    if data_dir is not None and not pathlib.Path(data_dir).expanduser().is_dir():
        raise UserError(f"--data_dir={data_dir} is no directory; correct it, or make the directory")


def chosen_builder(
    name: str, data_dir: str | None = None, dataset_dir: str | None = None
) -> tfds.core.DatasetBuilder:
    """Returns the builder of a user's own directory if one is given, or of a stock data set.

    Args:
        name: See `prepared_builder`.
        data_dir: See `prepared_builder`.
        dataset_dir: See `directory_builder`; the stock data set if omitted.

    Raises:
        UserError: It is missing, or cannot be read.
    """
    return directory_builder(dataset_dir) if dataset_dir else prepared_builder(name, data_dir)


def directory_builder(directory: str) -> tfds.core.DatasetBuilder:
    """Returns the builder of a prepared data set in its own directory.

    Args:
        directory: The directory with TFDS's `dataset_info.json`, usually `.../NAME/VERSION`.

    Raises:
        UserError: It is missing, or cannot be read.
    """
    path = pathlib.Path(directory).expanduser()
    if not (path / "dataset_info.json").is_file():
        raise UserError(
            f"--dataset_dir={directory} holds no prepared data set: it has no dataset_info.json "
            "(it is a directory such as DIR/celeb_a/2.1.0)"
        )
    try:
        with _without_warnings():
            return tfds.builder_from_directory(str(path))
    except (AssertionError, ValueError, OSError) as error:
        raise UserError(f"--dataset_dir={directory} cannot be read: {error}") from error


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppresses warnings of TFDS for which this module has its own messages."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def embedded_builder(
    builder_class: type[tfds.core.DatasetBuilder], data_dir: str | None = None, **kwargs
) -> tfds.core.DatasetBuilder:
    """Returns a builder of data that come with the package, preparing them at first use.

    Args:
        builder_class: One of this package's builders.
        data_dir: Where to keep them, an existing directory; TFDS's own default if omitted.
        **kwargs: Further arguments for the builder.

    Raises:
        UserError: There is no such directory, or they cannot be kept there.
    """
    if data_dir is None or "://" not in data_dir:
        _check_directory(data_dir)
    try:
        with _without_warnings():
            builder = builder_class(data_dir=data_dir, **kwargs)
        if not builder.is_prepared():
            tfds.disable_progress_bar()
            builder.download_and_prepare()
    except OSError as error:
        raise UserError(
            f"data set {builder_class.name!r} cannot be written: {error}; give a --data_dir that "
            "can be"
        ) from error
    return builder


def usual_splits(builder: tfds.core.DatasetBuilder) -> dict[str, str]:
    """Returns TFDS's instructions for `train`, `validation` and `test`.

    They are the data set's own splits. For each of the latter two that is missing, a tenth
    of its training split is set aside, from the end.
    """
    known = set(builder.info.splits) or {"train", "validation", "test"}  # not known of a mock
    absent = [name for name in ("validation", "test") if name not in known]
    instructions = {name: name for name in ("train", "validation", "test")}
    if absent:
        instructions["train"] = f"train[:{100 - 10 * len(absent)}%]"
    for place, name in enumerate(absent):
        end = 100 - 10 * (len(absent) - place - 1)
        instructions[name] = f"train[{end - 10}%:{end}%]"
    return instructions


def image_and_label(
    builder: tfds.core.DatasetBuilder, instructions: Mapping[str, str], split: str
) -> Split:
    """Reads an `(image, label)` data set in the package's form, in a fixed order.

    Args:
        builder: A prepared data set.
        instructions: By our name of a split, TFDS's: `{"validation": "train[55000:]"}`.
        split: Our name.

    Raises:
        UserError: There is no such split, or it is empty.
    """

    def to_contract(example):
        label = tf.cast(example["label"], tf.int32)
        return {"x": {"image": example["image"], "label": label}}

    return read(builder, instructions, split).map(to_contract)


def read(builder: tfds.core.DatasetBuilder, instructions: Mapping[str, str], split: str) -> Split:
    """Reads a data set's examples as they are, in a fixed order.

    Its parts are read from those files alone that hold them.

    Args:
        builder: A prepared data set.
        instructions: By our name of a split, TFDS's: `{"validation": "train[55000:]"}`.
        split: Our name.

    Raises:
        UserError: There is no such split, or it is empty.
    """
    if split not in instructions:
        raise UserError(f"split {split!r} is none of {sorted(instructions)}")

    def as_dataset(instruction):
        with _without_warnings():
            return builder.as_dataset(
                split=instruction,
                shuffle_files=False,
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            )

    try:
        dataset = as_dataset(instructions[split])
        number = builder.info.splits[instructions[split]].num_examples
    except (AssertionError, ValueError, KeyError, OSError) as error:
        raise UserError(f"split {split!r} of {builder.name!r} cannot be read: {error}") from error
    if not number:
        raise UserError(f"split {split!r} of data set {builder.name!r} is empty")
    (first, *others) = _ranges(builder, instructions[split])

    def rows(start, stop):
        place = first.from_ or 0
        return as_dataset(
            tfds.core.ReadInstruction(first.splitname, place + start, place + stop, unit="abs")
        )

    return Split(dataset, number, rows=None if others else rows)


def _ranges(builder: tfds.core.DatasetBuilder, instruction: str) -> list[Any]:
    """Returns the ranges of examples of a split instruction."""
    read_instruction = tfds.core.ReadInstruction.from_spec(instruction)
    return read_instruction.to_absolute(builder.info.splits)
