"""Every likelihood against scipy in float64, and its errors for wrong data and decoders."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mvae import VAE, Modality, likelihoods
from tf_mvae.distributions.members import MemberLikelihood
from tf_mvae.errors import UserError

tfd = tfp.distributions
LEAD = (3, 2)  # samples or terms, then examples
SHAPE = (2, 3)
RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable("tf_mvae_tests")
def student_t(parameters):
    """A likelihood that the package does not have: Student's t, 4 degrees of freedom."""
    loc, raw_scale = tf.unstack(parameters, axis=-1)
    return tfd.Independent(tfd.StudentT(4.0, loc, tf.math.softplus(raw_scale)), 1)


def softplus(x):
    return np.logaddexp(x, 0.0)


def of_entries(log_prob):
    return log_prob.sum(axis=(-1, -2))


def normal_parameters(*shape):
    return RNG.normal(size=[*LEAD, *shape]).astype(np.float32)


# By name: the likelihood, decoder outputs, data, log p(data) by scipy and its mean.
def bernoulli_case():
    logits = 2 * normal_parameters(*SHAPE)
    value = RNG.integers(2, size=SHAPE).astype(np.float32)
    probability = scipy.special.expit(logits.astype(np.float64))
    log_prob = of_entries(scipy.stats.bernoulli.logpmf(value, probability))
    return likelihoods.Bernoulli(SHAPE), logits, value, log_prob, probability


def location_scale_case(likelihood_class, family, learned):
    value = normal_parameters(*SHAPE)[0, 0]
    if learned:
        parameters = normal_parameters(2, *SHAPE)
        loc = parameters[..., 0, :, :]
        scale = softplus(parameters[..., 1, :, :].astype(np.float64)) + 1e-3
    else:
        loc = parameters = normal_parameters(*SHAPE)
        scale = 0.3
    likelihood = likelihood_class(SHAPE, scale=None if learned else scale)
    log_prob = of_entries(family.logpdf(value, loc.astype(np.float64), scale))
    return likelihood, parameters, value, log_prob, loc


def poisson_case():
    log_rate = normal_parameters(*SHAPE)
    value = RNG.integers(6, size=SHAPE).astype(np.float32)
    rate = np.exp(log_rate.astype(np.float64))
    log_prob = of_entries(scipy.stats.poisson.logpmf(value, rate))
    return likelihoods.Poisson(SHAPE), log_rate, value, log_prob, rate


def categorical_case():
    logits = normal_parameters(4)
    value = np.int32(2)
    probabilities = scipy.special.softmax(logits.astype(np.float64), axis=-1)
    return likelihoods.Categorical(4), logits, value, np.log(probabilities[..., 2]), probabilities


def callable_case():
    parameters = normal_parameters(3, 2)
    value = normal_parameters(3)[0, 0]
    loc, scale = parameters[..., 0], softplus(parameters[..., 1].astype(np.float64))
    log_prob = scipy.stats.t.logpdf(value, 4, loc, scale).sum(-1)
    likelihood = likelihoods.CallableLikelihood(student_t, [3], [3, 2])
    return likelihood, parameters, value, log_prob, loc


CASES = {
    "bernoulli": bernoulli_case,
    "normal": lambda: location_scale_case(likelihoods.Normal, scipy.stats.norm, False),
    "normal_learned": lambda: location_scale_case(likelihoods.Normal, scipy.stats.norm, True),
    "laplace": lambda: location_scale_case(likelihoods.Laplace, scipy.stats.laplace, False),
    "laplace_learned": lambda: location_scale_case(likelihoods.Laplace, scipy.stats.laplace, True),
    "poisson": poisson_case,
    "categorical": categorical_case,
    "callable": callable_case,
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()


def test_log_prob_equals_scipy(case, mode):
    likelihood, parameters, value, expected, _ = case
    actual = mode(likelihood.log_prob)(tf.constant(parameters), tf.constant(value))
    assert actual.shape == LEAD
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_log_prob_equals_that_of_the_distribution(case):
    likelihood, parameters, value, _, _ = case
    of_distribution = likelihood.distribution(tf.constant(parameters)).log_prob(value)
    actual = likelihood.log_prob(tf.constant(parameters), tf.constant(value))
    np.testing.assert_allclose(actual, of_distribution, rtol=1e-5, atol=1e-5)


def test_log_prob_has_the_distributions_gradient(case):
    likelihood, parameters, value, _, _ = case
    parameters = tf.constant(parameters)
    gradients = []
    for log_prob in (likelihood.log_prob, lambda p, v: likelihood.distribution(p).log_prob(v)):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            total = tf.reduce_sum(log_prob(parameters, tf.constant(value)))
        gradients.append(tape.gradient(total, parameters))
    assert np.any(gradients[0])
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-5)


def test_expected_value(case):
    likelihood, parameters, _, _, expected = case
    actual = likelihood.expected_value(tf.constant(parameters))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_shapes_of_samples_and_parameters(case):
    likelihood, parameters, value, _, _ = case
    assert parameters.shape == (*LEAD, *likelihood.parameter_shape)
    assert value.shape == likelihood.event_shape
    distribution = likelihood.distribution(tf.constant(parameters))
    assert distribution.batch_shape == LEAD
    sample = distribution.sample(7, seed=1)
    assert sample.shape == (7, *LEAD, *likelihood.event_shape)
    assert sample.dtype == likelihood.dtype
    values = sample.numpy()
    assert np.all((values >= likelihood.low) & (values <= likelihood.high))
    assert likelihood.log_prob(tf.constant(parameters), sample).shape == (7, *LEAD)


def test_config_round_trip(case):
    likelihood, parameters, value, expected, _ = case
    serialized = keras.saving.serialize_keras_object(likelihood)
    again = keras.saving.deserialize_keras_object(serialized)
    assert type(again) is type(likelihood)
    assert again.get_config() == likelihood.get_config()
    assert again.event_shape == likelihood.event_shape
    assert again.parameter_shape == likelihood.parameter_shape
    actual = again.log_prob(tf.constant(parameters), tf.constant(value))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_bernoulli_of_real_pixels_is_the_cross_entropy():
    logits = 3 * RNG.normal(size=[5, 4, 4, 1])
    pixels = RNG.uniform(size=[5, 4, 4, 1])
    probability = scipy.special.expit(logits)
    expected = pixels * np.log(probability) + (1 - pixels) * np.log1p(-probability)
    logits, pixels = tf.constant(logits, tf.float32), tf.constant(pixels, tf.float32)
    actual = likelihoods.Bernoulli([4, 4, 1]).log_prob(logits, pixels)
    np.testing.assert_allclose(actual, expected.sum(axis=(1, 2, 3)), rtol=1e-5)
    of_tfp = tfd.Independent(tfd.Bernoulli(logits=logits, dtype=tf.float32), 3).log_prob(pixels)
    np.testing.assert_allclose(actual, of_tfp, rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_bernoulli_of_extreme_logits_is_finite(logit):
    likelihood = likelihoods.Bernoulli([1])
    right, wrong = float(logit > 0), float(logit < 0)
    assert likelihood.log_prob(tf.constant([logit]), tf.constant([right])) == 0
    assert likelihood.log_prob(tf.constant([logit]), tf.constant([wrong])) == -abs(logit)


def test_a_learned_scale_reaches_down_to_a_thousandth():
    likelihood = likelihoods.Normal([1], scale=None)
    narrow = likelihood.distribution(tf.constant([[0.0], [-100.0]])).stddev()
    np.testing.assert_allclose(narrow, [1e-3], rtol=1e-4)
    # softplus(0) = log 2.
    wide = likelihood.distribution(tf.constant([[0.0], [0.0]])).stddev()
    np.testing.assert_allclose(wide, [np.log(2) + 1e-3], rtol=1e-6)


@pytest.mark.parametrize("likelihood_class", [likelihoods.Normal, likelihoods.Laplace])
@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_a_scale_is_positive(likelihood_class, scale):
    with pytest.raises(ValueError, match="scale must be a finite number above 0"):
        likelihood_class([2], scale=scale)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), [0, 0.2, 1]),
        (np.array([False, True]), [0, 1]),
        (np.array([0, 1], np.int64), [0, 1]),
        (np.array([0.25, 1.0], np.float64), [0.25, 1]),
    ],
)
@pytest.mark.parametrize("make", [likelihoods.Bernoulli, likelihoods.Normal])
def test_prepare_gives_float32_and_scales_images(make, raw, expected):
    likelihood = make([1, *raw.shape])
    assert likelihood.accepts(tf.as_dtype(raw.dtype))
    prepared = likelihood.prepare(tf.constant(raw[np.newaxis]))
    assert prepared.dtype == tf.float32
    np.testing.assert_allclose(prepared, [expected], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_counts_are_not_scaled(dtype):
    prepared = likelihoods.Poisson([2]).prepare(tf.constant(np.array([3, 200], dtype)))
    assert prepared.dtype == tf.float32
    np.testing.assert_array_equal(prepared, [3, 200])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_classes_are_integers(dtype):
    likelihood = likelihoods.Categorical(5)
    prepared = likelihood.prepare(tf.constant(np.array([4, 0], dtype)))
    assert prepared.dtype == tf.int32
    np.testing.assert_array_equal(prepared, [4, 0])
    assert likelihood.accepts(tf.as_dtype(dtype))
    assert not likelihood.accepts(tf.float32) and not likelihood.accepts(tf.string)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"categorical"}))
def test_strings_are_not_accepted(name):
    assert not CASES[name]()[0].accepts(tf.string)


def test_class_names():
    assert likelihoods.Categorical(3).class_names == ("0", "1", "2")
    named = likelihoods.Categorical(2, ["cat", "dog"])
    assert likelihoods.Categorical.from_config(named.get_config()).class_names == ("cat", "dog")
    with pytest.raises(ValueError, match="1 names for 2 classes"):
        likelihoods.Categorical(2, ["cat"])


@pytest.mark.parametrize(
    ("likelihood", "is_image"),
    [
        (likelihoods.Bernoulli([4, 4, 1]), True),
        (likelihoods.Normal([4, 4, 3]), True),
        (likelihoods.Normal([4, 4, 2]), False),
        (likelihoods.Bernoulli([16]), False),
        (likelihoods.Categorical(4), False),
    ],
)
def test_what_is_an_image(likelihood, is_image):
    assert likelihood.is_image == is_image


@pytest.mark.parametrize(
    ("likelihood", "low", "high", "word"),
    [
        (likelihoods.Bernoulli([1]), 0, 1, "[0, 1]"),
        (likelihoods.Categorical(5), 0, 4, "0..4"),
        (likelihoods.Poisson([1]), 0, np.exp(30), "0 or more"),
        (likelihoods.Normal([1]), -1e9, 1e9, "finite"),
        (likelihoods.Normal([1], scale=100.0), -1e11, 1e11, "-1e+11 and 1e+11 (standardise"),
        (likelihoods.Laplace([1], scale=None), -1e7, 1e7, "finite"),
    ],
)
def test_range_and_its_words(likelihood, low, high, word):
    assert (likelihood.low, likelihood.high) == (low, high)
    assert word in likelihood.describe_range()


def logit_normal(parameters):
    return tfd.Independent(tfd.LogitNormal(parameters, 0.5), 1)


def test_a_mean_that_a_distribution_does_not_offer_is_one_of_samples(mode):
    likelihood = likelihoods.CallableLikelihood(logit_normal, [2])
    parameters = tf.constant([[-1.0, 0.0], [0.5, 2.0]])
    found = mode(likelihood.expected_value)(parameters)
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    exact = scipy.special.expit(parameters.numpy()[..., np.newaxis] + 0.5 * points) @ weights
    np.testing.assert_allclose(found, exact / weights.sum(), atol=0.03)
    np.testing.assert_array_equal(found, mode(likelihood.expected_value)(parameters))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: tfd.Normal(p, 1.0), r"events of \(2,\); these are of \(\): .*Independent"),
        (lambda p: p, "must return a TFP distribution; it returns a EagerTensor"),
    ],
)
def test_what_a_function_returns_is_checked(make, message):
    part = Modality("a", likelihoods.CallableLikelihood(make, [2], placeholder=0.0))
    with pytest.raises(UserError, match=message):
        part.connect(3)


class Share(likelihoods.Bernoulli):
    low, high = 0.0, 1.0
    describe_range = likelihoods.Likelihood.describe_range


class Positive(Share):
    high = likelihoods.Likelihood.high


def test_the_range_of_a_likelihood_of_ones_own_is_described():
    assert Share([2]).describe_range() == "finite numbers of 0 or more and 1 or less"
    assert Positive([2]).describe_range() == "finite numbers of 0 or more"


@pytest.mark.parametrize("log_rate", [31.0, 100.0, 1e4])
def test_no_rate_overflows_and_gradients_lead_back(log_rate, mode):
    likelihood = likelihoods.Poisson([2])
    parameters = tf.constant([[log_rate, 3.0]])

    @mode
    def of(parameters):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = likelihood.log_prob(parameters, tf.constant([[500.0, 20.0]]))
        return log_prob, tape.gradient(log_prob, parameters), likelihood.expected_value(parameters)

    log_prob, gradient, mean = of(parameters)
    assert np.isfinite(log_prob).all()
    np.testing.assert_allclose(gradient, [[500 - np.exp(30), 20 - np.exp(3)]], rtol=1e-5)
    np.testing.assert_allclose(mean, [[np.exp(30), np.exp(3)]], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: likelihoods.Categorical(0), "num_classes must be an integer of 1 or more"),
        (lambda: likelihoods.Categorical(2.5), "num_classes must be an integer of 1 or more"),
        (lambda: likelihoods.Normal([2.5]), "event_shape must be a list of integers"),
        (lambda: likelihoods.Bernoulli(8), "event_shape must be a list of integers"),
        (lambda: likelihoods.Laplace([2], scale=float("inf")), "scale must be a finite number"),
        (lambda: likelihoods.CallableLikelihood("x", [2]), "make_distribution must be a function"),
        (
            lambda: likelihoods.CallableLikelihood(logit_normal, [2], [0]),
            "parameter_shape must be a list of integers",
        ),
        (
            lambda: likelihoods.TokenSequence(9, 0, keras.layers.Identity()),
            "length must be an integer of 1 or more",
        ),
        (lambda: likelihoods.TokenSequence(9, 5, tf.nn.relu), "network must be a Keras layer"),
    ],
)
def test_arguments_outside_their_domain_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_parts_of_a_likelihood_have_their_own_parameters():
    parts = [likelihoods.Normal([2], scale=None), likelihoods.Categorical(3)]
    columns = likelihoods.Columns([*parts, likelihoods.Bernoulli([1])])
    parameters = tf.reshape(tf.range(16.0), [2, 8])
    found = columns.independent_parts(parameters)
    assert [part for part, _ in found[:2]] == parts and found[2][0].is_binary
    assert [list(own.shape) for _, own in found] == [[2, 2, 2], [2, 3], [2, 1]]
    assert [own for _, own in columns.independent_parts()] == [None] * 3
    ((one, own),) = MemberLikelihood(parts[1], 4).independent_parts(tf.zeros([2, 4, 3]))
    assert one is parts[1] and own.shape == (2, 4, 3) and not one.is_binary


def test_a_lambda_is_not_saved(tmp_path):
    likelihood = likelihoods.CallableLikelihood(lambda p: logit_normal(p), [2])
    model = VAE([Modality("a", likelihood)], 2)
    assert np.isfinite(model.elbo({"a": np.full([3, 2], 0.5, np.float32)}).loss)
    with pytest.raises(UserError, match="of a lambda cannot be saved; define a function by def"):
        model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_a_group_answers_what_its_members_do():
    """Of classes among columns the most probable one on average, not a mean of their numbers."""
    columns = likelihoods.Columns([likelihoods.Normal([1]), likelihoods.Categorical(3)])
    group = MemberLikelihood(columns, 2)
    parameters = tf.constant(np.random.default_rng(3).normal(size=[5, 4, 2, 4]), tf.float32)
    value = tf.constant([[[0.5, 2.0], [-1.0, 0.0]]] * 4)
    each = [parameters[..., member, :] for member in range(2)]
    asked = {
        "expected_over_samples": [columns.expected_over_samples(own) for own in each],
        "quantile": [columns.quantile(own, 0.3) for own in each],
        "element_log_prob": [columns.element_log_prob(o, value[:, m]) for m, o in enumerate(each)],
    }
    more = {"quantile": [0.3], "element_log_prob": [value]}
    for name, expected in asked.items():
        found = getattr(group, name)(parameters, *more.get(name, []))
        np.testing.assert_allclose(found, np.stack(expected, -2), rtol=1e-6, err_msg=name)
