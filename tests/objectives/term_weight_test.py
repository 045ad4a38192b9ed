"""Weights of whole ELBO terms."""

import numpy as np
import pytest

from tests import tiny
from tf_mvae import MVAE, MVAEQ, Modality, likelihoods

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


def test_a_class_alone_weighs_a_tenth_where_other_things_are_drawn_from_it(tiny_batch):
    plain = tiny.make_model()
    for term_weight in (None, {"everything": 1, "image": 1, "label": 0.1, "reading": 1}):
        model = tiny.make_model(term_weight=term_weight)
        model.set_weights(plain.get_weights())
        np.testing.assert_allclose(
            model.elbo(tiny_batch, seed=5).loss, plain.elbo(tiny_batch, seed=5).loss, rtol=1e-6
        )


def test_default_weights():
    assert tiny.make_model().term_weight == {"label": 0.1}
    for told in ({}, {"image": 2}):  # to the letter, so that a saved model is what it was
        model = tiny.make_model(term_weight=told)
        assert model.term_weight == told
        assert MVAE.from_config(model.get_config()).term_weight == told
    # The paper's objective, and where a class is the only thing that others reconstruct.
    assert tiny.make_model(0).term_weight == {}
    assert tiny.make_model({"image": 0, "label": 1, "reading": 0}).term_weight == {}
    only_classes = [Modality(name, likelihoods.Categorical(3)) for name in ("a", "b")]
    assert MVAE(only_classes, latent_dim=2).term_weight == {}


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


@pytest.mark.parametrize("term_weight", [{"sound": 1.0}, {"label": -1.0}, {"label": np.nan}])
def test_mistakes_are_named(term_weight):
    with pytest.raises(ValueError, match="term_weight.*not"):
        tiny.make_model(term_weight=term_weight)
