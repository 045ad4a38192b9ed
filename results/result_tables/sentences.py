"""Strings: predicted from canvases, and translated."""

import itertools
import re

from result_tables.kept import Result, counted, nats, picture, reported, share, table, weights
from result_tables.sentence_files import read_sentences

_SCORES = (("translation", ""), ("translation", " by chance"), ("translation_baseline", ""))


def transcription_table(results: list[Result]) -> str:
    """MultiMNIST: strings predicted from canvases, and likelihoods."""
    rows, pictures = [], []
    canvases = [result for result in results if result.config.experiment == "multi_mnist"]
    for result, _ in reported(canvases, "transcription"):
        config = result.config
        pictures += picture(result, "image_given_text.jpg", "canvases generated from strings")
        rows.append(
            [
                config.model,
                weights(config.cross_weight, "the same"),
                result.schedule(),
                share(result.of("transcription", "text | image, whole")),
                share(result.of("transcription", "text | image, whole: always the same")),
                share(result.of("transcription", "text | image, symbols")),
                nats(result.of("log_likelihood", "log p(image)")),
                nats(result.of("log_likelihood", "log p(image, text)")),
                *(counted(result, analysis) for analysis in ("transcription", "log_likelihood")),
            ]
        )
    head = [
        "model", "cross weight", "epochs / annealing, learning rate", "strings right",
        "strings right, always the same string", "symbols right", "log p(image)",
        "log p(image, text)", "canvases", "canvases of log p",
    ]  # fmt: skip
    return "\n\n".join([table(head, rows), *pictures]) if rows else "No run yet."


def translation_table(results: list[Result]) -> str:
    """Sentences translated, by the fraction of pairs: the model and a supervised network."""
    found = [r for r, _ in reported(results, "translation")]
    rows = []
    for result in sorted(found, key=_fraction):
        for source, target in itertools.permutations(result.config.languages, 2):
            scores = [
                nats(result.of(analysis, f"{target} | {source}: {metric}{note}"), 1)
                for metric in ("BLEU", "chrF")
                for analysis, note in _SCORES
            ]
            likelihoods = [
                nats(result.of("log_likelihood", f"log p({what})"), 1)
                for what in (target, f"{target} | {source}")
            ]
            row = [
                _paired(result),
                _how(result),
                f"{source} to {target}",
                result.schedule(),
                *scores,
                *likelihoods,
            ]
            rows.append(row + [counted(result, a) for a in ("translation", "log_likelihood")])
    head = [
        "paired", "KL weight, pooling", "direction", "epochs / annealing, learning rate", "BLEU",
        "BLEU, other references", "BLEU, supervised",
        "chrF", "chrF, other references", "chrF, supervised",
        "log p(target)", "log p(target \\| source)", "sentences", "sentences of log p",
    ]  # fmt: skip
    return table(head, rows) if rows else "No run yet."


def sentence_tables(results: list[Result]) -> str:
    """The first sentences of the test split, and what each run made of them."""
    said: dict[tuple[str, ...], list[list[str]]] = {}
    for result in sorted(results, key=_fraction):
        ours, theirs = (
            read_sentences(result.folder / f"{name}.txt")
            for name in ("translation", "translation_baseline")
        )
        for pair, sentence in ours.items():
            texts = map(_plain, (sentence, theirs.get(pair, "-")))
            row = [_paired(result), _how(result), *texts]
            said.setdefault(pair, []).append(row)
    parts, head = [], ["paired", "KL weight, pooling", "model", "supervised"]
    for (source, given, target, wanted), rows in said.items():
        title = f"*{_plain(given)}* ({source}), by people *{_plain(wanted)}* ({target}):"
        parts += [title, table(head, rows)]
    return "\n\n".join(parts) or "No run yet."


def _plain(text: str) -> str:
    """Writes text so that nothing in it is taken for Markdown."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", text)


def _fraction(result: Result) -> float:
    """The fraction of pairs that a run saw whole."""
    fraction = result.config.paired_fraction
    return 1.0 if fraction is None else fraction


def _how(result: Result) -> str:
    """What decides how much of a sentence the latent keeps."""
    return f"{result.config.kl_weight:g}, {result.config.pooling}"


def _paired(result: Result) -> str:
    return f"{100 * _fraction(result):g} %"
