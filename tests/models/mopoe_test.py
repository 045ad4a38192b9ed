"""What latents of a mixture of products are drawn from, given some modalities."""

import numpy as np
import pytest
import tensorflow_probability as tfp

from tests import tiny
from tf_mvae import MVAE, MoPoE
from tf_mvae.errors import UserError

GIVEN = ("image", "label")


@pytest.fixture
def given():
    return {name: tiny.make_batch()["x"][name] for name in GIVEN}


def test_by_default_it_is_the_product_of_what_is_given(given):
    model = tiny.make_any(MoPoE)
    drawn = model.latent_distribution(given)
    # A product of Gaussians adds up their precisions.
    experts = [model.experts(given)[name] for name in GIVEN]
    precision = sum(1 / expert.variance().numpy() for expert in experts)
    loc = sum(expert.mean().numpy() / expert.variance().numpy() for expert in experts) / precision
    np.testing.assert_allclose(drawn.mean(), loc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn.variance(), 1 / precision, rtol=1e-4)
    samples = model.latent_samples(given, num_samples=4000, seed=1).numpy()
    np.testing.assert_allclose(samples.mean(0), loc, atol=0.1)
    np.testing.assert_allclose(samples.std(0), precision**-0.5, atol=0.1)
    generated = model.generate(given, temperature=0.0)
    expected = model.decode(loc)
    np.testing.assert_allclose(generated["image"][0], expected["image"].mean(), atol=1e-5)


def test_the_mixture_is_the_posterior_and_one_argument_away(given):
    model = tiny.make_any(MoPoE)
    mixture = model.posterior(given)
    drawn = model.latent_distribution(given, latents="posterior")
    for found in (mixture, drawn):
        assert isinstance(found, tfp.distributions.MixtureSameFamily)
    np.testing.assert_allclose(drawn.mean(), mixture.mean())
    assert np.any(np.abs(mixture.mean() - model.latent_distribution(given).mean()) > 0.01)


def test_other_models_have_no_such_part(given):
    with pytest.raises(UserError, match="'product' is for MoPoE"):
        tiny.make_model().generate(given, latents="product")
    assert tiny.make_any(MVAE).posterior_kind.default_latents == "posterior"
