"""Aligned text: the same sentences in several languages, from files or from TFDS."""

import pathlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import directory_builder, prepared_builder, read
from tf_mvae.errors import UserError

__all__ = ["read_parallel_text", "text_split"]

# The names under which a split's files are looked for; IWSLT'15's own are among them.
_FILES = {
    "train": ("train",),
    "validation": ("validation", "valid", "dev", "tst2012"),
    "test": ("test", "tst2013"),
}
_TFDS = "ted_multi_translate"


def read_parallel_text(
    split: str,
    languages: Sequence[str],
    dataset_dir: str | None = None,
    data_dir: str | None = None,
) -> dict[str, list[str]]:
    """Reads the sentences of a split.

    A directory holds, for `train`, `validation` (or `valid`, `dev`, `tst2012`) and `test` (or
    `tst2013`), one of

    - a file for each language, `train.en` and `train.vi`, a sentence a line, UTF-8, aligned by
      their lines (IWSLT'15's convention);
    - `train.tsv`, whose first line names the columns' languages;

    or it is a prepared TFDS data set with a text for each language: `para_crawl`'s `{en, vi}`, or
    `ted_multi_translate`'s lists of languages and translations. An empty sentence is one that the
    example does not have; lines that are empty in all of the languages are excluded.

    Args:
        split: `train`, `validation` or `test`.
        languages: Two or more names, of files' endings, columns or features.
        dataset_dir: The directory; TFDS's `ted_multi_translate` in `data_dir` if omitted.
        data_dir: Where TFDS keeps data; its own default if omitted.

    Returns:
        Sentences by language, equally many, `""` where one is missing.

    Raises:
        UserError: A file or a split is missing, not UTF-8 or misaligned, or a language is missing
            , or no text.

    Example:

    ```python
    read_parallel_text("test", ["en", "vi"], "en_vi")["vi"][0]
    ```
    """
    if len(set(languages)) != len(languages) or not languages:
        raise UserError(f"--languages names languages that differ, not {','.join(languages)}")
    if dataset_dir is None:
        return _without_empty(_from_tfds(prepared_builder(_TFDS, data_dir), split, languages))
    folder = pathlib.Path(dataset_dir).expanduser()
    if not folder.is_dir():
        raise UserError(f"--dataset_dir={dataset_dir} is no directory")
    if (folder / "dataset_info.json").is_file():
        return _without_empty(_from_tfds(directory_builder(dataset_dir), split, languages))
    for stem in _FILES[split]:
        if (folder / f"{stem}.tsv").is_file():
            return _without_empty(_from_table(folder / f"{stem}.tsv", languages))
        if any((folder / f"{stem}.{language}").is_file() for language in languages):
            return _without_empty(_from_files(folder, stem, languages))
    names = " or ".join(f"{stem}.{languages[0]}" for stem in _FILES[split])
    raise UserError(f"--dataset_dir={dataset_dir} has no text for split {split!r}: no {names}")


def text_split(
    sentences: Mapping[str, Sequence[str] | np.ndarray],
    presence: Mapping[str, np.ndarray] | None = None,
) -> Split:
    """Returns sentences as examples, with masks where some are missing.

    Args:
        sentences: By language, equally many: strings, `""` where one is missing, or arrays of
            what was made of them, `[examples, ...]`.
        presence: By language, whether an example has it, `[examples]`; for strings, whether
            there is something in them, if omitted.
    """
    number = len(next(iter(sentences.values())))
    columns = {name: tf.constant(column) for name, column in sentences.items()}
    known = dict(presence or {})
    for name in sentences.keys() - known:
        known[name] = np.array([len(text) > 0 for text in sentences[name]])
    there = {name: np.asarray(known[name], np.float32) for name in sentences}
    if all(np.all(mask) for mask in there.values()):
        return Split(tf.data.Dataset.from_tensor_slices({"x": columns}), number)
    elements = {"x": columns, "mask": there}
    return Split(tf.data.Dataset.from_tensor_slices(elements), number, presence=there)


def _from_files(folder: pathlib.Path, stem: str, languages: Sequence[str]) -> dict[str, list[str]]:
    found = {language: _lines(folder / f"{stem}.{language}") for language in languages}
    first = languages[0]
    for language in languages:
        if len(found[language]) != len(found[first]):
            raise UserError(
                f"{folder}/{stem}.{first} has {len(found[first])} lines and {stem}.{language} "
                f"{len(found[language])}: they are not aligned"
            )
    return found


def _from_table(path: pathlib.Path, languages: Sequence[str]) -> dict[str, list[str]]:
    header, *rows = [line.split("\t") for line in _lines(path)] or [[]]
    for language in languages:
        if language not in header:
            raise UserError(
                f"{path} has no column {language!r}; its first line names {', '.join(header)}"
            )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f"{path}, line {number}: {len(row)} columns, not {len(header)}")
    places = {language: header.index(language) for language in languages}
    return {language: [row[place] for row in rows] for language, place in places.items()}


def _lines(path: pathlib.Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: byte {error.start} cannot be read") from error
    # A form feed, U+2028 or carriage return in a sentence ends no line.
    lines = text.split("\n")
    kept = lines[:-1] if lines[-1] == "" else lines
    return [line.removesuffix("\r").replace("\r", " ") for line in kept]


def _from_tfds(
    builder: tfds.core.DatasetBuilder, split: str, languages: Sequence[str]
) -> dict[str, list[str]]:
    dataset = read(builder, {name: name for name in _FILES}, split).dataset
    spec = dataset.element_spec
    features = spec if isinstance(spec, Mapping) else {}
    nested = isinstance(features.get("translations"), Mapping)
    known = features["translations"] if nested else features
    listed = all(_is_text(known.get(name), 1) for name in ("language", "translation"))
    if not listed:
        texts = sorted(name for name in known if _is_text(known[name], 0))
        for language in languages:
            if language not in texts:
                raise UserError(
                    f"data set {builder.name!r} has no text {language!r}; it has "
                    f"{', '.join(texts) or 'none at all'}"
                )
    found: dict[str, list[str]] = {language: [] for language in languages}
    for number, example in enumerate(dataset.as_numpy_iterator()):
        part = example["translations"] if nested else example
        names = [name.decode("utf-8") for name in part["language"]] if listed else languages
        said = part["translation"] if listed else [part[name] for name in languages]
        try:
            sentences = {n: text.decode("utf-8") for n, text in zip(names, said, strict=True)}
        except UnicodeDecodeError as error:
            raise UserError(
                f"data set {builder.name!r}, split {split!r}: example {number} is not UTF-8"
            ) from error
        for language in languages:
            found[language].append(sentences.get(language, ""))
    if not any(any(column) for column in found.values()):
        raise UserError(f"data set {builder.name!r} has nothing in {', '.join(languages)}")
    return found


def _is_text(spec: Any, rank: int) -> bool:
    """Returns whether a feature is a string, or with a rank of 1 a list of them."""
    return isinstance(spec, tf.TensorSpec) and spec.dtype == tf.string and spec.shape.rank == rank


def _without_empty(sentences: dict[str, list[str]]) -> dict[str, list[str]]:
    """Strips sentences, and excludes examples that have none."""
    rows = [[_stripped(text) for text in row] for row in zip(*sentences.values(), strict=True)]
    kept = [row for row in rows if any(row)]
    if not kept:
        raise UserError(f"there is no sentence in {', '.join(sentences)}")
    return dict(zip(sentences, map(list, zip(*kept, strict=True)), strict=True))


def _stripped(text: str) -> str:
    """Strips a sentence; one of invisible characters alone, without a sub-word, is empty."""
    seen = any(unicodedata.category(c)[0] not in "CZ" and c != "\ufffd" for c in text)
    return text.strip() if seen else ""
