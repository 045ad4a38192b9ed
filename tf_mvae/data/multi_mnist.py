"""MultiMNIST: canvases of up to four digits, and the string that they spell, as a TFDS data set."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import embedded_builder, image_and_label, prepared_builder, read
from tf_mvae.errors import UserError
from tf_mvae.ops.tokens import END, FIRST_WORD, PAD

__all__ = ["MOST_DIGITS", "DigitString", "MultiMnist", "WORDS", "multi_mnist"]

MOST_DIGITS = 4
WORDS = ("", "start", "end", *"0123456789")
_CANVAS, _DIGIT = 50, 25
# The number of canvases, and the digits of MNIST, of each split: no digit is in two splits.
_SPLITS = {
    "train": (55_000, "train[:55000]"),
    "validation": (5_000, "train[55000:]"),
    "test": (10_000, "test"),
}


class MultiMnist(tfds.core.GeneratorBasedBuilder):
    """Canvases of 50 x 50 with no to four digits of MNIST, and the string of the digits.

    Every number of digits is equally likely. Digits are drawn with replacement, scaled to
    25 x 25, and stand in the canvas' quarters in reading order, the first ones filled: the
    string says what is where. 55,000 canvases of the first 55,000 training digits, 5,000 for
    validation of the other 5,000, and 10,000 of the test digits; the seed is fixed.

    After Wu and Goodman (NeurIPS 2018, section 5; up to four digits at fixed positions).
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, mnist_dir: str | None = None, **kwargs):
        """Creates the builder.

        Args:
            mnist_dir: Where TFDS keeps MNIST, if it has to be read.
            **kwargs: TFDS's own.
        """
        super().__init__(**kwargs)
        self._mnist_dir = mnist_dir

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(_CANVAS, _CANVAS, 1)),
                    "digits": tfds.features.Text(),
                }
            ),
            homepage="https://arxiv.org/abs/1802.05335",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        builder = prepared_builder("mnist", self._mnist_dir)
        instructions = {name: instruction for name, (_, instruction) in _SPLITS.items()}
        return {
            name: self._generate_examples(
                image_and_label(builder, instructions, name), number, seed=place
            )
            for place, (name, (number, _)) in enumerate(_SPLITS.items())
        }

    def _generate_examples(self, split: Split, number: int, seed: int) -> Iterator:
        images, labels = _scaled_digits(split)
        rng = np.random.default_rng([seed, 41])
        for index in range(number):
            rows = rng.integers(len(labels), size=rng.integers(MOST_DIGITS + 1))
            digits = "".join(str(label) for label in labels[rows])
            yield index, {"image": _canvas(images[rows]), "digits": digits}


class DigitString:
    """Turns strings of digits into ids, as `Vocabulary` does sentences.

    Example:

    ```python
    DigitString().encode(["14", ""], length=5)[0]   # [[4, 7, 2, 0, 0], [2, 0, 0, 0, 0]]
    ```
    """

    def encode(self, sentences: Sequence[str], length: int) -> tuple[np.ndarray, int]:
        """Returns ids, int32 `[sentences, length]`, and how many strings were cut: none.

        An empty string is said, too: it is that of an empty canvas.

        Args:
            sentences: The strings.
            length: The most symbols, the end among them; more than `MOST_DIGITS`.

        Raises:
            UserError: One is something else than up to four digits.
        """
        ids = np.full([len(sentences), length], PAD, np.int32)
        for row, digits in zip(ids, sentences, strict=True):
            if len(digits) > MOST_DIGITS or not set(digits) <= set(WORDS[FIRST_WORD:]):
                raise UserError(
                    f"{digits!r} is no string of 0 to {MOST_DIGITS} digits, as 1234 or nothing is"
                )
            row[: len(digits) + 1] = [*(WORDS.index(digit) for digit in digits), END]
        return ids, 0


def multi_mnist(split: str, data_dir: str | None) -> Split:
    """Reads canvases and strings; makes them of MNIST at first use.

    Args:
        split: `train`, `validation` or `test`.
        data_dir: Where TFDS keeps MNIST, and is to keep MultiMNIST.

    Returns:
        Examples `{"x": {"image": uint8 [50, 50, 1], "text": int32 [5]}}`, ids as
        `tf_mvae.ops.tokens` has them: `WORDS` in their order.

    Raises:
        UserError: MNIST is missing, or the canvases can be kept nowhere.
    """
    prepared_builder("mnist", data_dir)
    builder = embedded_builder(MultiMnist, data_dir, mnist_dir=data_dir)

    def to_contract(example: dict[str, Any]) -> dict[str, Any]:
        characters = tf.strings.bytes_split(example["digits"])
        words = tf.strings.to_number(characters, tf.int32) + FIRST_WORD
        rest = tf.fill([MOST_DIGITS - tf.size(words)], PAD)
        text = tf.ensure_shape(tf.concat([words, [END], rest], 0), [MOST_DIGITS + 1])
        return {"x": {"image": example["image"], "text": text}}

    return read(builder, {name: name for name in _SPLITS}, split).map(to_contract)


def _scaled_digits(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Returns all digits, uint8 `[number, 25, 25, 1]`, and their labels."""
    batches = list(split.dataset.batch(1000))
    images = np.concatenate([batch["x"]["image"] for batch in batches])
    resized = tf.image.resize(images.astype(np.float32), [_DIGIT, _DIGIT], antialias=True)
    labels = np.concatenate([batch["x"]["label"] for batch in batches])
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8), labels


def _canvas(digits: np.ndarray) -> np.ndarray:
    """Puts digits `[number, 25, 25, 1]` into the quarters of a canvas, in reading order."""
    quarters = np.zeros([MOST_DIGITS, _DIGIT, _DIGIT, 1], np.uint8)
    quarters[: len(digits)] = digits
    rows = quarters.reshape(2, 2, _DIGIT, _DIGIT, 1).swapaxes(1, 2)
    return rows.reshape(_CANVAS, _CANVAS, 1)
