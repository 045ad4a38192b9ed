"""Tests of the families of likelihoods against scipy: densities, means, quantiles, samples."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests import tiny
from tf_mvae import Modality, UserError, likelihoods
from tf_mvae.batch import check_arrays

ROWS = 40


def softplus(x):
    return np.logaddexp(0, x) + 1e-3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def negative_binomial(a, b, scale=1.0):
    mean, count = scale * np.exp(a), np.exp(b)
    return scipy.stats.nbinom(count, count / (count + mean))


class Inflated:
    """Zero-inflated counts, which scipy does not have."""

    def __init__(self, a, b, c):
        self.counts, self.share = negative_binomial(a, b), sigmoid(c)

    def logpmf(self, x):
        return np.log(self.share * (x == 0) + (1 - self.share) * self.counts.pmf(x))

    def cdf(self, x):
        return np.where(x < 0, 0, self.share + (1 - self.share) * self.counts.cdf(x))

    def mean(self):
        return (1 - self.share) * self.counts.mean()

    def ppf(self, q):
        inner = np.clip((q - self.share) / (1 - self.share), 1e-12, 1)
        return np.where(q <= self.share, 0, self.counts.ppf(inner))


SCALE = np.array([1.0, 8.0, 300.0])
FAMILIES = {
    "NegativeBinomial": (
        lambda: likelihoods.NegativeBinomial([3], SCALE),
        lambda a, b: negative_binomial(a, b, SCALE),
    ),
    "ZeroInflatedNegativeBinomial": (
        lambda: likelihoods.ZeroInflatedNegativeBinomial([3]),
        Inflated,
    ),
    "StudentT": (
        lambda: likelihoods.StudentT([3], 3.5),
        lambda a, b: scipy.stats.t(3.5, a, softplus(b)),
    ),
    "StudentTLearned": (
        lambda: likelihoods.StudentT([3], None),
        lambda a, b, c: scipy.stats.t(1 + softplus(c), a, softplus(b)),
    ),
    "Beta": (
        lambda: likelihoods.Beta([3]),
        lambda a, b: scipy.stats.beta(
            softplus(b) * sigmoid(a) + 1e-4, softplus(b) * sigmoid(-a) + 1e-4
        ),
    ),
    "Gamma": (
        lambda: likelihoods.Gamma([3]),
        lambda a, b: scipy.stats.gamma(softplus(b), scale=np.exp(a) / softplus(b)),
    ),
    "LogNormal": (
        lambda: likelihoods.LogNormal([3]),
        lambda a, b: scipy.stats.lognorm(softplus(b), scale=np.exp(a)),
    ),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    make, oracle = FAMILIES[request.param]
    likelihood = make()
    rng = np.random.default_rng(1)
    number = likelihood.parameter_shape[0]
    raw = rng.normal(size=[number, ROWS, 3])
    raw[1] += 1.5  # not all mass at an end
    parameters = tf.constant(np.stack(list(raw), 1), tf.float32)
    rows = parameters.numpy().astype(np.float64)
    return likelihood, parameters, oracle(*(rows[:, i] for i in range(number)))


def inside(likelihood, values):
    return np.clip(values, likelihood.low, likelihood.high).astype(np.float32)


def test_the_density_is_scipys(family):
    likelihood, parameters, oracle = family
    quantiles = np.random.default_rng(2).uniform(0.05, 0.95, [ROWS, 3])
    value = inside(likelihood, oracle.ppf(quantiles))
    exact = getattr(oracle, "logpmf", None) or oracle.logpdf
    if likelihood.is_count:
        exact = oracle.logpmf
    expected = exact(value.astype(np.float64))
    found = likelihood.element_log_prob(parameters, tf.constant(value))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)
    whole = likelihood.log_prob(parameters, tf.constant(value))
    np.testing.assert_allclose(whole, expected.sum(-1), rtol=1e-3, atol=5e-3)


def test_mean_and_quantiles_are_scipys(family):
    likelihood, parameters, oracle = family
    np.testing.assert_allclose(likelihood.expected_value(parameters), oracle.mean(), rtol=1e-3)
    for probability in (0.1, 0.5, 0.9):
        found = likelihood.quantile(parameters, probability).numpy()
        if likelihood.is_count:  # float32 and float64 may disagree about a step's very edge
            assert np.all(oracle.cdf(found) >= probability - 1e-3)
            assert np.all(oracle.cdf(found - 1) <= probability + 1e-3)
        else:
            np.testing.assert_allclose(found, oracle.ppf(probability), rtol=2e-3, atol=1e-3)


def test_samples_have_the_distribution_and_follow_the_seed(family):
    likelihood, parameters, oracle = family
    distribution = likelihood.distribution(parameters)
    samples = distribution.sample(2000, seed=[3, 4]).numpy()
    np.testing.assert_array_equal(samples, distribution.sample(2000, seed=[3, 4]))
    for probability in (0.25, 0.75):
        bound = (
            oracle.ppf(probability) if not likelihood.is_count else oracle.ppf(probability) + 0.5
        )
        share = (samples <= bound).mean(0)
        expected = oracle.cdf(np.floor(bound) if likelihood.is_count else bound)
        assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / 2000)


def test_the_placeholder_is_inside_and_masked_entries_are_never_nan(family):
    likelihood, parameters, _ = family
    modality = Modality("thing", likelihood, element_mask=True)
    modality.connect(2)
    value = np.full([ROWS, 3], np.nan, np.float32)

    def run():
        prepared = modality.prepare(value, tf.ones([ROWS]))
        log_prob = modality.log_prob(parameters, prepared, tf.zeros([ROWS]))
        loc, _ = modality.encode(value, tf.ones([ROWS]))
        return tf.reduce_sum(log_prob) + tf.reduce_sum(loc)

    with tf.GradientTape() as tape:
        tape.watch(parameters)
        total = run()
    gradients = tape.gradient(total, [parameters, *modality.encoder.trainable_variables])
    assert np.isfinite(total)
    assert all(np.isfinite(g).all() for g in gradients if g is not None)


@pytest.mark.parametrize(
    ("likelihood", "bad"),
    [
        (likelihoods.NegativeBinomial([1]), -1.0),
        (likelihoods.ZeroInflatedNegativeBinomial([1]), -1.0),
        (likelihoods.StudentT([1]), np.inf),
        (likelihoods.Beta([1]), 0.0),
        (likelihoods.Beta([1]), 1.0),
        (likelihoods.Gamma([1]), 0.0),
        (likelihoods.LogNormal([1]), -2.0),
        (likelihoods.Columns([likelihoods.Gamma([1])]), 0.0),
    ],
)
def test_values_outside_the_support_are_refused_unless_masked(likelihood, bad):
    modality = Modality("thing", likelihood)
    x = np.array([[0.5], [bad]], np.float32)
    with pytest.raises(UserError, match="must hold"):
        check_arrays({"x": {"thing": x}}, [modality])
    check_arrays({"x": {"thing": x}, "mask": {"thing": [1.0, 0.0]}}, [modality])


def test_cumulative_logits_are_their_definition():
    likelihood = likelihoods.Ordinal(4, ["none", "mild", "moderate", "severe"])
    parameters = np.random.default_rng(0).normal(size=[30, 3]) * 3
    steps = np.cumsum(np.concatenate([np.zeros([30, 1]), softplus(parameters[:, 1:])], 1), 1)
    below = sigmoid(steps - steps.mean(1, keepdims=True) - parameters[:, :1])
    cumulated = np.concatenate([np.zeros([30, 1]), below, np.ones([30, 1])], 1)
    found = likelihood.expected_value(tf.constant(parameters, tf.float32))
    np.testing.assert_allclose(found, np.diff(cumulated, axis=1), atol=1e-6)
    classes = np.arange(30) % 4
    log_prob = likelihood.log_prob(tf.constant(parameters, tf.float32), tf.constant(classes))
    np.testing.assert_allclose(
        np.exp(log_prob), np.diff(cumulated, axis=1)[np.arange(30), classes], rtol=1e-4, atol=1e-7
    )
    median = likelihood.quantile(tf.constant(parameters, tf.float32), 0.5)
    np.testing.assert_array_equal(median, (below < 0.5).sum(1))
    extreme = tf.constant([[1e4, -50.0, 60.0], [-1e4, 0.0, 0.0]])
    assert np.isfinite(likelihood.log_prob(extreme, tf.constant([3, 0]))).all()


def test_columns_are_their_parts_side_by_side():
    parts = [
        likelihoods.Normal([2], scale=None),
        likelihoods.Categorical(3),
        likelihoods.NegativeBinomial([1]),
        likelihoods.Ordinal(4),
    ]
    likelihood = likelihoods.Columns(parts)
    parameters = tf.constant(
        np.random.default_rng(0).normal(size=[6, *likelihood.parameter_shape]), tf.float32
    )
    value = likelihood.distribution(parameters).sample(seed=[0, 1])
    own = likelihood.part_parameters(parameters)
    each = likelihood.element_log_prob(parameters, value)
    tiny.assert_close(each[:, 2], parts[1].log_prob(own[1], tf.cast(value[:, 2], tf.int32)))
    tiny.assert_close(tf.reduce_sum(each, 1), likelihood.distribution(parameters).log_prob(value))
    expected = likelihood.expected_value(parameters)
    tiny.assert_close(expected[:, :2], own[0][:, 0])
    np.testing.assert_array_equal(expected[:, 2], np.argmax(own[1], 1))
    seen = likelihood.network_input(value, tf.constant([[True] * 2 + [False] + [True] * 2] * 6))
    np.testing.assert_array_equal(seen[:, 2:5], 0)  # the class's three places
    assert seen.shape == (6, 2 + 3 + 1 + 4 + 5)
    with pytest.raises(UserError, match="cannot be a part"):
        likelihoods.Columns([likelihoods.Normal([2, 2])])


def test_classes_are_averaged_over_latents_as_probabilities():
    likelihood = likelihoods.Columns([likelihoods.Normal([1]), likelihoods.Categorical(3)])
    # Of three latents two are sure of class 0 and one of class 2: on average it is 0, and not 1.
    parameters = tf.constant([[1.0, 9, 0, 0], [2.0, 9, 0, 0], [6.0, 0, 0, 9]])[:, tf.newaxis]
    found = likelihood.expected_over_samples(parameters)
    np.testing.assert_allclose(found, [[3.0, 0.0]], atol=1e-5)


def test_a_small_count_teaches_a_large_mean_next_to_more_zeros():
    likelihood = likelihoods.ZeroInflatedNegativeBinomial([4])
    x, log_mean = np.array([0, 1, 3, 900.0], np.float32), np.float32(np.log(1000))
    parameters = tf.Variable([[log_mean] * 4, [10.0] * 4, [0.5] * 4])
    with tf.GradientTape() as tape:
        found = likelihood.element_log_prob(parameters, x)
    count = np.exp(10.0)
    counts = scipy.stats.nbinom.logpmf(x, count, count / (count + 1000)) + np.log(sigmoid(-0.5))
    expected = np.where(x == 0, np.logaddexp(counts, np.log(sigmoid(0.5))), counts)
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    np.testing.assert_allclose(likelihood.log_prob(parameters, x), expected.sum(), rtol=2e-4)
    gradient = tape.gradient(found, parameters)[0].numpy()
    np.testing.assert_allclose(gradient[1:], (x[1:] - 1000) / (1 + 1000 / count), rtol=1e-3)
    assert gradient[0] == 0  # a zero is one of the others
