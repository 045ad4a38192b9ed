"""Coherence, fidelity and diversity of what a model generates from each subset.

What each figure means, and what useless models score: docs/generation.md.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tf_mvae.errors import UserError
from tf_mvae.evaluation import generated_examples as examples_
from tf_mvae.evaluation.coherence_summary import CoherenceSummary
from tf_mvae.evaluation.concepts import Concept, concepts_of
from tf_mvae.evaluation.generated_examples import Subset
from tf_mvae.evaluation.outside_classes import outside_class
from tf_mvae.evaluation.references import Reference, cells
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.scales import Known, truth
from tf_mvae.evaluation.settings import Settings
from tf_mvae.group import attribute_groups
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["analyze"]

_MOST_EXAMPLES = 10_000
_MOST_NUMBERS = 2**26  # of all images of one kind, a float32 each: several are held at a time


class Judged(NamedTuple):
    """A modality, what it is judged by, and the real examples that it is measured against."""

    image: Modality
    concept: Concept
    reference: Reference
    table: str


@analysis(
    "generation",
    "coherence, Frechet distance, variance, density and coverage from every subset, next to "
    "useless models",
    num_samples=1,
    trains=True,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures what is generated from each subset and from nothing; the `generation` analysis.

    From every example of the split (10,000 at most, of large images fewer), and each subset of
    what it has, all other modalities are generated as the model does by default. Of images:
    coherence (a judge sees what was asked for), the Frechet distance in the judge's features, the
    variance of pixels within a class, density and coverage. Of classes, strings and attributes:
    coherence. The same of reconstructions and of real training examples, for scale, and of
    useless models.

    Raises:
        UserError: The model has no image that something else says the class, attributes or
            string of.
    """
    model = run.model
    images = [m for m in model.targets if m.likelihood.is_image]
    images = [m for m in images if not (m.mask_shape or m.element_mask)]
    concepts = concepts_of(model)
    outside = None if concepts else outside_class(run)
    concepts = [outside] if outside is not None else concepts
    if not images or not concepts:
        raise UserError(
            "--analysis=generation needs an image and a class, a string or attributes to judge it "
            "by; leave it out"
        )
    largest = max(math.prod(image.likelihood.event_shape) for image in images)
    most = min(_MOST_EXAMPLES, _MOST_NUMBERS // largest)
    names = [image.name for image in images]
    known = Known.of(run, settings, names, most, most, outside=outside)
    generated = known.test.number * settings.num_samples
    judged = [_judged(run, settings, known, i, c, concepts) for i in images for c in concepts]
    results: dict[str, Any] = {}
    summary = CoherenceSummary(concepts[0], [one.reference for one in judged])
    subsets = examples_.subsets_of(model, settings.seed)
    for subset in settings.progress(subsets, desc="generation", total=len(subsets)):
        results |= _given(model, known, judged, concepts, subset, settings, summary)
    if not model.conditions:
        results |= _from_prior(model, judged, generated, settings, summary)
    for one in judged:
        results |= _scale(one, known, generated, settings.seed)
    for concept in concepts:
        if concept.name in {modality.name for modality in model.targets}:
            results |= _useless_values(concept, known, settings.seed)
    if outside is not None:
        results |= summary.results(settings.seed)
    # A report's keys are sorted: `place` keeps the order.
    return {
        name: {**result, "place": place} for place, (name, result) in enumerate(results.items())
    }


def _judged(
    run: Run,
    settings: Settings,
    known: Known,
    image: Modality,
    concept: Concept,
    concepts: list[Concept],
) -> Judged:
    reference = known.reference(run, settings, image, concept)
    table = image.name if len(concepts) == 1 else f"{image.name} judged by {concept.name}"
    return Judged(image, concept, reference, table)


def _given(
    model: BaseVAE,
    known: Known,
    judged: list[Judged],
    concepts: list[Concept],
    subset: Subset,
    settings: Settings,
    summary: CoherenceSummary,
) -> dict[str, Any]:
    """Measures what is generated from one subset of each example."""
    targets = {modality.name for modality in model.targets} - set(subset.names)
    if not targets & {*(one.image.name for one in judged), *(c.name for c in concepts)}:
        return {}
    words = subset.describe([group.name for group in attribute_groups(model.modalities)])
    generated, given = examples_.generate(model, known.test, subset, settings)
    times, test, results = settings.num_samples, known.test, {}
    for concept in concepts:
        true, asked_of_real = truth(concept, test._replace(mask=test.mask | given))
        repeated = np.repeat(true, times, 0), np.repeat(asked_of_real, times, 0)
        if concept.name in targets:
            score = concept.score(concept.said(generated[concept.name]), *repeated)
            results |= cells(concept.name, f" | {words}", {"coherence": score}, _titles(concept))
        for one in judged:
            if one.concept is concept and one.image.name in targets:
                values = generated[one.image.name]
                verdict = one.reference.judge(values)
                found = one.reference.measure(values, *repeated, asked_of_real, verdict)
                if not concept.is_modality:
                    summary.add(len(subset.names), repeated[0], verdict.said, found)
                results |= _cells(one, f" | {words}", found)
    return results


def _from_prior(
    model: BaseVAE,
    judged: list[Judged],
    number: int,
    settings: Settings,
    summary: CoherenceSummary,
) -> dict[str, Any]:
    """Measures whether image and concept, generated together from nothing, agree.

    Of a concept that is not generated: whether all images agree. The variance of pixels is then
    that within the classes that the judge itself sees.
    """
    generated = examples_.sample_prior(model, number, settings)
    results = {}
    for one in judged:
        concept, values = one.concept, generated[one.image.name]
        verdict = one.reference.judge(values)
        true = concept.said(generated[concept.name]) if concept.is_modality else verdict.said
        asked = concept.asked(np.ones([number, *concept.modality.mask_shape]), true)
        found = one.reference.measure(values, true, asked, verdict=verdict)
        if not concept.is_modality:
            del found["coherence"]
            summary.add_joint(verdict.said, found)
        results |= _cells(one, " from the prior", found)
    return results


def _scale(one: Judged, known: Known, generated: int, seed: int) -> dict[str, Any]:
    """Measures real and reconstructed examples, and useless models."""
    image, concept, reference = one.image, one.concept, one.reference
    results = {}
    for name, shown in known.shown(image, concept, generated).items():
        results |= _cells(one, f", {name}", reference.measure(*shown))
    results |= _cells(one, ", real examples", reference.of_real())
    useless = known.useless(image, concept, *known.repeated(concept), seed)
    for name, shown in useless.items():
        results |= _cells(one, f", {name}", reference.measure(*shown))
    return results


def _useless_values(concept: Concept, known: Known, seed: int) -> dict[str, Any]:
    """Measures a concept's values that take no notice of what is given."""
    true, asked = truth(concept, known.test)
    training = concept.true(known.training.x)
    rows = np.random.default_rng([seed, 46]).integers(len(training), size=len(true))
    usual = np.broadcast_to(concept.most_frequent(training), true.shape)
    results = {}
    for name, said in (("most frequent", usual), ("random training example", training[rows])):
        score = {"coherence": concept.score(said, true, asked)}
        results |= cells(concept.name, f", useless: {name}", score, _titles(concept))
    return results


def _titles(concept: Concept) -> dict[str, str]:
    return {"coherence": concept.score_name}


def _cells(one: Judged, row: str, results: dict[str, Any]) -> dict[str, Any]:
    return cells(one.table, row, results, _titles(one.concept))
