"""Sub-word vocabularies: from sentences to ids and back, by SentencePiece."""

import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tf_mvae.errors import UserError
from tf_mvae.extras import needing
from tf_mvae.ops.tokens import END, FIRST_WORD, PAD, START

__all__ = ["Vocabulary"]

_SUFFIX = ".model"


class Vocabulary:
    """Sub-words of one language (Kudo and Richardson, *SentencePiece*, EMNLP 2018).

    A sentence becomes its sub-words' ids, `END` and padding, as `tf_mvae.ops.tokens` lays them
    out. The model file is SentencePiece's own, a protocol buffer; it is read, never run.

    Attributes:
        pieces: What each id stands for; U+2581 stands for a space.

    Example:

    ```python
    vocabulary = Vocabulary.train(sentences, size=4000)
    ids, cut = vocabulary.encode(["The file could not be opened."], length=32)
    vocabulary.decode(ids)      # the sentence again
    ```
    """

    def __init__(self, model: bytes, name: str = "the vocabulary"):
        """Reads a model.

        Args:
            model: A model file's content.
            name: The name in messages.

        Raises:
            UserError: It is none, or its first ids are not padding, start, end and unknown.
        """
        processor = _sentencepiece().SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(model)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{name} is no SentencePiece model, or a damaged one") from error
        ids = (processor.pad_id(), processor.bos_id(), processor.eos_id(), processor.unk_id())
        if ids != (PAD, START, END, FIRST_WORD):
            raise UserError(
                f"{name} numbers padding, start, end and unknown {ids}, not "
                f"{(PAD, START, END, FIRST_WORD)}"
            )
        self.model = model
        self._processor = processor
        self.pieces = [processor.IdToPiece(i) for i in range(processor.GetPieceSize())]

    @classmethod
    def train(cls, sentences: Iterable[str], size: int) -> "Vocabulary":
        """Learns sub-words (a unigram model) from sentences; the same ones from the same.

        Args:
            sentences: The text; sentences are taken once each, in order.
            size: The most ids; there are fewer where the text does not hold so many.

        Raises:
            UserError: There is no text, or it holds more characters than `size`.
        """
        text = [sentence for sentence in dict.fromkeys(sentences) if sentence]
        if not text:
            raise UserError("there is no text to make a vocabulary of")
        library, written = _sentencepiece(), io.BytesIO()
        try:
            library.SentencePieceTrainer.Train(
                sentence_iterator=iter(text),
                model_writer=written,
                vocab_size=size,
                hard_vocab_limit=False,
                model_type="unigram",
                character_coverage=1.0,
                pad_id=PAD,
                bos_id=START,
                eos_id=END,
                unk_id=FIRST_WORD,
                num_threads=1,  # more of them add up in another order
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            message = str(error).strip().splitlines()[-1][-200:]
            raise UserError(f"a vocabulary of {size} cannot be made: {message}") from error
        return cls(written.getvalue())

    @classmethod
    def load(cls, path: pathlib.Path) -> "Vocabulary":
        """Reads a file that `save` wrote.

        Raises:
            UserError: It is missing or damaged.
        """
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"vocabulary {path} cannot be read: {error.strerror}") from error

    def save(self, path: pathlib.Path) -> None:
        """Writes the model file."""
        path.write_bytes(self.model)

    @property
    def size(self) -> int:
        """The number of ids, including symbols and the unknown piece."""
        return len(self.pieces)

    def encode(self, sentences: Sequence[str], length: int) -> tuple[np.ndarray, int]:
        """Returns ids, int32 `[sentences, length]`, and how many sentences were cut.

        A sentence of more symbols is cut, without an end: its beginning, whose rest is not
        known. An empty sentence becomes padding only.

        Args:
            sentences: The text.
            length: The most symbols, the end among them.
        """
        ids, cut = np.full([len(sentences), length], PAD, np.int32), 0
        for row, said in enumerate(self._processor.Encode(list(sentences))):
            if not said:
                continue
            said = [*said, END]
            cut += len(said) > length
            ids[row, : len(said)] = said[:length]
        return ids, cut

    def decode(self, ids: Any) -> list[str]:
        """Returns sentences of ids `[sentences, length]`, up to their ends."""
        rows = np.asarray(ids)
        ended = np.cumsum(rows <= END, axis=1) > 0
        said = [row[~over].tolist() for row, over in zip(rows, ended, strict=True)]
        return self._processor.Decode(said)

    @staticmethod
    def path(directory: pathlib.Path, language: str) -> pathlib.Path:
        """Returns the path of a language's model file in a directory."""
        return pathlib.Path(directory) / f"{language}{_SUFFIX}"


def _sentencepiece() -> Any:
    with needing("text", "translation"):
        import sentencepiece
    return sentencepiece
