"""Intervals of hidden sensors: of an exact model, and of data with more variance."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from tests import tiny
from tests.data.sensors_test import exact_model
from tf_mvae import CVAE, MVAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation_calibration import LEVELS
from tf_mvae.evaluation.intervals import analyze


@pytest.mark.parametrize("stretch", [1.0, 3.0])
def test_an_exact_model_covers_what_it_says(stretch):
    sensors, model = exact_model(6)
    data = tf.data.Dataset.from_tensor_slices({"x": {"sensors": stretch * sensors.sample(300, 3)}})
    run = SimpleNamespace(
        model=model,
        batches=lambda name, size, seed=0: data.batch(size),
        split=lambda name: SimpleNamespace(num_examples=300),
    )
    found = analyze(run, Settings(num_samples=300))
    for level in LEVELS:
        result = found[f"numbers inside the {level:.0%} interval"]
        assert 2000 < result["examples"] < 3400  # half of 300 * 6 * 3
        if stretch == 1:
            # Numbers of one example share a latent: more than the error of independent ones.
            assert abs(result["value"] - level) < 0.03
        else:
            assert result["value"] < level - 0.15


def test_only_numbers_have_intervals():
    bits = ModalityGroup("bits", ["a", "b"], likelihoods.Bernoulli([]))
    kinds = likelihoods.Columns([likelihoods.Categorical(3), likelihoods.Categorical(2)])
    parts = [likelihoods.Bernoulli([4]), kinds, likelihoods.CensoredWeibull()]
    modalities = [bits, *(Modality(f"m{i}", part) for i, part in enumerate(parts))]
    with pytest.raises(UserError, match="needs a modality of numbers"):
        analyze(SimpleNamespace(model=MVAE(modalities, 2)), Settings())


def test_a_model_that_needs_something_given_is_refused():
    with pytest.raises(UserError, match="without conditions"):
        analyze(SimpleNamespace(model=tiny.make_any(CVAE)), Settings())
