"""Scores of translations."""

import sys
import types

import numpy as np
import pytest

from tf_mvae.errors import UserError
from tf_mvae.evaluation import Settings, translation
from tf_mvae.evaluation.translation import direction_scores, scores

WANTED = [f"the file number {n} is {w} now" for n, w in enumerate("open closed lost new".split())]


def test_perfect_and_hopeless_translations_have_100_and_0():
    perfect, hopeless = scores(WANTED, WANTED), scores(["zzz"] * 4, WANTED)
    for metric in ("BLEU", "chrF"):
        assert perfect[metric]["value"] == pytest.approx(100)
        assert perfect[metric]["standard_error"] == pytest.approx(0, abs=1e-6)
        assert hopeless[metric]["value"] < 1
        assert perfect[metric]["examples"] == 4
        assert "version:" in perfect[metric]["signature"]


def test_bleu_is_that_of_its_definition():
    """BLEU of one changed word: precisions over the corpus, no brevity penalty."""
    said = [*WANTED[:3], WANTED[3].replace("new", "old")]  # seven words each, the sixth changed
    matches = [(28 - 1) / 28, (24 - 2) / 24, (20 - 2) / 20, (16 - 2) / 16]
    expected = 100 * np.exp(np.mean(np.log(matches)))
    assert scores(said, WANTED)["BLEU"]["value"] == pytest.approx(expected, rel=1e-6)


def test_the_error_is_a_jackknifes():
    import sacrebleu

    said = [*WANTED[:2], "the file", WANTED[3]]
    metric = sacrebleu.metrics.CHRF()
    without = []
    for left_out in range(4):
        rows = [row for row in range(4) if row != left_out]
        one = metric.corpus_score([said[r] for r in rows], [[WANTED[r] for r in rows]])
        without.append(one.score)
    expected = np.sqrt(3 / 4 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert scores(said, WANTED)["chrF"]["standard_error"] == pytest.approx(expected)


def test_nothing_to_compare_and_a_missing_package_are_told(monkeypatch):
    with pytest.raises(UserError, match="no example has a sentence"):
        scores([], [])
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(UserError, match="pip install"):
        scores(WANTED, WANTED)


def test_a_sentence_to_look_at_is_a_line_whatever_it_holds(monkeypatch):
    monkeypatch.setattr(translation, "languages_of", lambda run: ["en", "vi"])
    written = {"en": ["one\u2028line", "two"], "vi": ["một\ndòng", "hai"]}
    run = types.SimpleNamespace(text=lambda split: written)
    results, lines = direction_scores(run, Settings(), lambda source, target: written[target])
    assert results["vi | en: BLEU"]["examples"] == 2
    assert [len(line.splitlines()) for line in lines] == [1] * 12
    assert lines[:3] == [
        "en: one line",
        "  vi, by people: một dòng",
        "  vi, by the model: một dòng",
    ]


def test_what_has_nothing_to_do_with_its_source_scores_by_chance_alone(monkeypatch):
    monkeypatch.setattr(translation, "languages_of", lambda run: ["en", "vi"])
    run = types.SimpleNamespace(text=lambda split: {"en": WANTED, "vi": WANTED})
    right, _ = direction_scores(run, Settings(), lambda source, target: WANTED)
    same, _ = direction_scores(run, Settings(), lambda source, target: [WANTED[0]] * 4)
    for metric in ("BLEU", "chrF"):
        name = f"vi | en: {metric}"
        assert right[name]["value"] == pytest.approx(100)
        others = scores(WANTED, [*WANTED[2:], *WANTED[:2]])[metric]["value"]
        assert right[f"{name} by chance"]["value"] == pytest.approx(others) and others < 90
        assert same[f"{name} by chance"]["value"] == pytest.approx(same[name]["value"])
