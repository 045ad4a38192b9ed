"""Weights of examples: an example of weight 2 counts as two, one of weight 0 as none."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, JMVAE, MVAE, TELBO, VAE, BiVCCA, UserError

pytestmark = pytest.mark.usefixtures("untraced")

WEIGHTS = np.array([2, 0, 1, 3], np.float32)
PRESENT = np.array([[1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 1, 1]])


def repeated(batch):
    """Returns a batch with each example repeated as often as its weight."""
    rows = np.repeat(np.arange(len(WEIGHTS)), WEIGHTS.astype(int))
    return tf.nest.map_structure(lambda v: v[rows], batch)


@pytest.mark.parametrize("make", [MVAE, VAE, CVAE, JMVAE, TELBO, BiVCCA])
def test_the_loss_and_its_gradients_are_those_of_repeated_examples(make):
    """Up to normalisation: the mean is over the number of rows."""
    model = tiny.make_any(make)
    tiny.make_posterior_sharp(model)  # the noise of each row differs
    batch = tiny.part_of(tiny.make_batch(PRESENT), model)

    def gradients(data):
        return tiny.gradients_of(lambda: model.elbo(data, seed=3).loss, model.trainable_variables)

    weighted = gradients({**batch, "weight": WEIGHTS})
    expected = gradients(repeated(batch))
    scale = WEIGHTS.sum() / len(WEIGHTS)
    np.testing.assert_allclose(weighted[0], expected[0] * scale, rtol=1e-5)
    for one, other in zip(weighted[1], expected[1], strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other * scale, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def sharp():
    model = tiny.make_model()
    tiny.make_posterior_sharp(model)
    model.compile("sgd")
    return model


def test_metrics_are_weighted_means(sharp):
    batch = tiny.make_batch(PRESENT)
    weighted = sharp.evaluate(batch, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    expected = sharp.evaluate(repeated(batch), verbose=0, return_dict=True)
    scale = WEIGHTS.sum() / len(WEIGHTS)
    for name, value in expected.items():
        factor = scale if name == "loss" else 1
        np.testing.assert_allclose(weighted[name], value * factor, rtol=1e-5, err_msg=name)


def test_the_sums_of_replicas_are_weighted_too(sharp):
    """The sums and counts of metrics that `tf_mvae.training.Replicas` sums over replicas."""
    batch = tiny.make_batch(PRESENT)
    whole = sharp.test_on_batch(batch, sample_weight=WEIGHTS, return_dict=True)
    inside = {**batch, "weight": WEIGHTS}
    halves = [
        sharp.evaluation_sums(tf.nest.map_structure(lambda v, s=start: v[s : s + 2], inside))
        for start in (0, 2)
    ]
    for metric, one, other in zip(sharp.metrics, *halves, strict=True):
        total, count = one.numpy() + other.numpy()
        np.testing.assert_allclose(total / count, whole[metric.name], rtol=1e-4)


def forms(batch):
    """Returns the same weighted data in all accepted forms."""
    inside = {**batch, "weight": WEIGHTS}
    yield batch, {"sample_weight": WEIGHTS}
    yield inside, {}
    yield (batch, None, WEIGHTS), {}
    yield tf.data.Dataset.from_tensors(inside), {}
    yield (part for part in [inside]), {}
    yield (part for part in [(batch, None, WEIGHTS)]), {}


def test_every_form_of_weights_gives_the_same(sharp):
    batch = tiny.make_batch(PRESENT)
    found = [sharp.evaluate(x, verbose=0, **kwargs) for x, kwargs in forms(batch)]
    found.append(sharp.test_on_batch(batch, sample_weight=WEIGHTS))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5)
    assert not np.allclose(found[0], sharp.evaluate(batch, verbose=0))


def test_training_follows_the_weights(traced):
    """By `fit` and `train_on_batch`; the oracle is a step of SGD along the gradient of the loss."""
    batch = tiny.make_batch(PRESENT)
    inside = {**batch, "weight": WEIGHTS}
    model = tiny.make_model(seed=3)
    start = model.get_weights()
    seed = model._step_seed(tf.constant(0))
    _, gradients = tiny.gradients_of(
        lambda: model.elbo(inside, seed=seed, training=True).loss, model.trainable_variables
    )
    expected = [
        v.numpy() - 0.5 * g.numpy() for v, g in zip(start_of(model), gradients, strict=True)
    ]
    model.compile(keras.optimizers.SGD(0.5))
    for step in (
        lambda: model.fit(batch, sample_weight=WEIGHTS, shuffle=False, verbose=0),
        lambda: model.fit(inside, validation_data=(batch, None, WEIGHTS), shuffle=False, verbose=0),
        lambda: model.train_on_batch(batch, sample_weight=WEIGHTS),
    ):
        model.set_weights(start)
        model.optimizer.iterations.assign(0)
        step()
        tiny.assert_close(start_of(model), expected)
    before = model.get_weights()
    model.fit(batch, sample_weight=np.zeros(4), verbose=0)
    tiny.assert_close(model.get_weights(), before, 0, 0)
    ones = {**batch, "weight": np.ones(4)}
    np.testing.assert_allclose(model.elbo(ones).loss, model.elbo(batch).loss, rtol=1e-6)


def start_of(model):
    return [variable.value for variable in model.trainable_variables]


def test_self_training_takes_weights():
    model = tiny.make_model(self_training={"label": 0.5}, self_training_start=0)
    model.compile("sgd")
    before = model.get_weights()
    model.fit(tiny.make_batch(PRESENT), sample_weight=np.zeros(4), verbose=0)
    tiny.assert_close(model.get_weights(), before, 0, 0)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 1, 1, -1], "finite numbers of 0 or more"),
        ([1, 1, 1, np.nan], "finite numbers of 0 or more"),
        ([1, 1, 1, np.inf], "finite numbers of 0 or more"),
        ([1, 1, 1], "differ in length.*'weight': 3"),
        (np.ones([4, 1]), r"shape \[batch\]"),
        (["a"] * 4, "weight"),
        (1.0, r"shape \[batch\]"),
    ],
)
def test_wrong_weights_are_refused(sharp, weight, message):
    batch = tiny.make_batch(PRESENT)
    for call in (
        lambda: sharp.fit(batch, sample_weight=weight, verbose=0),
        lambda: sharp.elbo({**batch, "weight": weight}),
        lambda: sharp.test_on_batch({**batch, "weight": weight}),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_wrong_weights_in_a_data_set_are_refused(sharp):
    batch = {**tiny.make_batch(PRESENT), "weight": -WEIGHTS}
    with pytest.raises(UserError, match="weight must hold finite numbers of 0 or more"):
        sharp.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0)
    with pytest.raises(UserError, match="twice"):
        sharp.evaluate(batch, sample_weight=WEIGHTS, verbose=0)
