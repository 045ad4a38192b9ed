"""Arguments of the posterior kind and of the objective, which presets share."""

import pytest

from tests import tiny
from tf_mvae.models import JMVAE, MVTCAE, VAE, BiVCCA, MoPoE


def make(preset, number=2, **kwargs):
    return preset(tiny.make_modalities()[:number], tiny.LATENT_DIM, **kwargs)


def test_arguments_reach_the_part_that_takes_them_and_the_configuration():
    model = make(MoPoE, num_subsets=3, subset_seed=7, num_samples=2)
    config = model.get_config()
    assert model.posterior_kind.num_subsets == config["num_subsets"] == 3
    assert model.posterior_kind.subset_seed == config["subset_seed"] == 7
    assert model.num_samples == config["num_samples"] == 2
    model = make(MVTCAE, alpha=0.25)
    assert model.objective.alpha == model.get_config()["alpha"] == 0.25
    assert JMVAE(tiny.make_modalities(), alpha=0.5).objective.alignment_weight == 0.5


def test_an_argument_that_neither_part_takes_is_refused():
    for preset, wrong in ((VAE, "alignment_weight"), (BiVCCA, "alpha"), (MVTCAE, "prior_expert")):
        with pytest.raises((TypeError, ValueError), match=wrong):
            make(preset, 1 if preset is VAE else 2, **{wrong: 0.5})
