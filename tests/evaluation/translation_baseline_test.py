"""The supervised translator learns, and keeps the best weights."""

import types

import keras
import numpy as np
import pytest

from tests import tiny
from tf_mvae import Modality, UserError, likelihoods
from tf_mvae.evaluation import ANALYSES, Settings, translation_baseline
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder
from tf_mvae.ops.tokens import END

LENGTH, WORDS = 5, 4


def text(name):
    network = RecurrentDecoder(3 + WORDS, units=24, embedding_size=8, num_layers=1)
    likelihood = likelihoods.TokenSequence(3 + WORDS, LENGTH, network, context_size=24)
    return Modality(name, likelihood, RecurrentEncoder(3 + WORDS, units=24, embedding_size=8))


def sentences(number, seed):
    """Two words, an end and padding."""
    rows = np.zeros([number, LENGTH], np.int32)
    rows[:, :2] = np.random.default_rng(seed).integers(3, 3 + WORDS, [number, 2])
    rows[:, 2] = END
    return rows


def test_the_best_weights_of_all_rounds_are_kept(monkeypatch):
    monkeypatch.setattr(translation_baseline, "_ROUND", 20)
    keras.utils.set_random_seed(0)
    model = translation_baseline.SequenceToSequence(text("one"), text("other"), latent_dim=24)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    train, checks = sentences(200, 1), sentences(70, 2)

    def loss():
        return float(model._loss(checks, checks, training=False))

    begin = loss()
    # Batches of 50 and 20: the mean is that of the sentences, not of the batches.
    told = model.evaluate(checks, checks, batch_size=50, verbose=0, return_dict=True)
    np.testing.assert_allclose(told["loss"], begin, rtol=1e-5)
    shown = []

    def progress(rounds):
        for number in rounds:
            yield shown.append(number)

    steps = translation_baseline.train_on_pairs(
        model, (train, train), (checks, checks), 50, 110, 0, progress
    )
    assert shown == list(range(6))
    told = model.history.history["val_loss"]
    assert steps == 18 * (1 + np.argmin(told)) and len(told) == 6  # 110 steps in 6 rounds
    np.testing.assert_allclose(loss(), min(told), rtol=1e-5)
    assert loss() < 0.6 * begin


@pytest.mark.parametrize("analysis", ["translation", "translation_baseline"])
def test_a_run_without_two_languages_is_told_before_its_data_are_read(analysis):
    config = types.SimpleNamespace(model="mvae", experiment="digits")
    run = types.SimpleNamespace(model=tiny.make_model(), config=config, checkpoint_step=3)
    # It has nothing of its data that could be read.
    with pytest.raises(UserError, match="two languages without conditions; mvae of digits has 0"):
        ANALYSES[analysis].analyze(run, Settings())
