"""Coherence of images that are generated from a class, and their distance from real images."""

import dataclasses
from typing import Any

import numpy as np

from tf_mvae.errors import UserError
from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.references import FRECHET
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.scales import Known, Shown
from tf_mvae.evaluation.settings import Settings
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["analyze", "images_of_classes", "images_with_classes"]

_IMAGES_OF_A_CLASS = 200
_JOINT_IMAGES = 2000
_MOST_EXAMPLES = 10_000
_CHUNK = 20


def images_of_classes(
    model: BaseVAE,
    image: Modality,
    label: Modality,
    images_of_a_class: int = _IMAGES_OF_A_CLASS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Generates images from each class with the model's default settings of generation.

    Args:
        model: The model.
        image: The image modality.
        label: The class modality.
        images_of_a_class: The number of images per class.
        seed: The seed of the samples.

    Returns:
        Expected pixel values, `[images, *event_shape]`, and the classes, `[images]`, in the order
        0, 1, ..., 0, 1, ...
    """
    classes = np.arange(label.likelihood.num_classes, dtype=np.int32)
    given, parts = {label.name: classes}, []
    for start in range(0, images_of_a_class, _CHUNK):
        number = min(_CHUNK, images_of_a_class - start)
        z = model.latent_samples(given, number, seed=[seed, start], guidance=None)
        drawn = model.from_latent(z, None, [image.name], given)[image.name]
        parts.append(drawn.numpy().reshape(-1, *image.likelihood.event_shape))
    return np.concatenate(parts), np.tile(classes, images_of_a_class)


def images_with_classes(
    model: BaseVAE,
    image: Modality,
    label: Modality,
    number: int = _JOINT_IMAGES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Generates images together with classes from the prior, with the model's default settings.

    Args:
        model: The model.
        image: The image modality.
        label: The class modality.
        number: The number of images.
        seed: The seed of the samples.

    Returns:
        Expected pixel values, `[number, *event_shape]`, and the most probable classes, `[number]`.
    """
    images, classes = [], []
    for start in range(0, number, 200):
        part = model.sample(min(200, number - start), seed=[seed, start])
        images.append(part[image.name].numpy())
        classes.append(part[label.name].numpy().argmax(-1))
    return np.concatenate(images), np.concatenate(classes)


@analysis("coherence", "generated images, named by a classifier", num_samples=1)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures coherence for every pair of an image and a class; the `coherence` analysis.

    Coherence is the fraction of images generated from a class that a classifier assigns to this
    class. The classifier is trained on the real training split and saved in the run directory; its
    accuracy on the real images of the evaluated split is reported too. So is the Frechet distance
    between generated and real images in the classifier's features: the mean image of a class would
    be classified right, but is far from all real images. `tf_mvae.evaluation.generation` measures
    more, for any subset.

    Raises:
        UserError: The model has no image and class, or has other conditions than the class.
    """
    model = run.model
    images = [m for m in model.targets if m.likelihood.is_image and not m.element_mask]
    labels = [m for m in model.modalities if m.likelihood.is_categorical and not m.mask_shape]
    pairs = [
        (image, label)
        for image in images
        for label in labels
        if set(model.conditions) <= {label.name}
    ]
    if not pairs:
        raise UserError(
            "--analysis=coherence needs an image and a class modality; choose another --analysis"
        )
    results: dict[str, Any] = {}
    for image, label in settings.progress(pairs, desc="coherence", total=len(pairs)):
        results |= _of_pair(run, settings, image, label)
    return results


def _of_pair(run: Run, settings: Settings, image: Modality, label: Modality) -> dict[str, Any]:
    """Measures images of one modality, generated from one class modality."""
    model, concept, seed = run.model, Concept(label), settings.seed
    number = _IMAGES_OF_A_CLASS * label.likelihood.num_classes
    one_each = dataclasses.replace(settings, num_samples=1)
    known = Known.of(run, one_each, [image.name], _MOST_EXAMPLES, number, number)
    reference = known.reference(run, settings, image, concept)
    drawn = {f"{image.name} | {label.name}": images_of_classes(model, image, label, seed=seed)}
    if not model.conditions:
        joint = images_with_classes(model, image, label, seed=seed)
        drawn[f"{image.name}, {label.name} from the prior"] = joint
    found = {n: Shown(*pair, np.ones(len(pair[1]), bool)) for n, pair in drawn.items()}
    wanted = np.tile(np.arange(label.likelihood.num_classes), _IMAGES_OF_A_CLASS)
    useless = known.useless(image, concept, wanted, np.ones(number, bool), seed)
    for name, shown in (known.shown(image, concept, number) | useless).items():
        found[f"{image.name}, {name}"] = shown
    results = {}
    for name, shown in found.items():
        pair = reference.pair(*shown)
        results[name] = pair["coherence"] | {"cell": [image.name, name, "named right"]}
        results[f"{name}: {FRECHET}"] = pair[FRECHET] | {"cell": [image.name, name, FRECHET]}
    first = f"{image.name} | {label.name}"
    results[first]["by_class"] = _by_class(
        reference.judge.predict(found[first].values), found[first].true, label
    )
    name, real = f"judge on real {image.name}", reference.of_real()["coherence"]
    return {**results, name: real | {"cell": [image.name, name, "named right"]}}


def _by_class(said: np.ndarray, classes: np.ndarray, label: Modality) -> dict[str, float]:
    """Returns the fraction of each class that is classified right, by the class's name."""
    names = enumerate(label.likelihood.class_names)
    return {name: float(np.mean(said[classes == place] == place)) for place, name in names}
