"""How well the class can be predicted from posterior means, for each subset of modalities."""

from typing import Any

import numpy as np

from tf_mvae.errors import UserError
from tf_mvae.evaluation import generated_examples as examples_
from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.generated_examples import Examples, Subset
from tf_mvae.evaluation.latent_metrics import adjusted_rand_index, k_means, linear_probe
from tf_mvae.evaluation.outside_classes import outside_class
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import block_jackknife, share
from tf_mvae.models import BaseVAE

__all__ = ["analyze", "posterior_means"]

_MOST_EXAMPLES = 10_000
_BLOCKS = 10
_PROBE, _CLUSTERS = "linear probe", "k-means, adjusted Rand index"


@analysis(
    "latent",
    "linear probe and k-means on the posterior's mean of every subset, next to useless latents",
    num_samples=1,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures how well posterior means separate the classes; the `latent` analysis.

    The inputs are the means of `q(z | S)` for each subset S without the class, including all
    modalities. A linear probe is fitted to 10,000 random training examples, and its accuracy is
    measured on the evaluated split (at most 10,000 examples). k-means with as many clusters as
    classes is fitted to the evaluated split, and compared with the classes by the adjusted Rand
    index. For comparison: the most frequent class, and latents of standard normal noise.

    Raises:
        UserError: The examples have no class, or the model has conditions.
    """
    model = run.model
    concept = _class_of(run)
    outside = None if concept.is_modality else concept
    test = examples_.real_examples(run, settings, _MOST_EXAMPLES, outside)
    training = examples_.training_examples(run, _MOST_EXAMPLES, settings.seed, outside)
    subsets = [s for s in examples_.subsets_of(model, settings.seed) if s.members is None]
    subsets.append(Subset(tuple(modality.name for modality in model.modalities)))
    subsets = [subset for subset in subsets if concept.name not in subset.names]
    scores = _Scores(concept, test, training, settings.seed)
    results: dict[str, Any] = {}
    for subset in settings.progress(subsets, desc="latent", total=len(subsets)):
        sides = (posterior_means(model, part, subset, settings) for part in (training, test))
        results |= scores.of(f"given {', '.join(subset.names)}", *sides)
    rng = np.random.default_rng([settings.seed, 54])
    size = scores.latent_size
    noise = (rng.normal(size=[part.number, size]) for part in (training, test))
    results |= scores.of("useless: noise", *noise) | scores.most_frequent()
    return {
        name: {**result, "place": place} for place, (name, result) in enumerate(results.items())
    }


def posterior_means(
    model: BaseVAE, examples: Examples, subset: Subset, settings: Settings
) -> np.ndarray:
    """Returns the means of `q(z | S)`, `[examples, latent]`.

    Args:
        model: The model.
        examples: Real examples.
        subset: S, the given modalities.
        settings: The settings of the evaluation; `batch_size` is used.
    """
    mask = {name: examples.mask[name] for name in subset.names}
    parts = []
    for start in range(0, examples.number, settings.batch_size):
        rows = slice(start, start + settings.batch_size)
        given = examples_.given_part(model, examples, mask, rows)
        parts.append(model.posterior(given.x, given.mask).mean().numpy())
    return np.concatenate(parts)


def _class_of(run: Run) -> Concept:
    """Returns the class to predict: a modality, or a class of the data set."""
    if run.model.conditions:
        raise UserError(
            f"--analysis=latent needs a posterior of every subset, and {run.config.model} has none;"
            " choose another --analysis"
        )
    for modality in run.model.modalities:
        if modality.likelihood.is_categorical and not modality.mask_shape:
            return Concept(modality)
    found = outside_class(run)
    if found is None:
        raise UserError(
            "--analysis=latent needs examples that have a class; choose another --analysis"
        )
    return found


class _Scores:
    """Scores different latents of the same examples."""

    def __init__(self, concept: Concept, test: Examples, training: Examples, seed: int):
        self._concept, self._seed = concept, seed
        self._true, self._training = concept.true(test.x), concept.true(training.x)
        self._number = concept.modality.likelihood.num_classes
        self.latent_size = 0

    def of(self, row: str, training: np.ndarray, test: np.ndarray) -> dict[str, Any]:
        """Scores latents of training and evaluated examples, `[examples, latent]` each."""
        self.latent_size = test.shape[1]
        said = linear_probe(training, self._training, test, self._number)
        clusters = k_means(test, min(self._number, len(test)), self._seed)

        def agreement(rows: np.ndarray) -> float:
            return adjusted_rand_index(clusters[rows], self._true[rows])

        index = {
            "value": adjusted_rand_index(clusters, self._true),
            "standard_error": block_jackknife(agreement, len(test), _BLOCKS),
            "examples": len(test),
            "unit": "",
        }
        return {**self._probe(row, said), f"{row}: k-means": self._cell(index, row, _CLUSTERS)}

    def most_frequent(self) -> dict[str, Any]:
        """Scores the most frequent class of the training examples."""
        said = np.full_like(self._true, self._concept.most_frequent(self._training))
        return self._probe("useless: most frequent", said)

    def _probe(self, row: str, said: np.ndarray) -> dict[str, Any]:
        """Returns the accuracy of predicted classes, `[examples]`."""
        right = share((said == self._true).sum(), len(said))
        return {f"{row}: {_PROBE}": self._cell(right, row, _PROBE)}

    def _cell(self, result: dict[str, Any], row: str, column: str) -> dict[str, Any]:
        return {**result, "cell": [f"{self._concept.name} in the latent", row, column]}
