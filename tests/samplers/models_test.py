"""Every kind of model takes a sampler."""

import numpy as np
import pytest

from tests import tiny
from tests.samplers.samplers_test import shaken
from tf_mvae import MVAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.models import JMVAE, MMVAEPlus
from tf_mvae.samplers import CouplingFlow, fit

pytestmark = pytest.mark.usefixtures("untraced")


def with_group():
    group = ModalityGroup("tags", ["a", "b", "c"], likelihoods.Bernoulli([]))
    return MVAE([Modality("reading", likelihoods.Normal([3])), group], latent_dim=3)


@pytest.mark.parametrize("make", [JMVAE, MMVAEPlus, with_group])
def test_it_is_fitted_and_used(make):
    if make is with_group:
        model = with_group()
        rng = np.random.default_rng(0)
        batch = {
            "x": {"reading": rng.normal(size=[8, 3]), "tags": rng.integers(2, size=[8, 3])},
            "mask": {"tags": rng.integers(2, size=[8, 3])},
        }
        batch = {part: {n: np.float32(v) for n, v in own.items()} for part, own in batch.items()}
    else:
        options = {"private_dim": 2} if make is MMVAEPlus else {}
        model = tiny.make_any(make, **options)
        batch = tiny.part_of(tiny.make_batch(), model)
    sampler = CouplingFlow(model.latent_dim, model.num_columns, 2, units=8, width=8)
    history = fit(model, batch, sampler, epochs=1, jit_compile=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    given = {model.modalities[0].name: batch["x"][model.modalities[0].name]}
    for value in model.generate(given, 2, seed=1).values():
        assert value.shape[:2] == (2, 8) and np.all(np.isfinite(value))
    assert model.latent_samples(given, 2).shape == (2, 8, model.latent_dim)
    assert len(model.trainable_variables) == len(model.variables) - len(sampler.variables)


def test_unconditional_samples_are_drawn_through_the_class():
    model = tiny.make_model()
    with pytest.raises(UserError, match="through says what a sampler draws first"):
        model.sample(2, through=["label"])
    rng = np.random.default_rng(1)
    sampler = CouplingFlow(model.latent_dim, model.num_columns, 2, units=8, width=8)
    for weight in sampler.weights:
        weight.assign(rng.normal(size=weight.shape))
    model.set_sampler(sampler)
    z_0 = sampler.sample(4000, model._blank_context(), 1)[:, 0]
    classes = np.mean(model.decode(z_0)["label"].probs_parameter(), axis=0)
    each = model.latent_samples({"label": np.arange(len(classes))}, 4000, seed=2).numpy()
    expected = classes @ each.mean(0)
    z = model._drawn_from_nothing(4000, np.int32([5, 6]), 1.0, guidance=1).numpy()
    deviation = np.sqrt(classes @ np.square(each - expected).mean(0) / len(z))
    assert np.all(np.abs(z.mean(0) - expected) < 5 * deviation)
    assert np.max(np.abs(z_0 - expected).mean(0) / deviation) > 10  # the two differ
    direct = model._drawn_from_nothing(4000, np.int32([5, 6]), 1.0, through=()).numpy()
    assert np.all(np.abs(direct.mean(0) - z_0.numpy().mean(0)) < 5 * z_0.numpy().std(0) / 40)
    with pytest.raises(UserError, match="names has 'sound'"):
        model.sample(2, through=["sound"])


def test_what_is_missing_does_not_depend_on_the_batch():
    model, batch = tiny.make_model(), tiny.make_batch()
    sampler = CouplingFlow(model.latent_dim, model.num_columns, 2, units=8, width=8)
    model.set_sampler(shaken(sampler, 0.3))
    whole = model({"x": batch["x"], "mask": batch["mask"]})
    alone = model({part: {n: v[5:] for n, v in own.items()} for part, own in batch.items()})
    assert any(np.any(mask[5:] == 0) for mask in batch["mask"].values())
    for name, value in alone.items():
        np.testing.assert_allclose(value, whole[name][5:], rtol=1e-4, atol=1e-5, err_msg=name)
