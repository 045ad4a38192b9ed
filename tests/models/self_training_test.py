"""Predicted classes as targets for missing ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE
from tf_mvae.models.self_training import guess_missing

ROWS = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]], np.float32)


def make(confidence, **kwargs):
    keras.utils.set_random_seed(0)
    return tiny.make_model(self_training={"label": confidence}, **kwargs)


def completed(model, batch, weight=1.0):
    x, mask = (tf.nest.map_structure(tf.constant, batch[part]) for part in ("x", "mask"))
    return guess_missing(model, x, mask, model.self_training, tf.constant(weight))


def aligned_by_hand(model, batch):
    """Returns class probabilities aligned with the labels of the batch, by loops over classes."""
    mask, label = batch["mask"]["label"], batch["x"]["label"]
    z = model.posterior(batch["x"], batch["mask"]).mean()
    raw = model.decode(z)["label"].probs_parameter().numpy().astype(np.float64)
    asked = [row for row in range(len(mask)) if not mask[row] and ROWS[row].any()]
    for _ in range(3):
        for value in range(tiny.NUM_CLASSES):
            labelled = sum(mask[row] and label[row] == value for row in range(len(mask)))
            rate = (labelled + 1) / (mask.sum() + tiny.NUM_CLASSES)
            guesses = sum(raw[row, value] for row in asked)
            raw[:, value] *= rate / (guesses + tiny.NUM_CLASSES * rate)
        raw /= raw.sum(axis=1, keepdims=True)
    return raw


def test_a_guess_is_the_most_probable_class_given_what_is_there():
    batch = tiny.make_batch(ROWS)
    batch["x"]["label"][[1, 4]] = [-1, 10**6]  # what is masked is never looked at
    model = make(0.0)
    x, targets = completed(model, batch)
    np.testing.assert_array_equal(targets["label"], [1, 1, 1, 1, 0, 1])
    for name in ("image", "reading"):
        np.testing.assert_array_equal(targets[name], batch["mask"][name])
    expected = aligned_by_hand(model, batch).argmax(axis=1)
    np.testing.assert_array_equal(x["label"][1:4], expected[1:4])
    np.testing.assert_array_equal(x["label"].numpy()[[0, 4, 5]], batch["x"]["label"][[0, 4, 5]])


def test_a_guess_counts_above_the_confidence_only():
    batch = tiny.make_batch(ROWS)
    best = aligned_by_hand(make(0.0), batch).max(axis=1)
    threshold = float(np.median(best[1:4])) - 1e-6
    _, targets = completed(make(threshold), batch)
    np.testing.assert_array_equal(targets["label"][1:4], best[1:4] > threshold)
    assert 0 < targets["label"].numpy()[1:4].sum() < 3
    assert not completed(make(1.0), batch)[1]["label"].numpy()[1:5].any()
    assert not completed(make(0.0), batch, weight=0.0)[1]["label"].numpy()[1:5].any()


def test_guesses_do_not_all_fall_to_one_class_where_labels_do_not():
    """The decoder predicts class 0 for all examples, and labels are balanced."""
    rng = np.random.default_rng(0)
    batch = tiny.make_batch(np.array([[1, 1, 1]] * 50 + [[1, 0, 1]] * 50, np.float32))
    batch["x"]["label"][:50] = np.arange(50) % tiny.NUM_CLASSES
    model = make(0.0)
    layers = model.modalities[1].decoder.layers
    head = [layer for layer in layers if isinstance(layer, keras.layers.Dense)][-1]
    head.set_weights([rng.normal(0, 5, head.kernel.shape), np.array([2.5, 0, 0, 0, 0])])
    z = model.posterior(batch["x"], batch["mask"]).mean()
    raw = model.decode(z)["label"].probs_parameter().numpy()[50:].argmax(axis=1)
    assert np.mean(raw == 0) > 0.75
    guesses = completed(model, batch)[0]["label"].numpy()[50:]
    assert np.mean(guesses == 0) < 0.5


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_loss_is_that_of_guesses_as_targets_that_no_encoder_sees(share):
    batch = tiny.make_batch(ROWS)
    model = make(0.0, self_training_start=1, self_training_weight=share)
    model.compile(keras.optimizers.SGD(0.0))
    losses = []
    for _ in range(2):
        model.metrics[0].reset_state()
        model.train_step(tf.nest.map_structure(tf.constant, batch))
        losses.append(float(model.metrics[0].result()))
    guessed, targets = completed(model, batch)
    for step, (loss, wanted) in enumerate(zip(losses, (None, targets), strict=True)):
        # By hand: each row's own term with the guessed label's log-likelihood added.
        elbo = model.elbo(batch, seed=model._step_seed(tf.constant(step)), training=True)
        total = -tf.reduce_sum(elbo.valid * elbo.elbo, axis=0)
        if wanted is not None:
            decoded = model.decode(elbo.z[0])["label"].log_prob(guessed["label"])
            new = wanted["label"] - batch["mask"]["label"]
            weight = model.modalities[1].cross_weight * share
            total -= tf.reduce_sum(elbo.valid * decoded, axis=0) * weight * new
        assert loss == pytest.approx(float(tf.reduce_mean(total)), rel=1e-5)


def test_a_model_says_how_much_it_decodes_with_guesses():
    model = make(0.0)
    model.expect({name: ROWS[:, i] for i, name in enumerate(tiny.NAMES)})
    plain = tiny.make_model()
    plain.expect({name: ROWS[:, i] for i, name in enumerate(tiny.NAMES)})
    extra = {n: 24 * (model.plan.shares[n] - plain.plan.shares[n]) for n in tiny.NAMES}
    # Rows 1, 2 and 3 lack the label, and have three, one and one terms.
    assert extra == {"image": 0, "label": pytest.approx(5), "reading": 0}


@pytest.mark.parametrize("asked", [{"image": 0.9}, {"label": 1.5}, {"sound": 0.9}])
def test_what_cannot_be_guessed_is_refused(asked):
    with pytest.raises(ValueError, match="self_training"):
        MVAE(tiny.make_modalities(), tiny.LATENT_DIM, self_training=asked)


def test_the_elbo_metric_counts_what_the_data_hold_only():
    """Predicted classes are targets in the loss, but not in the ELBO metric."""
    batch = tiny.make_batch(ROWS)
    guessing = make(0.0, self_training_start=0)
    plain = tiny.make_model()
    plain.set_weights(guessing.get_weights())
    for model in (guessing, plain):
        model.compile(keras.optimizers.SGD(0.0))
    one, other = (m.train_on_batch(batch, return_dict=True) for m in (guessing, plain))
    assert abs(one["loss"] - other["loss"]) > 0.1  # the guesses are there
    for name in ("elbo", "kl", "label_log_likelihood", "image_log_likelihood"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, err_msg=name)
