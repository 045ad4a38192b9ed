"""Whether generated images are what they were generated from."""

from typing import Any

import keras
import numpy as np

from tf_mvae.data.pipeline import training_batches
from tf_mvae.distributions.likelihoods import Categorical
from tf_mvae.errors import UserError
from tf_mvae.evaluation.classifier import judge_accuracy, load_or_train
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import share
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["analyze", "conditional_coherence", "joint_coherence"]

_IMAGES_OF_A_CLASS = 200
_JOINT_IMAGES = 2000
_CHUNK = 20
_JUDGE_EXAMPLES = 220_000  # four passes over 55,000 digits: 99 % on the real test set


def conditional_coherence(
    model: BaseVAE,
    classifier: keras.Model,
    image: Modality,
    label: Modality,
    images_of_a_class: int = _IMAGES_OF_A_CLASS,
    seed: int = 0,
) -> dict[str, Any]:
    """Generates images from each class and has the classifier name them.

    An image is the expected pixel values at one `z ~ q(z | label)`.

    Returns:
        `share` over all images, and under `"by_class"` the shares by the class's name.
    """
    classes = np.arange(label.likelihood.num_classes, dtype=np.int32)
    given = {label.name: classes}
    right = np.zeros(len(classes))
    for start in range(0, images_of_a_class, _CHUNK):
        number = min(_CHUNK, images_of_a_class - start)
        z = model.latent_samples(given, number, seed=[seed, start])
        images = model.from_latent(z, None, [image.name], given)[image.name].numpy()
        named = _names(classifier, images.reshape(-1, *images.shape[2:]))
        right += (named.reshape(number, -1) == classes).sum(0)
    by_class = dict(zip(label.likelihood.class_names, right / images_of_a_class, strict=True))
    return {**share(right.sum(), len(classes) * images_of_a_class), "by_class": by_class}


def joint_coherence(
    model: BaseVAE,
    classifier: keras.Model,
    image: Modality,
    label: Modality,
    number: int = _JOINT_IMAGES,
    seed: int = 0,
) -> dict[str, float]:
    """Generates image and class from one `z ~ p(z)` and has the classifier compare them.

    Returns:
        `share` of the images that it names as the most probable class.
    """
    right = 0
    for start in range(0, number, 200):
        part = model.sample(min(200, number - start), seed=[seed, start])
        classes = part[label.name].numpy().argmax(-1)
        right += int((_names(classifier, part[image.name].numpy()) == classes).sum())
    return share(right, number)


@analysis("coherence", "generated images, named by a classifier", num_samples=1)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures coherence for every pair of an image and a class; the `coherence` analysis.

    The judge is trained on the real training split, kept in the run's directory, and its
    accuracy on the real images of the evaluated split stands beside the result.

    Raises:
        UserError: There is no such pair.
    """
    model = run.model
    images = [m for m in model.targets if m.likelihood.is_image]
    labels = [m for m in model.modalities if isinstance(m.likelihood, Categorical)]
    pairs = [
        (image, label)
        for image in images
        for label in labels
        if set(model.conditions) <= {label.name}
    ]
    if not pairs:
        raise UserError("--analysis=coherence needs an image and a class modality; leave it out")
    results: dict[str, Any] = {}
    for image, label in settings.progress(pairs, desc="coherence", total=len(pairs)):
        path = run.directory / "evaluation" / f"classifier_{image.name}_{label.name}.keras"
        train = run.split("train")
        passes = -(-_JUDGE_EXAMPLES // train.num_examples)
        batches = training_batches(train, 100, passes, run.config.seed)
        judge = load_or_train(path, batches, image, label)
        right, number = judge_accuracy(
            judge, run.batches(settings.split, settings.batch_size, settings.seed), image, label
        )
        results[f"{image.name} | {label.name}"] = conditional_coherence(
            model, judge, image, label, seed=settings.seed
        )
        if not model.conditions:
            results[f"{image.name}, {label.name} from the prior"] = joint_coherence(
                model, judge, image, label, seed=settings.seed
            )
        results[f"judge on real {image.name}"] = share(right, number)
    return results


def _names(classifier: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.argmax(classifier(images, training=False), -1)
