"""Sentences in two or more languages, one modality each (Wu and Goodman, NeurIPS 2018, section 6).

The paper's translation study has a recurrent sentence VAE for each language (Bowman et al.,
CoNLL 2016) and does not give widths, vocabularies or weights; those here are our own.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from tf_mvae import checks
from tf_mvae.data.parallel_text import read_parallel_text, text_split
from tf_mvae.data.pipeline import Split
from tf_mvae.data.vocabulary import Vocabulary
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.experiments.registry import DATASET_DIR, Experiment, register
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, mlp_decoder
from tf_mvae.layers.recurrent import POOLINGS
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["load", "modalities", "prepare", "vocabularies"]

_UNITS = 256
Weights = Mapping[str, float]


def load(
    split: str,
    data_dir: str | None,
    dataset_dir: str | None = None,
    languages: Sequence[str] = (),
    max_length: int = 0,
    assets_dir: str | None = None,
    **_: object,
) -> Split:
    """Returns sentences as ids; as strings in languages that have no vocabulary.

    Args:
        split: Its name.
        data_dir: Where TFDS keeps data.
        dataset_dir: See `read_parallel_text`.
        languages: See there.
        max_length: The most symbols of a sentence; longer ones are cut, and counted in a message.
        assets_dir: Where `prepare` wrote the vocabularies, a vae's own alone; none as yet
            where None.
    """
    sentences = read_parallel_text(split, languages, dataset_dir, data_dir)
    if assets_dir is None:
        return text_split(sentences)
    made = [n for n in languages if Vocabulary.path(pathlib.Path(assets_dir), n).is_file()]
    x: dict[str, Any] = dict(sentences)
    presence = {}
    for language, vocabulary in vocabularies(assets_dir, made or languages).items():
        x[language], cut = vocabulary.encode(sentences[language], max_length)
        presence[language] = x[language][:, 0] > 0
        if cut:
            logging.warning(
                "%s: %d of %d sentences in %s are longer than --max_length=%d and were cut",
                split,
                cut,
                len(x[language]),
                language,
                max_length,
            )
    return text_split(x, presence)


def prepare(
    split: Split,
    directory: pathlib.Path,
    languages: Sequence[str] = (),
    vocabulary_size: int = 0,
    **_: object,
) -> None:
    """Makes a vocabulary of each language, of what a run may see of its training text.

    Args:
        split: Strings by language, as `load` gives them, empty where they are hidden.
        directory: Where to write them.
        languages: The languages; of those that the split is without none is made.
        vocabulary_size: The most ids of each.

    Raises:
        UserError: A language has no text, or more characters than ids.
    """
    columns = {name: [] for name in languages if name in split.dataset.element_spec["x"]}
    for batch in split.dataset.batch(1000).as_numpy_iterator():
        for language, found in columns.items():
            found += [text.decode("utf-8") for text in batch["x"][language]]
    for language, sentences in columns.items():
        try:
            vocabulary = Vocabulary.train(sentences, vocabulary_size)
        except UserError as error:
            raise UserError(f"language {language!r}: {error}") from error
        vocabulary.save(Vocabulary.path(directory, language))


def vocabularies(assets_dir: str, languages: Sequence[str]) -> dict[str, Vocabulary]:
    """Reads what `prepare` wrote, by language."""
    folder = pathlib.Path(assets_dir)
    return {name: Vocabulary.load(Vocabulary.path(folder, name)) for name in languages}


def modalities(
    likelihood_weight: Weights,
    cross_weight: Weights,
    languages: Sequence[str] = (),
    max_length: int = 0,
    word_dropout: float = 0.0,
    pooling: str = "last",
    assets_dir: str | None = None,
    **_: object,
) -> list[Modality]:
    """Returns the languages.

    Embeddings of 256, a bidirectional GRU of 256 to read and a GRU of 256 to write, whose
    context is a Swish layer of 256 over the latent.
    """
    if assets_dir is None:
        raise UserError("the vocabularies of --experiment=translation are in a run's assets/")
    found = []
    for name, vocabulary in vocabularies(assets_dir, languages).items():
        size = vocabulary.size
        network = RecurrentDecoder(size, _UNITS, _UNITS, 1, word_dropout)
        found.append(
            Modality(
                name,
                likelihoods.TokenSequence(size, max_length, network, _UNITS, vocabulary.pieces),
                RecurrentEncoder(size, _UNITS, _UNITS, pooling),
                mlp_decoder([_UNITS], [_UNITS]),
                likelihood_weight.get(name, 1.0),
                cross_weight.get(name),
            )
        )
    return found


def _names(languages: Sequence[str], **_: object) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(languages, ())


register(
    Experiment(
        name="translation",
        analyses=("translation",),
        description="The same sentences in several languages, as sub-words",
        load=load,
        modalities=modalities,
        prepare=prepare,
        named_by="languages",
        names=_names,
        tokenizers=vocabularies,
        settings=(
            DATASET_DIR,
            Setting("languages", ("en", "vi"), "The languages; each is a modality."),
            Setting(
                "vocabulary_size",
                4000,
                "Largest number of sub-words of a language, including special symbols.",
                checks.positive_integer,
            ),
            Setting(
                "max_length",
                32,
                "Largest number of sub-words of a sentence, including its end.",
                checks.positive_integer,
            ),
            Setting(
                "word_dropout",
                0.0,
                "Fraction of words that training hides from the decoder.",
                checks.fraction,
            ),
            Setting(
                "pooling",
                "last",
                "What an encoder keeps of a sentence: the last states of both directions, or the "
                "greatest value of each unit over all words.",
                choices=POOLINGS,
            ),
        ),
    )
)
