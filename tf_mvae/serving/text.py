"""Exports a translation model as a SavedModel from sentences to sentences."""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_mvae.data.vocabulary import Vocabulary
from tf_mvae.distributions.likelihoods import TokenSequence
from tf_mvae.errors import UserError
from tf_mvae.extras import needing
from tf_mvae.models import BaseVAE
from tf_mvae.models.sentences import say, text_modalities
from tf_mvae.ops.tokens import END, PAD
from tf_mvae.serving.conversion import other_latents
from tf_mvae.serving.directories import write_version
from tf_mvae.serving.export import read_meta_graph
from tf_mvae.serving.modality_description import describe_modalities
from tf_mvae.serving.model_card import ModelCard, write_model_card
from tf_mvae.serving.signatures import ServedModel
from tf_mvae.serving.tracing import check_stock_operations, save_signatures, trace

__all__ = ["export_text"]

# Operations of tensorflow-text, which TensorFlow Serving includes.
_OPERATIONS = ("SentencepieceOp", "SentencepieceTokenizeOp")
_SAMPLES = 8  # samples of the latent per sentence


def export_text(
    model: BaseVAE,
    tokenizers: Mapping[str, Vocabulary],
    root: str | os.PathLike,
    version: int | None = None,
    card: ModelCard | None = None,
) -> pathlib.Path:
    """Writes a SavedModel that translates strings, as a numbered version.

    The only signature, `serving_default`, takes a string `[batch]` for each language, empty if the
    sentence is missing, and a `seed` `[2]`. It returns a string `[batch]` for each language: the
    most probable sentence, chosen word by word, under 8 samples of the latent given the observed
    sentences (`tf_mvae.models.sentences.say`). The graph contains the sub-words. Python programs
    have to import `tensorflow_text` before they load it; TensorFlow Serving includes these
    operations.

    Args:
        model: The model.
        tokenizers: The `Vocabulary` of each modality, by name.
        root: The directory of all versions.
        version: The version's number; default: the largest number plus 1.
        card: Facts about the model's training, for the model card; default: an empty card.

    Returns:
        The version's directory.

    Raises:
        UserError: A modality is not text in sub-words, tensorflow-text is not installed, or the
            directory cannot be written.
    """
    texts = text_modalities(model)
    names = [modality.name for modality in model.modalities]
    spelled = {name for name, found in tokenizers.items() if isinstance(found, Vocabulary)}
    if set(names) != set(texts) or set(names) != spelled or model.given_to_decoders:
        raise UserError(
            "--format=text is for models all of whose modalities are text in sub-words; export "
            "another format (saved_model)"
        )
    library = _tensorflow_text()

    def write(directory: pathlib.Path) -> None:
        served = ServedModel(model)
        served.tokenizers = {
            name: library.SentencepieceTokenizer(
                model=tokenizers[name].model, add_eos=True, name=_resource(tokenizers[name].model)
            )
            for name in names
        }
        function = _translation(model, texts, served.tokenizers)
        save_signatures(served, directory, {"serving_default": function})
        check_stock_operations(read_meta_graph(directory).graph_def, _OPERATIONS)
        extra = directory / "assets.extra"
        extra.mkdir()
        other = {"latents": said} if (said := other_latents(model, "text")) else {}
        description = describe_modalities(model) | {"format": "text", **other}
        (extra / "tf_mvae.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        write_model_card(extra, card or ModelCard(), description)

    return write_version(root, write, version, marker="saved_model.pb")


def _translation(
    model: BaseVAE, texts: Mapping[str, TokenSequence], tokenizers: Mapping[str, Any]
) -> tf.types.experimental.PolymorphicFunction:
    """Returns the signature's function, from one sentence per language to one per language."""
    names = [modality.name for modality in model.modalities]

    def translate(seed, **given):
        x, mask = {}, {}
        for name in names:
            x[name], mask[name] = _ids(given[name], tokenizers[name], texts[name].length)
        z = model._infer(x, mask).sample(_SAMPLES, seed)
        z = tf.ensure_shape(z, [_SAMPLES, None, model.latent_dim])
        return {name: _joined(texts[name], say(model, z, name)[0][:, 0]) for name in names}

    specs = [tf.TensorSpec([None], tf.string, name=name) for name in names]
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    return trace(translate, [*specs, seed], {"seed": tf.zeros([2], tf.int32)})


def _ids(sentences: tf.Tensor, tokenizer: Any, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the ids of sentences, `[batch, length]`, and a mask, `[batch]`: 0 for empty ones."""
    sentences = tf.strings.strip(sentences)
    there = tf.strings.length(sentences) > 0
    ids = tokenizer.tokenize(sentences).to_tensor(PAD, shape=[None, length])
    return tf.where(there[:, tf.newaxis], ids, PAD), tf.cast(there, tf.float32)


def _resource(content: bytes) -> str:
    """Returns a unique name of a tokeniser, from a hash of its sub-words.

    TensorFlow shares resources of the same name, also of an empty one: a process that loads two
    tokenisers under one name would use the first for both.
    """
    return f"sentencepiece_{hashlib.sha256(content).hexdigest()[:16]}"


def _joined(likelihood: TokenSequence, ids: tf.Tensor) -> tf.Tensor:
    """Converts ids `[batch, length]` to strings `[batch]`, as `TokenSequence.text` does."""
    words = ["" if number <= END else word for number, word in enumerate(likelihood.words)]
    said = tf.strings.reduce_join(tf.gather(tf.constant(words), ids), axis=-1)
    # SentencePiece marks the beginning of a word with U+2581.
    return tf.strings.strip(tf.strings.regex_replace(said, "\u2581", " "))


def _tensorflow_text() -> Any:
    with needing("--format=text", "translation"):
        import tensorflow_text
    return tensorflow_text
