"""The baselines' objectives and posteriors against naive ones, example by example."""

import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tests import tiny
from tf_mvae import CVAE, JMVAE, MVAE, MVAEQ, TELBO, VAE, BiVCCA, UserError
from tf_mvae.models.joint_posterior import JointPosteriorVAE

BASELINES = [VAE, CVAE, BiVCCA, JMVAE, TELBO, MVAEQ]
CROSS_WEIGHTS = {"image": 0.25, "label": 0.0, "reading": 2.0}
KL_WEIGHT = 0.3
ALPHA = 0.7
PRESENT = tiny.all_patterns(3)
COMPLETE = PRESENT.prod(axis=1)


@pytest.fixture(params=BASELINES, ids=lambda make: make.__name__)
def make(request):
    return request.param


def make_baseline(make, **kwargs):
    """Returns a tiny model in which every weight affects the loss."""
    if make is JMVAE:
        kwargs = {"alpha": ALPHA, **kwargs}
    if make is MVAEQ:
        kwargs = {"cross_weight": CROSS_WEIGHTS, "term_weight": {}, **kwargs}
    return tiny.make_any(make, **kwargs)


# A naive implementation, in numpy from where the networks end ---------------------------


def float64(tensors):
    return [np.asarray(tensor, np.float64) for tensor in tensors]


def naive_log_prob(name, parameters, value):
    """Returns log p(value | parameters), `[sample, batch]`."""
    if name == "image":
        return np.sum(value * parameters - np.logaddexp(0, parameters), axis=(-3, -2, -1))
    if name == "label":
        normalised = parameters - scipy.special.logsumexp(parameters, axis=-1, keepdims=True)
        return normalised[:, np.arange(len(value)), value]
    return scipy.stats.norm.logpdf(value, parameters, 0.7).sum(-1)


def naive_kl(loc, log_variance, other_loc=0.0, other_log_variance=0.0):
    variance, other = np.exp(log_variance), np.exp(other_log_variance)
    ratio = (variance + (loc - other_loc) ** 2) / other
    return 0.5 * np.sum(ratio - 1 + other_log_variance - log_variance, axis=-1)


def one_hot(label):
    return np.eye(tiny.NUM_CLASSES)[label]


def naive_own(model, batch, name):
    """Returns one modality's own posterior, as if every example had it."""
    (modality,) = [m for m in model.modalities if m.name == name]
    loc, log_variance = float64(modality.encode(batch["x"][name], np.ones(8, np.float32)))
    if isinstance(model, MVAEQ):
        # The network's s gives a variance of sigmoid(s).
        log_variance = np.log(scipy.special.expit(log_variance))
    return loc, log_variance


def silu(x):
    return x * scipy.special.expit(x)


def naive_joint(model, batch):
    """Returns the posterior of the joint network."""
    x = batch["x"]
    if isinstance(model, CVAE):
        features = [x["image"].reshape(8, -1), one_hot(x["label"]), x["reading"]]
        layers = model.encoder.layers
    else:
        trunks = model.joint_encoder.trunks
        features = [trunks[name](x[name]) for name in tiny.NAMES]
        layers = [model.joint_encoder.hidden, model.joint_encoder.head]
    (w1, b1), (w2, b2) = (float64(layer.get_weights()) for layer in layers)
    both = silu(np.concatenate(float64(features), axis=-1) @ w1 + b1) @ w2 + b2
    return np.split(both, 2, axis=-1)


def naive_quotient(posteriors):
    """Returns prod q_i / p^(n - 1); the prior without any expert."""
    precision = 1.0 + sum(np.exp(-log_variance) - 1 for _, log_variance in posteriors)
    moment = sum(loc * np.exp(-log_variance) for loc, log_variance in posteriors)
    return moment / precision, -np.log(precision)


def naive_elbo(model, batch, z, posterior, weights):
    """Returns the ELBO of a term, `[batch]`, with the samples z, `[sample, batch, latent]`."""
    elbo = -KL_WEIGHT * naive_kl(*posterior)
    for m in model.targets:
        rows = z
        if isinstance(model, CVAE):
            given = [one_hot(batch["x"]["label"]), batch["x"]["reading"]]
            given = np.tile(np.concatenate(given, axis=-1), [len(z), 1, 1])
            rows = np.concatenate([z, given], axis=-1, dtype=np.float32)
        decoded = np.stack(float64(m.decode(part) for part in rows))
        log_prob = naive_log_prob(m.name, decoded, batch["x"][m.name])
        elbo += weights.get(m.name, 0.0) * log_prob.mean(axis=0)
    return elbo


def naive_terms(model, batch, z):
    """Yields each term's posterior, weight by example and ELBO."""
    lambdas = tiny.LIKELIHOOD_WEIGHTS
    if isinstance(model, VAE):
        own = naive_own(model, batch, "image")
        yield own, PRESENT[:, 0], naive_elbo(model, batch, z[:, 0], own, lambdas)
    elif isinstance(model, CVAE):
        joint = naive_joint(model, batch)
        yield joint, COMPLETE, naive_elbo(model, batch, z[:, 0], joint, lambdas)
    elif isinstance(model, BiVCCA):
        weights = {n: w * PRESENT[:, i] for i, (n, w) in enumerate(lambdas.items())}
        for i, name in enumerate(tiny.NAMES):
            own = naive_own(model, batch, name)
            share = [row[i] / max(1, row.sum()) for row in PRESENT]
            yield own, np.array(share), naive_elbo(model, batch, z[:, i], own, weights)
    elif isinstance(model, JointPosteriorVAE):
        joint = naive_joint(model, batch)
        elbo = naive_elbo(model, batch, z[:, 0], joint, lambdas)
        owns = {name: naive_own(model, batch, name) for name in tiny.NAMES}
        if isinstance(model, JMVAE):
            elbo -= ALPHA * sum(naive_kl(*joint, *own) for own in owns.values())
        yield joint, COMPLETE, elbo
        if isinstance(model, TELBO):
            for i, (name, own) in enumerate(owns.items()):
                weights = {name: lambdas[name]}
                elbo = naive_elbo(model, batch, z[:, 1 + i], own, weights)
                yield own, PRESENT[:, i], elbo
    else:
        owns = [naive_own(model, batch, name) for name in tiny.NAMES]
        for term, subset in enumerate([PRESENT, *(np.eye(3)[i] * PRESENT for i in range(3))]):
            rows = [
                naive_quotient([(o[0][r], o[1][r]) for o, s in zip(owns, row, strict=True) if s])
                for r, row in enumerate(subset)
            ]
            posterior = [np.stack([np.broadcast_to(r[k], 3) for r in rows]) for k in (0, 1)]
            weights = {
                n: np.where(subset[:, i], lambdas[n], CROSS_WEIGHTS[n]) * PRESENT[:, i]
                for i, n in enumerate(tiny.NAMES)
            }
            counts = PRESENT.sum(1) > 0 if term == 0 else subset.any(1) * (PRESENT.sum(1) > 1)
            yield posterior, counts, naive_elbo(model, batch, z[:, term], posterior, weights)


def test_every_term_and_the_loss_equal_the_naive_ones(make, tiny_batch):
    model = make_baseline(make)
    part = tiny.part_of(tiny_batch, model)
    elbo = model.elbo(part, kl_weight=KL_WEIGHT, num_samples=2, seed=5)
    total = np.zeros(8)
    terms = list(naive_terms(model, tiny_batch, elbo.z.numpy()))
    assert len(terms) == elbo.valid.shape[0]
    for term, (posterior, counts, expected) in enumerate(terms):
        there = counts > 0
        np.testing.assert_allclose(elbo.valid[term], counts, rtol=1e-6)
        parameters = (elbo.loc[term], elbo.log_variance[term])
        for actual, naive in zip(parameters, posterior, strict=True):
            np.testing.assert_allclose(actual[there], naive[there], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(elbo.elbo[term][there], expected[there], rtol=1e-4, atol=1e-4)
        total[there] += (counts * expected)[there]
    np.testing.assert_allclose(elbo.loss, -total.mean(), rtol=1e-4)


def test_z_is_standard_noise_in_the_posteriors_scale(make):
    """Mean and variance of the standardised noise, each within 5 deviations."""
    model = make_baseline(make)
    part = tiny.part_of(tiny.make_batch(np.ones([4, 3])), model)
    elbo = model.elbo(part, num_samples=500, seed=8)
    noise = ((elbo.z - elbo.loc) / np.exp(elbo.log_variance / 2)).numpy()
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs((noise**2).mean() - 1) < 5 * np.sqrt(2 / noise.size)
    assert len(np.unique(noise.round(4), axis=0)) == 500
    other = model.elbo(part, num_samples=500, seed=9).z
    assert not np.any(other == elbo.z)


def test_metrics_are_of_the_examples_that_have_the_first_term(make):
    model = make_baseline(make)
    tiny.make_posterior_sharp(model)  # the noise depends on the batch
    model.compile(run_eagerly=True)
    part = tiny.part_of(tiny.make_batch(), model)
    report = model.evaluate(part, batch_size=3, verbose=0, return_dict=True)
    elbo = model.elbo(part)
    first = {VAE: PRESENT[:, 0], BiVCCA: PRESENT[:, 0], MVAEQ: PRESENT.any(axis=1)}
    first = first.get(make, COMPLETE)
    log_likelihood = {name: value[0].numpy() for name, value in elbo.log_likelihood.items()}
    expected = {
        "loss": elbo.loss,
        "kl": np.average(elbo.kl[0], weights=first),
        "elbo": np.average(sum(log_likelihood.values()) - elbo.kl[0], weights=first),
    }
    for name, value in log_likelihood.items():
        weights = first * PRESENT[:, tiny.NAMES.index(name)]
        expected[f"{name}_log_likelihood"] = np.average(value, weights=weights)
    assert report.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(report[name], value, rtol=1e-4, err_msg=name)


# Posteriors -----------------------------------------------------------------------------


@pytest.mark.parametrize("leave_out", [False, True], ids=["masked", "left_out"])
@pytest.mark.parametrize("make", [MVAEQ, JMVAE, TELBO, BiVCCA], ids=lambda m: m.__name__)
def test_the_posterior_of_every_subset(make, leave_out, tiny_batch):
    model, x = make_baseline(make), tiny_batch["x"]
    owns = {name: naive_own(model, tiny_batch, name) for name in tiny.NAMES}
    for row in PRESENT[1:]:
        names = [name for name, there in zip(tiny.NAMES, row, strict=True) if there]
        if leave_out:
            actual = model.posterior({name: x[name] for name in names})
        else:
            actual = model.posterior(x, {n: np.full(8, n in names) for n in tiny.NAMES})
        chosen = [owns[name] for name in names]
        if make is MVAEQ:
            loc, log_variance = naive_quotient(chosen)
        elif make is BiVCCA or len(names) == 1:
            loc, log_variance = chosen[0]
        elif len(names) == 3:
            loc, log_variance = naive_joint(model, tiny_batch)
        else:
            total = sum(np.exp(-log_variance) for _, log_variance in chosen)
            loc = sum(loc * np.exp(-log_variance) for loc, log_variance in chosen) / total
            log_variance = -np.log(total)
        np.testing.assert_allclose(actual.mean(), loc, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(actual.variance(), np.exp(log_variance), rtol=1e-4)


def test_nothing_present_is_the_prior(make, tiny_batch):
    model = make_baseline(make)
    x = tiny.part_of(tiny_batch, model)["x"]
    posterior = model.posterior(x, dict.fromkeys(x, np.zeros(8)))
    np.testing.assert_array_equal(posterior.mean(), np.zeros([8, tiny.LATENT_DIM]))
    np.testing.assert_array_equal(posterior.stddev(), np.ones([8, tiny.LATENT_DIM]))


def test_experts_of_mvae_q_are_posteriors_whose_quotient_is_the_posterior(tiny_batch):
    """For every subset; a precision of each is above the prior's 1."""
    model, x = make_baseline(MVAEQ), tiny_batch["x"]
    experts = model.experts(x)
    means, variances = ({n: float64([f(e)])[0] for n, e in experts.items()}
                        for f in (lambda e: e.mean(), lambda e: e.variance()))  # fmt: skip
    assert all(np.all(variance < 1) for variance in variances.values())
    for size in (1, 2, 3):
        for names in itertools.combinations(tiny.NAMES, size):
            precision = sum(1 / variances[n] for n in names) - (size - 1)
            mean = sum(means[n] / variances[n] for n in names) / precision
            posterior = model.posterior({n: x[n] for n in names})
            np.testing.assert_allclose(posterior.mean(), mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(posterior.variance(), 1 / precision, rtol=1e-4)


@pytest.mark.parametrize("output", [-1e4, -60.0, 60.0, 1e4])
def test_mvae_q_stays_proper_and_finite_whatever_a_network_puts_out(output, tiny_batch):
    model = make_baseline(MVAEQ)
    tiny.make_posterior_sharp(model, output)
    for distribution in (*model.experts(tiny_batch["x"]).values(), model.posterior(**tiny_batch)):
        assert np.all(np.isfinite(distribution.mean()))
        assert np.all(distribution.variance() > 0)
        assert np.all(distribution.variance() <= 1)
    loss, gradients = tiny.gradients_of(
        lambda: model.elbo(tiny_batch).loss, model.trainable_variables
    )
    assert np.isfinite(loss) and all(np.all(np.isfinite(g)) for g in gradients)


@pytest.mark.parametrize("make", [MVAE, *BASELINES], ids=lambda make: make.__name__)
def test_posteriors_and_samples_are_float32_where_networks_compute_in_bfloat16(
    make, tiny_batch, bfloat16_policy
):
    model = tiny.make_any(make)
    x = tiny.part_of(tiny_batch, model)["x"]
    assert model.posterior(x).dtype == tf.float32
    generated = model.generate(x, 2)
    assert all(value.dtype == tf.float32 for value in generated.values())


# What does not count --------------------------------------------------------------------


def step_of(model, batch, scale=1.0):
    """Returns the loss, gradients and batch-norm statistics after one training step."""
    loss, gradients = tiny.gradients_of(
        lambda: scale * model.elbo(batch, seed=3, training=True).loss, model.trainable_variables
    )
    statistics = [tf.identity(v.value) for v in model.non_trainable_variables]
    return {"loss": loss, "gradients": gradients, "statistics": statistics}


def spoil(batch, absent):
    """Replaces missing values by garbage (or observed ones, to check that this has an effect)."""
    spoilt = tf.nest.map_structure(np.copy, batch)
    for name, value in spoilt["x"].items():
        where = (batch["mask"][name] == 0) == absent
        garbage = 99 if name == "label" else np.nan
        other = 1 - value[where] if name == "image" else (value[where] + 1) % tiny.NUM_CLASSES
        value[where] = garbage if absent else other
    return spoilt


def test_what_is_masked_changes_neither_loss_nor_gradients_nor_statistics(make):
    model = make_baseline(make, batch_norm=True)
    start = model.get_weights()
    batch = tiny.part_of(tiny.make_batch(np.tile(PRESENT, [2, 1])), model)

    def run(part):
        model.set_weights(start)
        return step_of(model, part)

    clean, masked, seen = map(run, (batch, spoil(batch, True), spoil(batch, False)))
    assert all(np.all(np.isfinite(value)) for value in tf.nest.flatten(clean))
    tiny.assert_close(masked, clean, rtol=0, atol=0)
    assert seen["loss"] != clean["loss"]


@pytest.mark.parametrize("make", [CVAE, JMVAE], ids=lambda make: make.__name__)
def test_incomplete_examples_count_for_nothing_in_batch_norm_neither(make):
    """Only the number of examples that the loss is averaged over differs."""
    present = np.concatenate([np.ones([4, 3]), PRESENT[:-1]])
    batch = tiny.make_batch(present)
    complete = tf.nest.map_structure(lambda v: v[:4], batch)
    model = make_baseline(make, batch_norm=True)
    tiny.make_posterior_sharp(model)
    start = model.get_weights()
    mixed = step_of(model, batch, scale=len(present) / 4)
    model.set_weights(start)
    tiny.assert_close(mixed, step_of(model, complete), 1e-4, 1e-4)


# A CVAE's conditions --------------------------------------------------------------------


def test_a_cvae_generates_its_target_from_conditions(tiny_batch):
    model, x = make_baseline(CVAE), tiny_batch["x"]
    assert [m.name for m in model.targets] == ["image"]
    assert model.conditions == ("label", "reading")
    given = {name: x[name] for name in model.conditions}
    z = np.random.default_rng(0).normal(size=[2, 8, tiny.LATENT_DIM]).astype(np.float32)
    decoded = model.decode(z, given=given)
    assert set(decoded) == {"image"}
    condition = np.concatenate([one_hot(x["label"]), x["reading"]], axis=-1)
    for sample, rows in enumerate(z):
        rows = np.concatenate([rows, condition], axis=-1, dtype=np.float32)
        expected = scipy.special.expit(model.target.decode(rows))
        np.testing.assert_allclose(decoded["image"].mean()[sample], expected, rtol=1e-4, atol=1e-6)
    one = model.decode(z[0, 0], given={name: value[:1] for name, value in given.items()})
    expected = decoded["image"].mean()[0, 0]
    np.testing.assert_allclose(one["image"].mean(), expected, rtol=1e-4, atol=1e-6)
    # Without the target the latent is the prior's.
    generated = model.generate(given, 3, seed=4, temperature=0)
    expected = model.from_latent(np.zeros([8, tiny.LATENT_DIM]), given=given)["image"]
    assert set(generated) == {"image"} and generated["image"].shape == [3, 8, 4, 4, 1]
    np.testing.assert_allclose(generated["image"][1], expected, rtol=1e-5, atol=1e-6)
    outputs = model({"x": given})
    assert set(outputs) == {"z", "image"}
    np.testing.assert_allclose(outputs["image"], expected, rtol=1e-5, atol=1e-6)


def test_a_cvae_has_no_experts():
    assert not hasattr(CVAE, "experts")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda model, x: model.sample(4),
            r"generate\({'label': \[...\], 'reading': \[...\]}, num",
        ),
        (lambda model, x: model.generate({"label": x["label"]}), "'reading'.*not given"),
        (lambda model, x: model.generate({"image": x["image"]}), "'label'.*not given"),
        (lambda model, x: model.decode(np.zeros([8, 3])), "'label'.*not given"),
        (lambda model, x: model.posterior({"image": x["image"]}), "'label'.*not given"),
        (
            lambda model, x: model.from_latent(np.zeros([8, 3]), names=["label"], given=x),
            "'image' only",
        ),
    ],
)
def test_a_cvae_needs_its_conditions(ask, message, tiny_batch):
    with pytest.raises(UserError, match=message):
        ask(make_baseline(CVAE), tiny_batch["x"])


# Saving, and mistakes -------------------------------------------------------------------


@pytest.mark.parametrize("make", [CVAE, JMVAE], ids=lambda make: make.__name__)
def test_a_fitted_model_is_saved_and_goes_on_alike(make, tmp_path):
    model = make_baseline(make)
    model.compile(keras.optimizers.Adam(0.02), run_eagerly=True)
    data = tiny.part_of(tiny.make_batch(np.tile(PRESENT, [2, 1])), model)
    model.fit(tiny.batches(data, 8), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    histories = [m.fit(tiny.batches(data, 8), verbose=0).history for m in (model, loaded)]
    tiny.assert_close(histories[1], histories[0], 1e-6, 1e-6)
    tiny.assert_close(loaded.get_weights(), model.get_weights(), 1e-6, 1e-7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VAE(tiny.make_modalities()[:2]), "a VAE has one modality; these are 2"),
        (lambda: VAE([]), "modalities must have at least one"),
        (lambda: CVAE(tiny.make_modalities()[:1]), "at least one condition"),
        (lambda: BiVCCA(tiny.make_modalities()[:1]), "BiVCCA needs 2"),
        (lambda: JMVAE(tiny.make_modalities()[:1]), "JMVAE needs 2"),
        (lambda: TELBO(tiny.make_modalities()[:1]), "TELBO needs 2"),
        (lambda: JMVAE(tiny.make_modalities(), alpha=-0.1), "alpha"),
        (lambda: JMVAE(tiny.make_modalities(), alpha=np.nan), "alpha"),
        (lambda: TELBO(tiny.make_modalities(), trunks={"image": None}), "trunks"),
    ],
)
def test_mistakes_in_making_a_model(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("make", [CVAE, JMVAE, VAE])
def test_fit_says_which_examples_a_model_cannot_learn_from(make, caplog):
    model = tiny.make_any(make)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    data = tiny.part_of(tiny.make_batch(), model)
    with caplog.at_level("WARNING"):
        model.fit(data, batch_size=8, verbose=0)
    # Of all presence patterns of three modalities one is whole; of those of one, half are.
    lacking = 4 if make is VAE else 7
    assert (
        f"{make.__name__} learns from complete examples alone: {lacking} of these 8" in caplog.text
    )
    caplog.clear()
    whole = tiny.part_of(tiny.make_batch(np.ones([8, 3])), model)
    with caplog.at_level("WARNING"):
        model.fit(whole, batch_size=8, verbose=0)
    assert "complete examples" not in caplog.text
