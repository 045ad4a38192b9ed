"""Every kind of model takes a sampler."""

import numpy as np
import pytest

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.models import JMVAE, MMVAEPlus
from tf_mvae.samplers import CouplingFlow, fit


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
