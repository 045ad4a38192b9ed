"""Weights of whole ELBO terms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, MVAEQ, Modality, ModalityGroup, likelihoods
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.models import default_term_weight

NO_NETWORKS = {"encoder": keras.layers.Identity(), "decoder": keras.layers.Identity()}
TERM_WEIGHT = {"everything": 0.5, "label": 3, "reading": 0}


@pytest.mark.parametrize("make", [MVAE, MVAEQ], ids=lambda make: make.__name__)
@pytest.mark.parametrize("num_random", [0, 2])
def test_the_loss_is_the_weighted_sum_of_unweighted_terms(make, num_random, tiny_batch):
    plain = tiny.make_any(make, num_random_subsets=num_random, term_weight={})
    weighted = tiny.make_any(make, num_random_subsets=num_random, term_weight=TERM_WEIGHT)
    weighted.set_weights(plain.get_weights())
    terms = plain.elbo(tiny_batch, kl_weight=0.3, seed=5)
    total = 0.0
    for example, row in enumerate(tiny.all_patterns(3)):
        weights = [0.5, 1, 3, 0] if row.sum() > 1 else [1, 1, 1, 1]
        for term, weight in enumerate(weights + [1] * num_random):
            total += weight * terms.valid[term, example] * terms.elbo[term, example]
    loss = weighted.elbo(tiny_batch, kl_weight=0.3, seed=5).loss
    np.testing.assert_allclose(loss, -total / 8, rtol=1e-5)
    assert loss != terms.loss


def columns(number, cross_weight=None):
    return [
        Modality(f"c{i}", likelihoods.Normal([]), **NO_NETWORKS, cross_weight=cross_weight)
        for i in range(number)
    ]


def classes(number):
    return [Modality(f"class{i}", likelihoods.Categorical(3), **NO_NETWORKS) for i in range(number)]


def group(number, cross_weight=None):
    names = [f"m{i}" for i in range(number)]
    return ModalityGroup("group", names, likelihoods.Bernoulli([]), cross_weight=cross_weight)


def test_without_a_mapping_the_weights_are_the_default_ones(tiny_batch):
    plain = tiny.make_model()
    for term_weight in (None, {"everything": 1, "image": 0.25, "label": 0.1, "reading": 0.25}):
        model = tiny.make_model(term_weight=term_weight)
        model.set_weights(plain.get_weights())
        np.testing.assert_allclose(
            model.elbo(tiny_batch, seed=5).loss, plain.elbo(tiny_batch, seed=5).loss, rtol=1e-6
        )


def test_default_weights_of_two_modalities():
    image, label = tiny.make_modalities()[:2]
    assert default_term_weight([image, label]) == {"label": 0.1}
    assert default_term_weight(columns(2)) == {}
    assert default_term_weight(classes(2)) == {}


@pytest.mark.parametrize("number", [3, 8, 19, 100])
def test_default_weights_fall_with_the_square_of_the_number_of_others(number):
    usual = 1 / (number - 1) ** 2
    expected = {f"c{i}": usual for i in range(number)}
    assert default_term_weight(columns(number)) == pytest.approx(expected)
    found = default_term_weight([*columns(number - 1), *classes(1)])
    assert found.pop("class0") == pytest.approx(min(0.1, usual))
    assert list(found.values()) == pytest.approx([usual] * (number - 1))
    assert set(default_term_weight(classes(number)).values()) == {usual}


@pytest.mark.parametrize("number", [8, 19, 100])
def test_members_of_a_group_reconstruct_themselves_only_and_weigh_1(number):
    assert default_term_weight([group(number)]) == {}
    image, label = tiny.make_modalities()[:2]
    assert default_term_weight([image, group(number - 1)]) == {}
    assert default_term_weight([image, label, group(number - 2)]) == {"label": 0.1}
    expected = {name: 1 / 4 for name in ("c0", "c1", "c2")}
    assert default_term_weight([*columns(3), group(number - 3)]) == expected


def test_the_papers_objective_has_the_papers_weights():
    assert default_term_weight(tiny.make_modalities(0)) == {}
    assert default_term_weight(columns(8, cross_weight=0)) == {}
    assert default_term_weight([*columns(3, cross_weight=0), group(5, cross_weight=0)]) == {}
    # A class that is predicted from an image, and nothing from the class.
    image, label = tiny.make_modalities({"image": 0, "label": 1, "reading": 0})[:2]
    assert default_term_weight([image, label]) == {}


def test_weights_that_are_given_are_kept_and_saved():
    for given in ({}, {"image": 2}):  # as they are, so that a saved model does not change
        model = tiny.make_model(term_weight=given)
        assert model.term_weight == given
        assert MVAE.from_config(model.get_config()).term_weight == given
    # A model of an earlier version: its file holds that version's default for three modalities.
    config = tiny.make_model().get_config() | {"term_weight": {"label": 0.1}}
    assert MVAE.from_config(config).term_weight == {"label": 0.1}


def trained_on_a_table(term_weight):
    """Trains on six columns of one factor; returns the KL and the error of hidden cells.

    The error is that of the mean of 20 samples over that of the column's mean. The best
    possible prediction has 0.87.
    """
    rng = np.random.default_rng(0)
    x = 0.6 * rng.normal(size=[2000, 1]) + 0.8 * rng.normal(size=[2000, 6])
    observed = rng.uniform(size=x.shape) > 0.25
    names = [f"c{i}" for i in range(6)]

    def batch(rows):
        arrays = {"x": x[rows], "mask": observed[rows]}
        return {
            key: {name: tf.constant(a[:, i], tf.float32) for i, name in enumerate(names)}
            for key, a in arrays.items()
        }

    keras.utils.set_random_seed(0)
    model = MVAE(
        [
            Modality(n, likelihoods.Normal([], None), mlp_encoder([8]), mlp_decoder([2], [8]))
            for n in names
        ],
        latent_dim=2,
        term_weight=term_weight,
    )
    model.compile(keras.optimizers.Adam(1e-2))
    model.optimizer.build(model.trainable_variables)
    step, train, test = (
        tf.function(model.train_step, autograph=False),
        *map(batch, (slice(1000), slice(1000, 2000))),
    )
    for _ in range(200):
        kl = float(step(train)["kl"])
        model.reset_metrics()
    generated = model.generate(test["x"], num_samples=20, mask=test["mask"], seed=1)
    imputed = np.stack([generated[name].numpy().mean(0) for name in names], 1)
    hidden, truth = ~observed[1000:], x[1000:]
    errors = [np.sqrt(np.mean((v - truth)[hidden] ** 2)) for v in (imputed, 0 * truth)]
    return kl, errors[0] / errors[1]


def test_the_default_does_not_collapse_on_a_table():
    kl, error = trained_on_a_table(None)
    assert kl > 0.3
    assert error < 0.93


@pytest.mark.long
def test_weights_of_one_do_collapse_on_that_table():
    """They are the default up to version 0.1: the table can tell them apart."""
    kl, error = trained_on_a_table({})
    assert kl < 0.05
    assert error > 0.98


def test_metrics_are_those_of_all_together_even_if_it_weighs_nothing():
    reports = []
    data = tiny.make_batch()
    plain = tiny.make_model()
    for term_weight in (None, {"everything": 0, "label": 0.1}):
        model = tiny.make_model(term_weight=term_weight)
        model.set_weights(plain.get_weights())
        model.compile(run_eagerly=True)
        reports.append(model.evaluate(data, verbose=0, return_dict=True))
    assert reports[0].pop("loss") != reports[1].pop("loss")
    assert reports[0] == reports[1]


def test_a_group_has_random_subsets_by_default():
    single = Modality("image", likelihoods.Bernoulli([4]))
    assert MVAE([single, group(3, 1.0)], 2).num_random_subsets == 2
    assert MVAE([group(2, 1.0)], 2).num_random_subsets == 0  # there is none
    assert MVAE([group(3, 0.0)], 2).num_random_subsets == 0
    assert MVAE([group(3, 1.0)], 2, num_random_subsets=1).num_random_subsets == 1
    assert tiny.make_model().num_random_subsets == 0


@pytest.mark.parametrize("term_weight", [{"sound": 1.0}, {"label": -1.0}, {"label": np.nan}])
def test_mistakes_are_named(term_weight):
    with pytest.raises(ValueError, match="term_weight"):
        tiny.make_model(term_weight=term_weight)
