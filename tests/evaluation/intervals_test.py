"""Intervals of hidden sensors: of an exact model, and of data with more variance."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.data.sensors_test import exact_model
from tf_mvae import CVAE, MVAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.evaluation import Settings
from tf_mvae.evaluation.imputation_calibration import LEVELS
from tf_mvae.evaluation.intervals import analyze


def coverage(stretch, samples):
    """Returns the coverage of an exact model's intervals, of 300 examples times factors."""
    sensors, model = exact_model(6)
    data = tf.data.Dataset.from_tensor_slices({"x": {"sensors": stretch * sensors.sample(300, 3)}})
    run = SimpleNamespace(
        model=model,
        batches=lambda name, size, seed=0: data.batch(size),
        split=lambda name: SimpleNamespace(num_examples=300),
    )
    found = analyze(run, Settings(num_samples=samples))
    return {level: found[f"numbers inside the {level:.0%} interval"] for level in LEVELS}


@pytest.mark.parametrize("samples", [20, 300])
def test_an_exact_model_covers_what_it_says(samples):
    """Of 20 samples, quantiles of numpy's default would cover 81 % with the level 90 %."""
    for level, result in coverage(1, samples).items():
        assert 2000 < result["examples"] < 3400  # half of 300 * 6 * 3
        # Numbers of one example share a latent: more than the error of independent ones.
        assert abs(result["value"] - level) < 0.03


def test_data_with_more_variance_are_covered_less():
    for level, result in coverage(3, 100).items():
        assert result["value"] < level - 0.15


def test_standard_errors_are_over_examples():
    """Every second example is outside of most intervals."""
    for result in coverage(np.tile([1.0, 5.0], 150)[:, np.newaxis, np.newaxis], 50).values():
        independent = np.sqrt(result["value"] * (1 - result["value"]) / result["examples"])
        assert result["standard_error"] > 1.3 * independent and 280 < result["rows"] <= 300


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
