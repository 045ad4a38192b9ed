"""Importance-sampled log-likelihoods against closed forms and numpy."""

import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tests import tiny
from tests.linear_gaussian import LinearGaussian
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.evaluation.importance_sampling import chunk_seed
from tf_mvae.ops import random

TRUTH = LinearGaussian()
NAMES = TRUTH.names
NUMBER = 24


@pytest.fixture(scope="module")
def batch():
    """Examples with parts missing at random, and garbage there."""
    x = TRUTH.sample(NUMBER)
    present = np.random.default_rng(1).random([NUMBER, len(NAMES)]) < 0.6
    mask = {name: present[:, i].astype(np.float32) for i, name in enumerate(NAMES)}
    given = {name: np.where(mask[name][:, None] > 0, x[name], np.nan) for name in NAMES}
    return {"x": given, "mask": mask}


@pytest.fixture(scope="module")
def exact_sampler():
    return ImportanceSampler(TRUTH.model(), num_samples=50)


@pytest.fixture(scope="module")
def wide_sampler():
    """A sampler that is wrong but wider than the posterior, so weights have finite moments."""
    return ImportanceSampler(TRUTH.model(posterior_scale=1.5), num_samples=4000)


def exact(batch, target, given=()):
    """Returns log p(observed target | observed given), exactly."""
    rows = []
    for row in range(NUMBER):
        there = [name for name in NAMES if batch["mask"][name][row] > 0]
        both = [name for name in there if name in {*target, *given}]
        part = [name for name in there if name in given]
        rows.append(TRUTH.log_prob(batch["x"], row, both) - TRUTH.log_prob(batch["x"], row, part))
    return np.array(rows)


SUBSETS = [
    subset
    for size in range(1, len(NAMES) + 1)
    for subset in itertools.islice(itertools.combinations(NAMES, size), 4)
]


@pytest.mark.parametrize("target", SUBSETS, ids="+".join)
def test_the_exact_posterior_gives_the_exact_value_with_no_variance(batch, exact_sampler, target):
    estimate = exact_sampler(batch, target)
    np.testing.assert_allclose(estimate.log_likelihood, exact(batch, target), atol=2e-4, rtol=1e-5)
    assert np.max(estimate.log_weight_variance) < 1e-6
    np.testing.assert_allclose(estimate.effective_sample_size, 50, rtol=1e-4)


@pytest.mark.parametrize("target", SUBSETS[::3], ids="+".join)
@pytest.mark.parametrize("seen", [None, 0, 1])
def test_any_proposal_is_within_its_standard_errors(batch, wide_sampler, target, seen):
    """Proposals given the target, nothing, or a part are all wider than the posterior."""
    proposal = None if seen is None else target[:seen]
    estimate = wide_sampler(batch, target, proposal, seed=3)
    error = np.asarray(estimate.standard_error)
    reliable = np.asarray(estimate.effective_sample_size) > 100
    assert reliable.mean() > 0.5
    distance = np.abs(np.asarray(estimate.log_likelihood) - exact(batch, target))
    assert np.all(distance[reliable] <= 4 * error[reliable] + 1e-4)


@pytest.mark.parametrize(
    ("target", "given"), [(["x0"], ["x1"]), (["x0", "x4"], ["x2"]), (["x3"], ["x0", "x1", "x2"])]
)
def test_conditional_likelihoods(batch, exact_sampler, wide_sampler, target, given):
    wanted = exact(batch, target, given)
    found = exact_sampler.conditional(batch, target, given)
    np.testing.assert_allclose(found.log_likelihood, wanted, atol=4e-4, rtol=1e-5)
    for proposals in ({}, {"proposal": given}, {"given_proposal": ()}):
        rough = wide_sampler.conditional(batch, target, given, **proposals, seed=5)
        error = np.asarray(rough.standard_error)
        reliable = error < 0.1
        assert reliable.mean() > 0.5
        distance = np.abs(np.asarray(rough.log_likelihood) - wanted)
        assert np.all(distance[reliable] <= 4 * error[reliable] + 1e-4)


def test_a_difference_has_the_draws_of_two_estimates(batch, wide_sampler):
    """The paper's `log p(x1 | x2)`: `log p(x1, x2) - log p(x2)`, the latter from the prior."""
    found = wide_sampler.conditional(batch, ["x0"], ["x1"], given_proposal=(), seed=6)
    seeds = random.split(tf.constant([6, 0]), 2)
    whole = wide_sampler(batch, ["x0", "x1"], seed=seeds[0])
    part = wide_sampler(batch, ["x1"], proposal=(), seed=seeds[1])
    np.testing.assert_array_equal(found.log_likelihood, whole.log_likelihood - part.log_likelihood)
    np.testing.assert_allclose(
        found.standard_error, np.hypot(whole.standard_error, part.standard_error), rtol=1e-6
    )


def test_conditional_standard_errors_are_those_of_repeated_estimates(batch):
    model = TRUTH.model(posterior_scale=1.5)
    sampler = ImportanceSampler(model, num_samples=400, jit_compile=False)
    estimates = [sampler.conditional(batch, ["x0"], ["x1"], seed=seed) for seed in range(60)]
    spread = np.std([e.log_likelihood for e in estimates], axis=0, ddof=1)
    stated = np.mean([e.standard_error for e in estimates], axis=0)
    there = stated > 1e-5
    assert there.sum() > NUMBER / 3
    assert np.median(spread[there] / stated[there]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("num_samples", [1, 7, 64])
def test_chunks_of_a_conditional_change_memory_only(batch, num_samples):
    """The ratio from chunks equals numpy's from the same samples, without calibration."""
    model = TRUTH.model(posterior_scale=1.5)
    proposal = ["x0", "x1"]
    sampler = ImportanceSampler(model, num_samples, max_rows=5 * NUMBER, jit_compile=False)
    found = sampler.conditional(batch, ["x0"], ["x1"], proposal, seed=[2, 9])
    posterior = model.posterior(
        {name: batch["x"][name] for name in proposal},
        {name: batch["mask"][name] for name in proposal},
    )
    loc, scale = posterior.mean().numpy(), posterior.stddev().numpy()
    size = -(-num_samples // len(found.path_samples))
    joint, given = [], []
    for chunk in range(len(found.path_samples)):
        noise = random.stateless_normal(
            [size, 1, *loc.shape], chunk_seed(tf.constant([2, 9]), chunk)
        ).numpy()[:, 0]
        z = (loc + scale * noise).astype(np.float64)
        value = 0.5 * (noise**2 - z**2).sum(-1) + np.log(scale).sum(-1)
        for name, parts in (("x1", given), ("x0", joint)):
            mean = z @ TRUTH.weights[name].T + TRUTH.biases[name]
            there = batch["mask"][name] > 0
            x = np.where(there[:, None], batch["x"][name], 0)
            log_prob = scipy.stats.norm.logpdf(x, mean, 0.8).sum(-1)
            value = value + np.where(there, log_prob, 0)
            parts.append(value)
    joint, given = (np.concatenate(part)[:num_samples] for part in (joint, given))
    expected = scipy.special.logsumexp(joint, 0) - scipy.special.logsumexp(given, 0)
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-4, atol=1e-4)
    if num_samples > 1:
        without = [
            scipy.special.logsumexp(np.delete(joint, k, 0), 0)
            - scipy.special.logsumexp(np.delete(given, k, 0), 0)
            for k in range(num_samples)
        ]
        error = np.sqrt((num_samples - 1) * np.var(without, axis=0))
        np.testing.assert_allclose(found.standard_error, error, rtol=1e-3, atol=1e-4)
    assert found.path_samples[-1] == num_samples


@pytest.fixture(scope="module")
def classes():
    """A model of three parts, and the exact posterior of its class by 200,000 prior draws."""
    model, batch = tiny.make_model(), tiny.make_batch(np.ones([12, 3]), seed=2)
    last = [layer for layer in model.modalities[1].decoder.layers if layer.weights][-1]
    last.kernel.assign(12 * last.kernel)
    z = np.random.default_rng(0).normal(size=[200_000, tiny.LATENT_DIM]).astype(np.float32)
    logits = {name: value.numpy() for name, value in model.likelihood_parameters(z).items()}
    pixels = batch["x"]["image"].reshape(12, -1)
    log_p = scipy.special.log_softmax(logits["label"], -1)
    logits = logits["image"].reshape(len(z), -1)
    log_image = pixels @ logits.T - np.logaddexp(0, logits).sum(-1)
    weight = np.exp(log_image - log_image.max(-1, keepdims=True))
    return model, batch, np.log(weight @ np.exp(log_p) / weight.sum(-1, keepdims=True))


@pytest.mark.parametrize("log_variance", [None, -4.0, -8.0])
def test_the_likelihood_of_a_class_is_its_posterior(classes, log_variance):
    """Never above 1, and near the sum over classes where the posterior is any good."""
    model, batch, exact_classes = classes
    if log_variance is not None:
        model = keras.models.clone_model(model)
        model.set_weights(classes[0].get_weights())
        tiny.make_posterior_sharp(model, log_variance)
    sampler = ImportanceSampler(model, 2000, jit_compile=False)
    found = []
    for label in range(tiny.NUM_CLASSES):
        x = {**batch["x"], "label": np.full(12, label, np.int32)}
        found.append(sampler.conditional({"x": x}, ["label"], ["image"], seed=label))
    values = np.stack([estimate.log_likelihood for estimate in found], axis=1)
    assert np.max(values) <= 0
    if log_variance is None:
        error = np.stack([estimate.standard_error for estimate in found], axis=1)
        assert np.all(np.abs(values - exact_classes) <= 5 * error + 0.01)
        error = np.linalg.norm(np.exp(values) * error, axis=1)
        assert np.all(np.abs(np.exp(values).sum(-1) - 1) <= 5 * error)


def test_a_missing_target_has_probability_one(wide_sampler):
    x = TRUTH.sample(NUMBER)
    missing = {"x": x, "mask": {"x0": np.zeros(NUMBER, np.float32)}}
    found = wide_sampler.conditional(missing, ["x0"], ["x1"])
    np.testing.assert_array_equal(found.log_likelihood, 0)
    np.testing.assert_array_equal(found.standard_error, 0)


def test_small_effective_sample_sizes_are_logged_once(batch, caplog):
    sampler = ImportanceSampler(TRUTH.model(), num_samples=40, jit_compile=False)
    with caplog.at_level("WARNING", logger="absl"):
        sampler(batch, NAMES)
        sampler(batch, NAMES[:1])
        for _ in range(2):
            sampler(batch, NAMES, proposal=())
    messages = [record.getMessage() for record in caplog.records if record.name == "absl"]
    assert len(messages) == 1
    message = messages[0]
    assert "log p(x0, x1, x2, x3, x4): the effective sample size is below 10 for" in message
    assert "take more samples, or another proposal" in message


def test_standard_errors_are_those_of_repeated_estimates(batch):
    sampler = ImportanceSampler(TRUTH.model(posterior_scale=1.5), num_samples=500)
    estimates = [sampler(batch, NAMES, seed=seed) for seed in range(60)]
    spread = np.std([e.log_likelihood for e in estimates], axis=0, ddof=1)
    stated = np.mean([e.standard_error for e in estimates], axis=0)
    there = stated > 1e-5
    assert there.sum() > NUMBER / 2
    assert np.median(spread[there] / stated[there]) == pytest.approx(1, abs=0.15)


def test_an_example_that_lacks_the_target_counts_nothing(exact_sampler):
    x = TRUTH.sample(NUMBER)
    nothing = {"x": x, "mask": {"x2": np.zeros(NUMBER, np.float32)}}
    np.testing.assert_allclose(exact_sampler(nothing, ["x2"]).log_likelihood, 0, atol=1e-6)


def test_all_subsets_share_one_compilation(batch):
    sampler = ImportanceSampler(TRUTH.model(), num_samples=10)
    for target in SUBSETS:
        sampler(batch, target, proposal=target[:1])
    streams = sampler._streams
    parts = [streams._infer, streams._draw, streams._add, *streams._log_likelihood.values()]
    assert [part.experimental_get_tracing_count() for part in parts] == [1] * len(parts)


@pytest.mark.parametrize("num_samples", [1, 7, 64, 65])
def test_the_size_of_chunks_changes_memory_only(batch, num_samples):
    """Statistics that are put together from chunks are those of all samples at once."""
    model = TRUTH.model(posterior_scale=1.5)
    sampler = ImportanceSampler(model, num_samples, max_rows=5 * NUMBER)
    estimate = sampler(batch, NAMES, seed=[2, 9])
    posterior = model.posterior(batch["x"], batch["mask"])
    loc, log_variance = posterior.mean().numpy(), 2 * np.log(posterior.stddev().numpy())
    log_weight = []
    chunks = len(estimate.path_samples)
    size = -(-num_samples // chunks)
    assert size <= 5
    for chunk in range(chunks):
        noise = random.stateless_normal(
            [size, *loc.shape], chunk_seed(tf.constant([2, 9]), chunk)
        ).numpy()
        z = (loc + np.exp(log_variance / 2) * noise).astype(np.float64)
        value = 0.5 * (noise**2 - z**2 + log_variance).sum(-1)
        for name in NAMES:
            mean = z @ TRUTH.weights[name].T + TRUTH.biases[name]
            there = batch["mask"][name] > 0
            x = np.where(there[:, None], batch["x"][name], 0)
            log_prob = -0.5 * ((x - mean) / 0.8) ** 2 - 0.5 * np.log(2 * np.pi * 0.8**2)
            value += np.where(there, log_prob.sum(-1), 0)
        log_weight.append(value)
    log_weight = np.concatenate(log_weight)[:num_samples]
    weight = np.exp(log_weight - log_weight.max(0))
    expected = {
        "log_likelihood": scipy.special.logsumexp(log_weight, 0) - np.log(num_samples),
        "effective_sample_size": weight.sum(0) ** 2 / (weight**2).sum(0),
        "log_weight_variance": log_weight.var(0, ddof=1) if num_samples > 1 else np.zeros(NUMBER),
        "standard_error": weight.std(0) / weight.mean(0) / np.sqrt(num_samples),
    }
    for name, wanted in expected.items():
        np.testing.assert_allclose(getattr(estimate, name), wanted, rtol=2e-3, atol=1e-3)
    assert estimate.path_samples[-1] == num_samples
    tiny.assert_close(estimate.path[-1], estimate.log_likelihood)


def numpy_network(network, inputs):
    """Applies a stack of dense layers in float64."""
    for layer in network.layers:
        if type(layer).__name__ == "Dense":
            kernel, bias = (w.astype(np.float64) for w in layer.get_weights())
            inputs = inputs @ kernel + bias
            if layer.activation.__name__ == "silu":
                inputs = inputs * scipy.special.expit(inputs)
    return inputs


def test_an_independent_numpy_implementation_agrees_on_a_trained_model():
    model = tiny.make_model(batch_norm=False)
    model.compile("adam")
    model.fit(tiny.batches(tiny.make_batch(np.ones([200, 3])), 20), epochs=2, verbose=0)
    batch = tiny.make_batch(np.ones([16, 3]), seed=8)
    estimate = ImportanceSampler(model, num_samples=100)(batch, seed=4)

    posterior = model.posterior(batch["x"])
    loc, scale = (v.numpy().astype(np.float64) for v in (posterior.mean(), posterior.stddev()))
    seed = chunk_seed(tf.constant([4, 0]), 0)
    noise = random.stateless_normal([100, 16, tiny.LATENT_DIM], seed).numpy()
    z = loc + scale * noise
    log_weight = scipy.stats.norm.logpdf(z).sum(-1) - scipy.stats.norm.logpdf(z, loc, scale).sum(-1)
    decoded = {m.name: numpy_network(m.decoder, z) for m in model.modalities}
    pixels = batch["x"]["image"].reshape(16, -1)
    logits = decoded["image"]
    log_weight += (pixels * logits - np.logaddexp(0, logits)).sum(-1)
    log_softmax = scipy.special.log_softmax(decoded["label"], -1)
    log_weight += log_softmax[:, np.arange(16), batch["x"]["label"]]
    log_weight += scipy.stats.norm.logpdf(batch["x"]["reading"], decoded["reading"], 0.7).sum(-1)
    expected = scipy.special.logsumexp(log_weight, 0) - np.log(100)
    np.testing.assert_allclose(estimate.log_likelihood, expected, atol=1e-4)


def test_compiled_or_not_is_the_same(batch):
    model = TRUTH.model(posterior_scale=1.5)
    one, other = (
        ImportanceSampler(model, 60, max_rows=500, jit_compile=jit)(batch, NAMES, seed=1)
        for jit in (True, False)
    )
    tiny.assert_close(one, other, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": ["x9"]}, "target names 'x9'"),
        ({"target": "x0"}, "list of names"),
        ({"target": []}, "at least one"),
        ({"target": ["x0"], "proposal": ["image"]}, "proposal names 'image'"),
    ],
)
def test_mistakes_are_named(batch, exact_sampler, arguments, words):
    with pytest.raises(UserError, match=words):
        exact_sampler(batch, **arguments)


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        (["x0"], ["x0", "x1"], "target and given must not overlap; x0 is in both"),
        ([], ["x0"], "target must name at least one modality"),
        (["x0"], [], "given must name at least one modality"),
        (["x0"], "x1", "given is a list of names, not 'x1'"),
        (["x0"], ["x9"], "given names 'x9'"),
    ],
)
def test_mistakes_of_a_conditional_are_named(batch, exact_sampler, target, given, words):
    with pytest.raises(UserError, match=words):
        exact_sampler.conditional(batch, target, given)


@pytest.mark.parametrize(
    ("target", "given"), [(["b"], ["flags"]), (["flags"], ["x", "b"]), (["flags"], ["flags"])]
)
def test_a_member_of_a_given_group_is_no_target(target, given):
    modalities = [
        Modality("x", likelihoods.Normal([2])),
        ModalityGroup("flags", ["a", "b"], likelihoods.Bernoulli([])),
    ]
    batch = {"x": {"x": np.zeros([3, 2]), "flags": np.zeros([3, 2])}}
    sampler = ImportanceSampler(MVAE(modalities, 2), 8, jit_compile=False)
    with pytest.raises(UserError, match="overlap; .*b is in both"):
        sampler.conditional(batch, target, given)
    found = sampler.conditional(batch, ["a"], ["x", "b"])
    assert np.max(found.log_likelihood) <= 0
