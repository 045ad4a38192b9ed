"""PolyMNIST: tuples of five drawings of one digit, each on a background of its own."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_mvae.data import backgrounds as backgrounds_
from tf_mvae.data.pipeline import Split
from tf_mvae.data.prepared import embedded_builder, image_and_label, prepared_builder, read
from tf_mvae.errors import UserError

__all__ = [
    "NAMES",
    "PolyMnist",
    "different_drawings",
    "draw",
    "find_hash",
    "poly_mnist",
    "poly_mnist_labels",
]

NAMES = ("m0", "m1", "m2", "m3", "m4")
_SIDE = 28
_SMALL_SIDE = 21  # of a translated digit: three quarters
# How TFDS's MNIST is cut; no drawing is in two splits.
_SPLITS = {"train": "train[:55000]", "validation": "train[55000:]", "test": "test"}


@dataclasses.dataclass
class PolyMnistConfig(tfds.core.BuilderConfig):
    """The settings of a prepared copy.

    Attributes:
        background_hash: See `tf_mvae.data.backgrounds.content_hash`.
        translated: Whether digits are smaller and at random places.
    """

    background_hash: str = ""
    translated: bool = False


class PolyMnist(tfds.core.GeneratorBasedBuilder):
    """Five images of 28 x 28 pixels in colour that show five drawings of the same digit.

    A tuple is made for each image of MNIST. Modality k shows another drawing of the same class,
    in a random 28 x 28 crop of background k: where the drawing's grey level is above one half,
    the crop's colours are inverted. No drawing occurs twice in a tuple, and each occurs once in a
    modality. 55,000 tuples of the first 55,000 training images, 5,000 for validation of the other
    5,000, and 10,000 of the test images; the seed is fixed.

    After Sutter, Daunhawer and Vogt, *Generalized multimodal ELBO* (ICLR 2021). Translated digits
    are scaled to three quarters and placed at random, as in Daunhawer et al., *On the limitations
    of multimodal VAEs* (ICLR 2022).
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self,
        *,
        mnist_dir: str | None = None,
        backgrounds: Callable[[], Sequence[np.ndarray]] = backgrounds_.procedural,
        **kwargs,
    ):
        """Creates the builder.

        Args:
            mnist_dir: Where TFDS keeps MNIST, if it has to be read.
            backgrounds: Returns five pictures, uint8 `[height, width, 3]`; called if data have to
                be made.
            **kwargs: TFDS's own; `config` is a `PolyMnistConfig`.
        """
        self._mnist_dir, self._backgrounds = mnist_dir, backgrounds
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # Raw bytes: photographs hardly compress, and 350,000 PNG files take long to decode.
        images = tfds.features.Tensor(
            shape=(len(NAMES), _SIDE, _SIDE, 3),
            dtype=np.uint8,
            encoding=tfds.features.Encoding.BYTES,
        )
        label = tfds.features.ClassLabel(num_classes=10)
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.__doc__}\nSHA-256 of the backgrounds: "
            f"{self.builder_config.background_hash}",
            features=tfds.features.FeaturesDict({"images": images, "label": label}),
            homepage="https://arxiv.org/abs/2105.02470",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        builder, pictures = prepared_builder("mnist", self._mnist_dir), self._backgrounds()
        return {
            name: self._generate_examples(
                image_and_label(builder, _SPLITS, name), pictures, seed=place
            )
            for place, name in enumerate(_SPLITS)
        }

    def _generate_examples(
        self, split: Split, backgrounds: Sequence[np.ndarray], seed: int
    ) -> Iterator:
        images, labels = _arrays(split)
        translated = self.builder_config.translated
        images = _smaller(images) if translated else images
        rng = np.random.default_rng([seed, 51])
        rows = different_drawings(labels, len(NAMES), rng)
        for index, label in enumerate(labels):
            drawings = images[rows[index]]  # [modality, height, width]
            if translated:
                drawings = [_placed(drawing, rng) for drawing in drawings]
            pictures = [
                draw(drawing, background, rng)
                for drawing, background in zip(drawings, backgrounds, strict=True)
            ]
            yield index, {"images": np.stack(pictures), "label": int(label)}


def different_drawings(labels: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Returns tuples of different examples of one class.

    Each class is put into a random order. Column k holds the examples that are a random number of
    places further in it, another number for each column: within a row all differ, and within a
    column each example occurs once.

    Args:
        labels: The examples' classes, `[examples]`.
        number: The number of examples in a tuple.
        rng: The source of random numbers.

    Returns:
        Indices, `[examples, number]`; those of row i are of the class of example i.

    Raises:
        UserError: A class has fewer than `number` examples.
    """
    rows = np.zeros([len(labels), number], int)
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        if len(members) < number:
            raise UserError(
                f"class {value} has {len(members)} examples; tuples of different ones need {number}"
            )
        order = rng.permutation(members)
        steps = rng.choice(len(members), number, replace=False)
        places = np.arange(len(members))[:, np.newaxis] + steps
        rows[members] = order[places % len(members)]
    return rows


def draw(drawing: np.ndarray, background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws a digit into a random crop of a background, by inverting the colours under it.

    Args:
        drawing: Grey levels, uint8 `[height, width]`; the digit is what is above 127.
        background: uint8 `[background height, background width, 3]`.
        rng: The source of random numbers.

    Returns:
        uint8 `[height, width, 3]`.

    Example:

    ```python
    draw(np.eye(28, dtype=np.uint8) * 255, procedural()[0], np.random.default_rng(0))
    ```
    """
    height, width = drawing.shape
    top = rng.integers(background.shape[0] - height + 1)
    left = rng.integers(background.shape[1] - width + 1)
    crop = background[top : top + height, left : left + width]
    return np.where(drawing[..., np.newaxis] > 127, 255 - crop, crop)


def find_hash(backgrounds: str | None = None, background_hash: str | None = None) -> str:
    """Returns the hash of the backgrounds that a run uses.

    Args:
        backgrounds: A folder; this package's own textures if None.
        background_hash: That which they are to have, if that is known.

    Raises:
        UserError: The folder cannot be used, or its pictures are others.
    """
    return backgrounds_.content_hash(_backgrounds(backgrounds, background_hash))


def poly_mnist(
    split: str,
    data_dir: str | None = None,
    backgrounds: str | None = None,
    background_hash: str | None = None,
    translated: bool = False,
) -> Split:
    """Reads tuples of images; makes them of MNIST and of backgrounds at first use.

    Args:
        split: `train`, `validation` or `test`.
        data_dir: Where TFDS keeps MNIST, and is to keep PolyMNIST.
        backgrounds: A folder of five pictures; this package's own textures if None.
        background_hash: Hash of the backgrounds. Data that were prepared with them are read
            without the pictures.
        translated: Whether digits are smaller and at random places.

    Returns:
        Examples `{"x": {"m0": uint8 [28, 28, 3], ..., "m4": ...}}`.

    Raises:
        UserError: MNIST or the backgrounds are missing, the backgrounds are others, or the tuples
            cannot be written.
    """
    builder = _builder(data_dir, backgrounds, background_hash, translated)

    def to_contract(example: dict[str, Any]) -> dict[str, Any]:
        return {"x": dict(zip(NAMES, tf.unstack(example["images"]), strict=True))}

    return read(builder, {name: name for name in _SPLITS}, split).map(to_contract)


def poly_mnist_labels(split: str, data_dir: str | None = None, **options: Any) -> np.ndarray:
    """Returns the digits that tuples show, int32 `[examples]`, in the order of `poly_mnist`.

    Args:
        split: See `poly_mnist`.
        data_dir: See `poly_mnist`.
        **options: Its other arguments.
    """
    examples = read(_builder(data_dir, **options), {name: name for name in _SPLITS}, split)
    labels = examples.dataset.map(lambda example: example["label"]).batch(1000)
    return np.concatenate(list(labels.as_numpy_iterator())).astype(np.int32)


def _builder(
    data_dir: str | None,
    backgrounds: str | None = None,
    background_hash: str | None = None,
    translated: bool = False,
) -> tfds.core.DatasetBuilder:
    """Returns a prepared builder."""
    known = background_hash or find_hash(backgrounds)
    config = PolyMnistConfig(
        name=f"{'translated_' * translated}{known[:16]}",
        background_hash=known,
        translated=translated,
    )
    return embedded_builder(
        PolyMnist,
        data_dir,
        config=config,
        mnist_dir=data_dir,
        backgrounds=lambda: _backgrounds(backgrounds, background_hash),
    )


def _backgrounds(directory: str | None, background_hash: str | None) -> list[np.ndarray]:
    """Returns the backgrounds of a folder or the package's own; checks them."""
    found = backgrounds_.procedural()
    if directory is not None:
        found = backgrounds_.read_folder(directory)
    hash_ = backgrounds_.content_hash(found)
    if background_hash not in (None, hash_):
        where = f"of --backgrounds={directory}" if directory else "of this package"
        raise UserError(
            f"the backgrounds {where} have the hash {hash_[:16]}, and --background_hash is "
            f"{background_hash[:16]}: give the folder that the run was trained with, or a "
            "--data_dir that holds the prepared data"
        )
    return found


def _arrays(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Returns all drawings, uint8 `[number, 28, 28]`, and their labels."""
    batches = list(split.dataset.batch(1000).as_numpy_iterator())
    images = np.concatenate([batch["x"]["image"] for batch in batches])
    return images[..., 0], np.concatenate([batch["x"]["label"] for batch in batches])


def _smaller(images: np.ndarray) -> np.ndarray:
    """Scales drawings `[number, 28, 28]` to three quarters."""
    floats = images[..., np.newaxis].astype(np.float32)
    small = tf.image.resize(floats, [_SMALL_SIDE, _SMALL_SIDE], antialias=True).numpy()[..., 0]
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def _placed(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Puts a small drawing somewhere on an empty square of 28 x 28."""
    canvas = np.zeros([_SIDE, _SIDE], np.uint8)
    top, left = rng.integers(_SIDE - _SMALL_SIDE + 1, size=2)
    canvas[top : top + _SMALL_SIDE, left : left + _SMALL_SIDE] = drawing
    return canvas
