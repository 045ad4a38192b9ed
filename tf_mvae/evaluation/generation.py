"""Coherence, fidelity and diversity of examples that a model generates from each subset.

docs/generation.md explains each measure, and how models score that have learned nothing.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tf_mvae import checks
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
from tf_mvae.settings import Setting

__all__ = ["analyze"]

_MOST_EXAMPLES = 10_000
_MOST_NUMBERS = 2**26  # pixels in one array of images (256 MiB); several are in memory at a time

WAYS = Setting(
    "ways",
    (),
    "Other ways to sample latents, each reported in rows of its own: temperature=0.8, guidance=1.",
)
_WAYS = {"temperature": (float, checks.non_negative), "guidance": (int, checks.positive_integer)}


class Judged(NamedTuple):
    """A generated modality to judge.

    Attributes:
        image: The modality.
        concept: The property that it is judged by.
        reference: The real examples that it is compared with.
        table: The title of its table in the report.
    """

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
    settings=(WAYS,),
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures examples generated from each subset and from the prior; the `generation` analysis.

    From each subset of the modalities of every example (at most 10,000; fewer if images are large),
    all other modalities are generated with the model's default settings. Generated images are
    measured by coherence (the fraction that a judge assigns to the true class), the Frechet
    distance in the judge's features, the variance of pixels within a class, density and coverage.
    Classes, strings and attributes are measured by coherence. For comparison the same is measured
    for reconstructions, for real training examples, and for models that have learned nothing.
    `--ways` adds rows for other ways to sample latents.

    Raises:
        UserError: The model has no image, or no class, string or attributes to judge images by, or
            `--ways` has an unknown entry.
    """
    model, ways = run.model, _ways(settings)
    images = [m for m in model.targets if m.likelihood.is_image]
    images = [m for m in images if not (m.mask_shape or m.element_mask)]
    concepts = concepts_of(model)
    outside = None if concepts else outside_class(run)
    concepts = [outside] if outside is not None else concepts
    if not images or not concepts:
        raise UserError(
            "--analysis=generation needs an image and a class, a string or attributes to judge it "
            "by; choose another --analysis"
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
        for way in ways:
            results |= _given(model, known, judged, concepts, subset, settings, summary, way)
    for way in () if model.conditions else ways:
        results |= _from_prior(model, judged, generated, settings, summary, way)
    for one in judged:
        results |= _scale(one, known, generated, settings.seed)
    for concept in concepts:
        if concept.name in {modality.name for modality in model.targets}:
            results |= _useless_values(concept, known, settings.seed)
    if outside is not None:
        results |= summary.results(settings.seed)
    # A report's keys are sorted by name; `place` keeps the order of rows.
    return {
        name: {**result, "place": place} for place, (name, result) in enumerate(results.items())
    }


def _ways(settings: Settings) -> list[dict[str, Any]]:
    """Returns arguments of `generate` and `sample`: no arguments, then those of each `--ways`."""
    found: list[dict[str, Any]] = [{}]
    for text in settings.value(WAYS):
        name, _, value = text.partition("=")
        if name not in _WAYS:
            raise UserError(f"--ways are temperature=NUMBER or guidance=NUMBER, not {text!r}")
        kind, check = _WAYS[name]
        try:
            number = kind(value)
        except ValueError:
            raise UserError(f"--ways: {name} needs a number, not {value!r}") from None
        found.append({name: check(f"--ways: {name}", number)})
    return found


def _in_words(way: dict[str, Any]) -> str:
    """Returns the end of a row's title, such as `, temperature 0.8`."""
    return "".join(f", {name} {value:g}" for name, value in way.items())


def _judged(
    run: Run,
    settings: Settings,
    known: Known,
    image: Modality,
    concept: Concept,
    concepts: list[Concept],
) -> Judged:
    """Returns an image modality with its reference and the title of its table."""
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
    way: dict[str, Any],
) -> dict[str, Any]:
    """Measures examples that are generated from one subset of each example's modalities."""
    targets = {modality.name for modality in model.targets} - set(subset.names)
    if not targets & {*(one.image.name for one in judged), *(c.name for c in concepts)}:
        return {}
    words = subset.describe([group.name for group in attribute_groups(model.modalities)])
    words += _in_words(way)
    generated, given = examples_.generate(model, known.test, subset, settings, way)
    times, test, results = settings.num_samples, known.test, {}
    for concept in concepts:
        true, asked_of_real = truth(concept, test._replace(mask=test.mask | given))
        repeated = np.repeat(true, times, 0), np.repeat(asked_of_real, times, 0)
        if concept.name in targets:
            score = concept.score(concept.said(generated[concept.name]), *repeated, times)
            results |= cells(concept.name, f" | {words}", {"coherence": score}, _titles(concept))
        for one in judged:
            if one.concept is concept and one.image.name in targets:
                values = generated[one.image.name]
                verdict = one.reference.judge(values)
                found = one.reference.measure(values, *repeated, times, asked_of_real, verdict)
                if not concept.is_modality and not way:
                    summary.add(len(subset.names), repeated[0], verdict.said, found, times)
                results |= _cells(one, f" | {words}", found)
    return results


def _from_prior(
    model: BaseVAE,
    judged: list[Judged],
    number: int,
    settings: Settings,
    summary: CoherenceSummary,
    way: dict[str, Any],
) -> dict[str, Any]:
    """Measures whether an image and a concept that are generated together from the prior agree.

    If the concept is not a modality, the summary measures whether all images agree, and the
    variance of pixels is that within the classes that the judge assigns.
    """
    generated = examples_.sample_prior(model, number, settings, way)
    results = {}
    for one in judged:
        concept, values = one.concept, generated[one.image.name]
        verdict = one.reference.judge(values)
        true = concept.said(generated[concept.name]) if concept.is_modality else verdict.said
        asked = concept.asked(np.ones([number, *concept.modality.mask_shape]), true)
        found = one.reference.measure(values, true, asked, verdict=verdict)
        if not concept.is_modality:
            del found["coherence"]
            if not way:
                summary.add_joint(verdict.said, found)
        results |= _cells(one, f" from the prior{_in_words(way)}", found)
    return results


def _scale(one: Judged, known: Known, generated: int, seed: int) -> dict[str, Any]:
    """Measures real and reconstructed examples, and models that have learned nothing."""
    image, concept, reference = one.image, one.concept, one.reference
    results = {}
    for name, shown in known.shown(image, concept, generated).items():
        results |= _cells(one, f", {name}", reference.measure(*shown))
    results |= _cells(one, ", real examples", reference.of_real())
    useless = known.useless(image, concept, *known.repeated(concept), seed, known.num_samples)
    for name, shown in useless.items():
        results |= _cells(one, f", {name}", reference.measure(*shown))
    return results


def _useless_values(concept: Concept, known: Known, seed: int) -> dict[str, Any]:
    """Measures predictions of a concept that do not depend on the given modalities."""
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
    """Returns columns' titles by the results' names, where these differ."""
    return {"coherence": concept.score_name}


def _cells(one: Judged, row: str, results: dict[str, Any]) -> dict[str, Any]:
    return cells(one.table, row, results, _titles(one.concept))
