"""Decoding only the rows that batches of a known composition need."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, UserError

ROWS = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], np.float32)
MIXED = {"image": 0.25, "label": 0.0, "reading": 2.0}


def masks(present=ROWS):
    return {name: present[:, i] for i, name in enumerate(tiny.NAMES)}


def step(model, batch, seed=3):
    elbo = model.elbo(batch, seed=seed, training=True, num_samples=2)
    return elbo.loss, elbo.log_likelihood


def loss_and_gradients(model, batch):
    return tiny.gradients_of(lambda: step(model, batch)[0], model.trainable_variables)


@pytest.mark.parametrize(
    ("cross", "mode"),
    [
        (None, "eager"),
        (0.0, "eager"),
        (MIXED, "eager"),
        pytest.param(MIXED, "function", marks=pytest.mark.long),
        (MIXED, "xla"),
    ],
)
def test_loss_and_gradients_are_those_of_decoding_everything(cross, mode):
    model = tiny.make_model(cross)
    run = tiny.MODES[mode](lambda batch: loss_and_gradients(model, batch))
    # The rows may come in any order.
    batches = [tiny.make_batch(ROWS), tiny.make_batch(ROWS[[3, 5, 0, 4, 2, 1]], seed=1)]
    batches = [tf.nest.map_structure(tf.constant, batch) for batch in batches]
    expected = [run(batch) for batch in batches]
    model.expect(masks())
    run = tiny.MODES[mode](lambda batch: loss_and_gradients(model, batch))
    for batch, wanted in zip(batches, expected, strict=True):
        tiny.assert_close(run(batch), wanted, rtol=1e-4, atol=1e-5)


def test_the_share_is_what_a_loop_over_terms_counts():
    model = tiny.make_model(MIXED)
    model.expect(masks())
    terms = len(tiny.NAMES) + 1
    for index, modality in enumerate(model.modalities):
        rows = 0
        for row in ROWS:
            members = set(np.flatnonzero(row))
            own = {frozenset(members), *(frozenset([m]) for m in members)}
            rows += sum(row[index] and (index in term or modality.cross_weight > 0) for term in own)
        assert model.plan.shares[modality.name] == pytest.approx(rows / (terms * len(ROWS)))


def test_decoders_run_for_that_many_rows_only(monkeypatch):
    model = tiny.make_model()
    seen = []
    decode = type(model.modalities[0]).decode

    def spy(self, z, *args, **kwargs):
        seen.append((self.name, z.shape[0]))
        return decode(self, z, *args, **kwargs)

    monkeypatch.setattr(type(model.modalities[0]), "decode", spy)
    model.expect(masks())
    step(model, tiny.make_batch(ROWS))
    # Two samples; rows 0 and 1 have four and three terms, the others one.
    assert dict(seen) == {"image": 2 * 8, "label": 2 * 8, "reading": 2 * 6}
    seen.clear()
    model.elbo(tiny.make_batch(ROWS))  # not a training step
    assert dict(seen) == dict.fromkeys(tiny.NAMES, 4 * len(ROWS))


@pytest.mark.parametrize(
    "mode", ["eager", "function", pytest.param("xla", marks=pytest.mark.long)], indirect=True
)
def test_a_batch_that_needs_more_is_decoded_in_full(mode):
    model, whole = tiny.make_model(), tf.nest.map_structure(tf.constant, tiny.make_batch())
    run = mode(lambda: loss_and_gradients(model, whole))
    expected = run()
    model.expect(masks())  # of other batches
    tiny.assert_close(mode(lambda: loss_and_gradients(model, whole))(), expected, 1e-4, 1e-5)


def test_batch_norm_sees_the_same_rows():
    statistics = []
    for expected in (None, masks()):
        keras.utils.set_random_seed(0)
        model = tiny.make_model(batch_norm=True)
        model.expect(expected)
        step(model, tiny.make_batch(ROWS))
        statistics.append([np.array(v) for v in model.non_trainable_variables])
    tiny.assert_close(*statistics)


def test_a_modality_without_a_mask_is_named():
    with pytest.raises(UserError, match="masks of all modalities; add label, reading"):
        tiny.make_model().expect({"image": masks()["image"]})


def test_models_of_random_terms_expect_nothing():
    model = MVAE(tiny.make_modalities(), tiny.LATENT_DIM, num_random_subsets=1)
    model.expect(masks())
    assert model.plan.shares == {}
