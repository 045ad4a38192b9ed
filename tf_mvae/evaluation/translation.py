"""Translation of sentences, measured by BLEU and chrF."""

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import block_jackknife
from tf_mvae.extras import needing
from tf_mvae.models import BaseVAE
from tf_mvae.models.sentences import say, text_modalities
from tf_mvae.ops import random
from tf_mvae.settings import Setting

__all__ = ["analyze", "direction_scores", "languages_of", "scores", "translations"]

DECODING = Setting("decoding", "greedy", "How translations are chosen.", choices=("greedy", "beam"))
BEAM_WIDTH = Setting(
    "beam_width", 5, "Number of sentences that a beam search keeps.", checks.positive_integer
)

_BLOCKS = 20
_SHOWN = 50

Batches = Iterable[Mapping[str, Any]]


def translations(
    model: BaseVAE,
    batches: Batches,
    source: str,
    target: str,
    num_samples: int = 8,
    decoding: str = "greedy",
    beam_width: int = 5,
    seed: int = 0,
) -> list[str]:
    """Translates sentences: generates the most probable one given samples `z ~ q(z | source)`.

    Args:
        model: The model.
        batches: Batches of `{"x": ..., "mask": ...}`.
        source: The language to translate from.
        target: The language to translate to.
        num_samples: Samples of z per sentence; see `tf_mvae.models.sentences.say`.
        decoding: `'greedy'` or `'beam'`.
        beam_width: The number of sentences that a beam search keeps.
        seed: The seed of the samples; a batch's samples also depend on its index.

    Returns:
        One sentence per example.
    """

    @tf.function(autograph=False)
    def translate(value, mask, stream):
        z = model.latent_samples({source: value}, num_samples, {source: mask}, stream)
        z = tf.ensure_shape(z, [num_samples, None, model.latent_dim])
        return say(model, z, target, decoding, beam_width)[0][:, 0]

    likelihood, found = text_modalities(model)[target], []
    for place, batch in enumerate(batches):
        x, mask = unpack(batch, model.batch_inputs)
        stream = random.fold_in(tf.constant([seed, 23]), place)
        found += likelihood.text(translate(x[source], mask[source], stream))
    return found


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns BLEU and chrF of a corpus, 0 to 100, computed by sacreBLEU.

    (Papineni et al., ACL 2002; Popovic, WMT 2015; Post, WMT 2018.) The standard error is a
    jackknife over 20 blocks of sentences, or over sentences if there are fewer.

    Args:
        hypotheses: Generated sentences.
        references: Sentences by people, one for each generated sentence.

    Returns:
        `BLEU` and `chrF`, each with `value`, `standard_error`, `examples`, `unit` and
        sacreBLEU's `signature`.

    Raises:
        UserError: There is no sentence, or sacrebleu is not installed.
    """
    with needing("--analysis=translation", "translation"):
        from sacrebleu.metrics import BLEU, CHRF
    if not references:
        raise UserError(
            "no example has a sentence in both languages to compare; evaluate another --split"
        )
    found = {}
    for name, metric in (("BLEU", BLEU()), ("chrF", CHRF())):

        def score(rows: np.ndarray, metric: Any = metric) -> float:
            said, wanted = ([texts[row] for row in rows] for texts in (hypotheses, references))
            return metric.corpus_score(said, [wanted]).score

        every = np.arange(len(references))
        found[name] = {
            "value": score(every),
            "standard_error": block_jackknife(score, len(references), _BLOCKS),
            "examples": len(references),
            "unit": name,
            "signature": str(metric.get_signature()),
        }
    return found


def languages_of(run: Run) -> list[str]:
    """Returns the names of a run's languages.

    Args:
        run: The run.

    Raises:
        UserError: There are fewer than two languages, or the model has conditions.
    """
    names, config = list(text_modalities(run.model)), run.config
    if len(names) < 2 or run.model.conditions:
        raise UserError(
            "--analysis=translation and translation_baseline need a model of at least two "
            f"languages without conditions; {config.model} of {config.experiment} has {len(names)} "
            "languages; choose another --analysis"
        )
    return names


def direction_scores(
    run: Run,
    settings: Settings,
    translate: Callable[[str, str], Sequence[str]],
) -> tuple[dict[str, Any], list[str]]:
    """Scores every direction between the languages of a run.

    Args:
        run: The run.
        settings: The settings of the evaluation.
        translate: A function from a source and a target language to a sentence for each example of
            the split.

    Returns:
        Results by `"TARGET | SOURCE: METRIC"`, and lines of example sentences. The references are
        the original sentences; examples in which one of the two is missing are excluded. A second
        result, `"TARGET | SOURCE: METRIC by chance"`, is the score of the same translations with
        the references of other examples (those half of the split further on): the score of fluent
        sentences that say something else.

    Raises:
        UserError: There are fewer than two languages, or the model has conditions.
    """
    names = languages_of(run)
    written = {n: texts[: settings.max_examples] for n, texts in run.text(settings.split).items()}
    results, lines = {}, []
    for source in names:
        for target in names:
            if source == target:
                continue
            pairs = zip(written[source], written[target], strict=True)
            rows = [row for row, pair in enumerate(pairs) if all(pair)]
            said = translate(source, target)
            chosen = [said[row] for row in rows]
            wanted = [written[target][row] for row in rows]
            half = len(wanted) // 2
            others = wanted[half:] + wanted[:half]
            for references, note in ((wanted, ""), (others, " by chance")):
                for metric, result in scores(chosen, references).items():
                    results[f"{target} | {source}: {metric}{note}"] = result
            for row in rows[:_SHOWN]:
                texts = written[source][row], written[target][row], said[row]
                given, reference, answer = (" ".join(text.split()) for text in texts)  # a line each
                lines += [
                    f"{source}: {given}",
                    f"  {target}, by people: {reference}",
                    f"  {target}, by the model: {answer}",
                ]
    return results, lines


@analysis(
    "translation",
    "BLEU and chrF in every direction",
    num_samples=8,
    settings=(DECODING, BEAM_WIDTH),
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Translates a run's split in every direction; the `translation` analysis.

    Example sentences are written to `evaluation/translation.txt` in the run directory.

    Raises:
        UserError: There are fewer than two languages, or the model has conditions.
    """

    def translate(source: str, target: str) -> list[str]:
        batches = settings.shown_batches(run, f"{source} to {target}")
        decoding, beam_width = settings.value(DECODING), settings.value(BEAM_WIDTH)
        how = (settings.num_samples, decoding, beam_width, settings.seed)
        return translations(run.model, batches, source, target, *how)

    results, lines = direction_scores(run, settings, translate)
    write_lines(run.directory / "evaluation" / "translation.txt", lines)
    return results


def write_lines(path: pathlib.Path, lines: Sequence[str]) -> None:
    """Writes a text file, and creates its folder.

    Args:
        path: The file.
        lines: Its lines.
    """
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
