"""Sub-words: conversion to ids and back, repeatable training, and errors for damaged models."""

import numpy as np
import pytest

from tf_mvae.data.vocabulary import Vocabulary
from tf_mvae.errors import UserError
from tf_mvae.ops.tokens import END, PAD

TEXT = [
    "Mở tập tin này",
    "Đóng tập tin này",
    "Lưu tập tin đã mở",
    "Không thể mở tập tin này",
    "Không thể đóng cửa sổ đã mở",
] * 3


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.train(TEXT, 60)


def test_sentences_become_ids_and_sentences_again(vocabulary):
    ids, cut = vocabulary.encode(TEXT, 40)
    assert cut == 0 and ids.dtype == np.int32 and ids.shape == (15, 40)
    assert ids.min() == PAD and ids.max() < vocabulary.size <= 60
    assert vocabulary.decode(ids) == TEXT
    for row in ids:
        end = row.tolist().index(END)
        assert np.all(row[:end] > END) and np.all(row[end + 1 :] == PAD)


def test_long_sentences_are_cut_without_an_end_and_empty_ones_are_padding(vocabulary):
    whole, _ = vocabulary.encode(TEXT[:1], 40)
    length = whole[0].tolist().index(END)  # its words
    ids, cut = vocabulary.encode([TEXT[0], "", TEXT[0]], length)
    assert cut == 2
    assert np.array_equal(ids[0], whole[0, :length]) and END not in ids[0]
    assert not ids[1].any()
    fits, cut = vocabulary.encode(TEXT[:1], length + 1)
    assert cut == 0 and fits[0, -1] == END


def test_the_same_text_makes_the_same_model_to_the_byte(vocabulary, tmp_path):
    assert Vocabulary.train(TEXT, 60).model == vocabulary.model
    assert Vocabulary.train(TEXT[::-1] + ["Một câu khác"], 60).model != vocabulary.model
    vocabulary.save(tmp_path / "vi.model")
    again = Vocabulary.load(tmp_path / "vi.model")
    assert again.pieces == vocabulary.pieces
    assert np.array_equal(again.encode(TEXT, 40)[0], vocabulary.encode(TEXT, 40)[0])


def test_characters_that_were_never_seen_are_unknown(vocabulary):
    ids, _ = vocabulary.encode(["Mở 木"], 20)
    assert 3 in ids[0]


def test_what_is_no_model_is_refused(vocabulary, tmp_path):
    with pytest.raises(UserError, match=r"vi.model cannot be read: No such file"):
        Vocabulary.load(tmp_path / "vi.model")
    for content in (b"", b"nothing of the kind", vocabulary.model[:-40]):
        (tmp_path / "vi.model").write_bytes(content)
        with pytest.raises(UserError, match="no SentencePiece model, or a damaged one"):
            Vocabulary.load(tmp_path / "vi.model")


def test_a_model_of_other_symbols_is_refused(tmp_path):
    import sentencepiece

    stem = tmp_path / "other"
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXT),
        model_prefix=str(stem),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(UserError, match="numbers padding, start, end and unknown"):
        Vocabulary.load(stem.with_suffix(".model"))


def test_too_small_a_vocabulary_and_no_text_are_told():
    with pytest.raises(UserError, match="a vocabulary of 5 cannot be made"):
        Vocabulary.train(TEXT, 5)
    with pytest.raises(UserError, match="no text"):
        Vocabulary.train(["", ""], 60)
