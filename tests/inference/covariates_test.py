"""Tests of covariates and size factors, from the batch to what is exported."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests import tiny
from tests.conformance.laws_test import sizes
from tf_mvae import (
    CVAE,
    JMVAE,
    MVAE,
    VAE,
    Covariate,
    MMVAEPlus,
    Modality,
    ModalityGroup,
    SizeFactor,
    UserError,
    likelihoods,
    samplers,
)
from tf_mvae.batch import check_dataset
from tf_mvae.data.arrays import from_arrays
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.ops import random
from tf_mvae.serving import export_saved_model

ROWS, LATENT = 9, 2


def make_modalities(size_factor="depth"):
    own = {
        "image": likelihoods.Bernoulli([3, 3, 1]),
        "kind": likelihoods.Categorical(4),
        "rna": likelihoods.NegativeBinomial([5]),
    }
    encoders = {"kind": mlp_encoder([6], 4)}
    return [
        Modality(
            name,
            likelihood,
            encoders.get(name) or mlp_encoder([6]),
            mlp_decoder(likelihood.parameter_shape, [6]),
            size_factor=size_factor if name == "rna" else None,
        )
        for name, likelihood in own.items()
    ]


def make_covariates():
    return [Covariate("site", 3), Covariate("age"), SizeFactor("depth")]


def make_model(make=MVAE, **kwargs):
    modalities = make_modalities()[: 1 if make is VAE else 3]
    if make is JMVAE:
        kwargs["trunks"] = {
            m.name: mlp_encoder([6], 4 if m.name == "kind" else None) for m in modalities
        }
    return make(modalities, **{"latent_dim": LATENT, "covariates": make_covariates()} | kwargs)


def make_batch(names=("image", "kind", "rna"), seed=0):
    rng = np.random.default_rng(seed)
    x = {
        "image": rng.uniform(size=[ROWS, 3, 3, 1]).astype(np.float32),
        "kind": rng.integers(4, size=ROWS),
        "rna": rng.poisson(4, size=[ROWS, 5]),
    }
    x = {name: x[name] for name in names}
    x |= {
        "site": rng.integers(3, size=ROWS),
        "age": rng.normal(size=ROWS).astype(np.float32),
        "depth": rng.uniform(0.5, 2, size=ROWS).astype(np.float32),
    }
    return {"x": x}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return make_model()


class LinearGaussian:
    """`x_i = W_i z + V_i c + b_i + noise / 2`, with columns of W_i at right angles."""

    noise, sizes = 0.5, {"a": 3, "b": 4}

    def __init__(self):
        rng = np.random.default_rng(0)
        self.of_z = {
            n: np.linalg.qr(rng.normal(size=[s, LATENT]))[0] * [0.7, 1.6]
            for n, s in self.sizes.items()
        }
        self.of_c = {n: rng.normal(size=[s, 3 + 2]) for n, s in self.sizes.items()}
        self.bias = {n: rng.normal(size=s) for n, s in self.sizes.items()}

    def numbers(self, x):
        """Returns covariates as networks see them: a class of three, and two numbers."""
        return np.concatenate([np.eye(3)[x["site"]], x["lab"]], 1)

    def batch(self, rows=6):
        rng = np.random.default_rng(1)
        x = {"site": rng.integers(3, size=rows), "lab": rng.normal(size=[rows, 2])}
        z, c = rng.normal(size=[rows, LATENT]), self.numbers(x)
        for n, size in self.sizes.items():
            mean = z @ self.of_z[n].T + c @ self.of_c[n].T + self.bias[n]
            x[n] = mean + self.noise * rng.normal(size=[rows, size])
        return {n: v if n == "site" else v.astype(np.float32) for n, v in x.items()}

    def model(self):
        """Returns the model with exact experts."""
        modalities = [
            Modality(
                n,
                likelihoods.Normal([s], scale=self.noise),
                keras.layers.Identity(),
                keras.layers.Dense(s),
            )
            for n, s in self.sizes.items()
        ]
        covariates = [Covariate("site", 3), Covariate("lab", shape=[2])]
        model = MVAE(modalities, LATENT, covariates=covariates)
        for modality in modalities:
            n = modality.name
            w, v, bias = self.of_z[n], self.of_c[n], self.bias[n]
            modality.decoder.set_weights([np.concatenate([w, v], 1).T, bias])
            squared = (w**2).sum(0)
            to_loc = w / squared
            kernel = np.concatenate([to_loc, -v.T @ to_loc])
            log_variance = np.log(self.noise**2 / squared)
            modality.expert_head.set_weights(
                [
                    np.concatenate([kernel, np.zeros_like(kernel)], 1),
                    np.concatenate([-bias @ to_loc, log_variance]),
                ]
            )
        return model

    def exact(self, x, names):
        """Returns `log p(x | c)` and the posterior's mean and variance, of some modalities."""
        w = np.concatenate([self.of_z[n] for n in names])
        residual = np.concatenate(
            [x[n] - self.numbers(x) @ self.of_c[n].T - self.bias[n] for n in names], 1
        )
        covariance = w @ w.T + self.noise**2 * np.eye(len(w))
        log_prob = scipy.stats.multivariate_normal(cov=covariance).logpdf(residual)
        variance = np.linalg.inv(np.eye(LATENT) + w.T @ w / self.noise**2)
        return log_prob, residual @ w @ variance / self.noise**2, variance


def test_posterior_and_likelihood_of_a_linear_model_equal_the_closed_form():
    exact = LinearGaussian()
    model, x = exact.model(), exact.batch()
    sampler = ImportanceSampler(model, 20, jit_compile=False)
    for names in (["a", "b"], ["b"]):
        log_prob, mean, variance = exact.exact(x, names)
        posterior = model.posterior({n: x[n] for n in [*names, "site", "lab"]})
        np.testing.assert_allclose(posterior.mean(), mean, atol=2e-5)
        np.testing.assert_allclose(posterior.covariance()[0], variance, atol=2e-5)
        found = sampler({"x": x}, names)
        np.testing.assert_allclose(found.log_likelihood, log_prob, rtol=1e-4, atol=1e-4)
        assert found.log_weight_variance.numpy().max() < 1e-6
    terms = model.elbo({"x": x}, num_samples=40, seed=1)  # at the exact posterior a tight bound
    assert np.abs(terms.elbo[0] - exact.exact(x, ["a", "b"])[0]).max() < 1.5


@pytest.mark.parametrize("make", [MVAE, JMVAE, MMVAEPlus, CVAE, VAE], ids=lambda m: m.__name__)
def test_every_model_learns_from_covariates_and_is_saved_with_them(make, tmp_path):
    model = make_model(make, **sizes(make))
    batch = make_batch([m.name for m in model.modalities])
    loss, gradients = tiny.gradients_of(
        lambda: model.elbo(batch, seed=3, training=True).loss, model.trainable_variables
    )
    assert np.isfinite(loss) and all(np.isfinite(g).all() for g in gradients)
    other = {"x": {**batch["x"], "age": batch["x"]["age"] + 1}}
    before, after = (model.posterior(b["x"]).mean() for b in (batch, other))
    assert np.abs(before - after).max(axis=1).min() > 1e-6
    z = tf.zeros([ROWS, LATENT if make is not MMVAEPlus else model.latent_dim])
    before, after = (model.from_latent(z, given=b["x"])["image"] for b in (batch, other))
    assert np.abs(before - after).max() > 1e-6
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [c.name for c in loaded.covariates] == ["site", "age", "depth"]
    tiny.assert_close(loaded.elbo(batch, seed=2).elbo, model.elbo(batch, seed=2).elbo)


def test_encoders_and_decoders_of_every_kind_of_data_see_the_covariates(model):
    batch = make_batch()["x"]
    other = {**batch, "site": (batch["site"] + 1) % 3}
    before, after = (model.experts(x) for x in (batch, other))
    for name, expert in before.items():
        assert np.abs(expert.mean() - after[name].mean()).max(axis=1).min() > 1e-6, name
    image = model.modalities[0]
    assert image.encoder.trainable_variables[0].shape[0] == 9 * (1 + 4)  # four channels more
    assert image.covariate_layer is None
    assert model.modalities[1].covariate_layer.kernel.shape == (6 + 4, 6)


def test_fit_and_predict_take_arrays_and_data_sets_alike(model):
    batch = make_batch()
    weights = model.get_weights()
    losses = []
    for data in (batch, tiny.batches({**batch, "mask": {"site": np.ones(ROWS)}}, ROWS)):
        model.set_weights(weights)
        model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
        kwargs = {"batch_size": ROWS, "shuffle": False} if isinstance(data, dict) else {}
        losses.append(model.fit(data, verbose=0, **kwargs).history["loss"][0])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    model.set_weights(weights)
    found = model.predict(tiny.batches(batch, ROWS), verbose=0)
    tiny.assert_close(found["rna"], model(batch)["rna"])
    filled = model.impute(make_batch(["image"]), num_samples=5)
    assert filled["rna"].missing.all() and filled["rna"].filled.shape == (ROWS, 5)


def test_covariates_alone_are_enough_to_generate(model):
    x = make_batch()["x"]
    given = {name: x[name] for name in ("site", "age", "depth")}
    posterior = model.posterior(given)
    np.testing.assert_array_equal(posterior.mean(), np.zeros([ROWS, LATENT]))
    assert model.generate(given, num_samples=2)["image"].shape == (2, ROWS, 3, 3, 1)
    one = {name: value[:1] for name, value in given.items()}
    drawn = model.sample(4, seed=3, covariates=one)
    z = model._drawn_from_nothing(4, random.split([3, 0], 2)[0], 1.0)
    tiny.assert_close(drawn["image"], model.from_latent(z, given=one, names=["image"])["image"])
    with pytest.raises(UserError, match="needs the covariate 'age'"):
        model.sample(4)
    with pytest.raises(UserError, match="of one example"):
        model.sample(4, covariates=given)
    with pytest.raises(UserError, match="has no covariate 'colour'"):
        model.sample(4, covariates={**one, "colour": [1]})
    with pytest.raises(UserError, match="covariate 'site' is not given"):
        model.decode(np.zeros([ROWS, LATENT]))


def test_a_covariate_that_is_missing_or_does_not_fit_is_refused(model):
    batch = make_batch()
    x = batch["x"]
    holes = np.where(np.arange(ROWS) == 2, np.nan, x["age"])
    for change, message in [
        ({"age": holes}, "given with every example"),
        ({"age": np.ma.masked_invalid(holes)}, "'age' is missing for an example"),
        ({"site": x["site"] + 1}, "covariate 'site' must hold integers in 0..2"),
        ({"site": x["age"]}, "cannot be read from float32"),
        ({"age": x["age"][:, np.newaxis]}, r"covariate 'age' has shape \[batch\]"),
        ({"age": x["age"][:3]}, "differ in length"),
        ({"depth": 0 * x["depth"]}, "covariate 'depth' must hold numbers above 0"),
    ]:
        with pytest.raises(UserError, match=message):
            model.elbo({"x": {**x, **change}})
    without = {name: value for name, value in x.items() if name != "site"}
    for call in (model.elbo, model.predict, model.posterior):
        with pytest.raises(UserError, match="covariate 'site' is not in the batch"):
            call(without)
    with pytest.raises(UserError, match="'site' is missing for an example"):
        model.elbo({"x": x, "mask": {"site": np.arange(ROWS) > 0}})
    lists = from_arrays({**x, "age": [None, *x["age"][1:]]}, modalities=model.batch_inputs)
    with pytest.raises(UserError, match="'age' is missing for an example"):
        model.evaluate(lists, verbose=0)
    for bad, message in [
        ({"x": {**x, "age": holes}}, "must hold finite"),
        ({"x": x, "mask": {"age": np.arange(ROWS) > 0}}, "age.* is missing for an example"),
    ]:
        checked = check_dataset(tiny.batches(bad, 4), model.batch_inputs)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            list(checked)


def test_covariates_that_a_model_cannot_have_are_refused():
    for covariates, message in [
        ("site", "must be a list"),
        (["site"], "must be tf_mvae.Covariate objects"),
        ([Covariate("image"), SizeFactor("depth")], "are called 'image'"),
        ([Covariate("depth")], r"covariates=\[tf_mvae.SizeFactor\('depth'\)\]"),
    ]:
        with pytest.raises(UserError, match=message):
            MVAE(make_modalities(), 2, covariates=covariates)
    with pytest.raises(UserError, match="letters, digits"):
        Covariate("1st")
    with pytest.raises(UserError, match="not both"):
        Covariate("site", 3, shape=[2])
    with pytest.raises(UserError, match="size_factor is for counts"):
        Modality("image", likelihoods.Bernoulli([2]), size_factor="depth")


def test_a_binary_covariate_lies_between_0_and_1():
    covariate = Covariate("smoker", is_binary=True)
    assert Covariate.from_config(covariate.get_config()).is_binary
    model = MVAE([Modality("a", likelihoods.Normal([2]))], 2, covariates=[covariate])
    given = {"a": np.zeros([2, 2]), "smoker": np.array([0.0, 1.0])}
    assert not np.allclose(*model.posterior(given).mean().numpy())
    with pytest.raises(UserError, match="covariate 'smoker' must hold .* between 0 and 1"):
        model.posterior({**given, "smoker": np.array([0.0, 7.0])})
    with pytest.raises(UserError, match="not both"):
        Covariate("site", 3, is_binary=True)


def test_members_of_a_group_see_the_covariates():
    groups = [
        ModalityGroup("yes", ["p", "q"], likelihoods.Bernoulli([])),
        ModalityGroup("real", ["r", "s"], likelihoods.Normal([2])),
    ]
    model = MVAE(groups, LATENT, covariates=[Covariate("age")])
    x = {"yes": np.ones([4, 2]), "real": np.ones([4, 2, 2]), "age": np.arange(4.0)}
    for expert in model.experts(x).values():
        mean = expert.mean().numpy()  # alike but for the covariate
        assert np.abs(mean[0] - mean[1]).max(axis=-1).min() > 1e-6
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.fit({"x": x}, verbose=0).history["loss"][0])


def test_the_mean_of_counts_is_the_size_times_the_rate(model):
    x = make_batch()["x"]
    doubled = {**x, "depth": 2 * x["depth"]}
    z = tf.random.stateless_normal([ROWS, LATENT], [0, 1])
    one, two = (model.from_latent(z, given=g) for g in (x, doubled))
    np.testing.assert_allclose(two["rna"], 2 * one["rna"], rtol=1e-5)
    np.testing.assert_array_equal(two["image"], one["image"])
    raw = model.likelihood_parameters(z, ["rna"], {**x, "depth": np.ones(ROWS)})["rna"].numpy()
    mean = x["depth"][:, np.newaxis] * np.exp(raw[:, 0].astype(np.float64))
    count = np.exp(raw[:, 1].astype(np.float64))
    expected = scipy.stats.nbinom(count, count / (count + mean)).logpmf(x["rna"]).sum(1)
    found = model.decode(z, given=x)["rna"].log_prob(x["rna"].astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    bound = model.elbo({"x": x}, seed=1)  # the step's own way to the decoder
    parameters = model.likelihood_parameters(bound.z[:, 0], ["rna"], x)["rna"]
    log_prob = model.modalities[2].likelihood.log_prob(parameters, x["rna"].astype(np.float32))
    np.testing.assert_allclose(bound.log_likelihood["rna"][0], log_prob[0], rtol=1e-4)


@pytest.mark.parametrize(
    "likelihood",
    [
        likelihoods.Poisson([2]),
        likelihoods.ZeroInflatedNegativeBinomial([2]),
        likelihoods.Columns([likelihoods.Normal([1]), likelihoods.NegativeBinomial([1])]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_sizes_scale_every_likelihood_of_counts(likelihood):
    rng = np.random.default_rng(0)
    parameters = tf.constant(rng.normal(size=[3, *likelihood.parameter_shape]), tf.float32)
    size = np.array([1.0, 3.0, 0.2], np.float32)
    factor = size[:, np.newaxis] ** np.array([not isinstance(likelihood, likelihoods.Columns), 1])
    found = likelihood.expected_value(likelihood.scaled(parameters, tf.math.log(size)))
    tiny.assert_close(found, likelihood.expected_value(parameters) * factor)


def test_a_sampler_sees_the_covariates_and_is_saved(model, tmp_path):
    batch = make_batch()
    with pytest.raises(UserError, match="num_covariates=4"):
        model.set_sampler(samplers.CouplingFlow(LATENT, 3))
    flow = samplers.MixtureDensity(LATENT, 3, 2, width=4, num_covariates=model.num_covariates)
    samplers.fit(model, batch, flow, epochs=1, verbose=0, jit_compile=False)
    for layer in (flow.steps, flow.logits):
        layer.kernel.assign(tf.random.stateless_normal(layer.kernel.shape, [1, 2]))
    x = batch["x"]
    given = {name: x[name] for name in ("kind", "site", "age", "depth")}
    shifted = {**given, "age": given["age"] + 2}
    before, after = (model.latent_distribution(g).mean() for g in (given, shifted))
    expected = [model.posterior(g).mean() for g in (given, shifted)]
    moved = (after - before) - (expected[1] - expected[0])
    assert np.abs(moved).max() > 1e-3
    one = {name: x[name][:1] for name in ("site", "age", "depth")}
    assert np.isfinite(model.sample(3, covariates=one)["rna"]).all()
    assert_samples_through_classes_are_given(one, model)
    assert np.isfinite(model(batch)["rna"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    tiny.assert_close(loaded.latent_distribution(given).mean(), before)
    model.set_sampler(None)


def assert_samples_through_classes_are_given(one, model):
    seed = tf.constant([5, 6])
    first, drawn = (
        model._drawn_from_nothing(3, seed, 1.0, through=through, given=one)
        for through in ((), ("kind",))
    )
    value_seed, latent_seed = random.split(random.fold_in(seed, 1), 2)
    kind = model.decode(first, given=one)["kind"].sample(seed=random.split(value_seed, 1)[0])
    each = {name: np.repeat(value, 3, axis=0) for name, value in one.items()}
    tiny.assert_close(drawn, model.latent_samples({"kind": kind, **each}, seed=latent_seed)[0])


def test_exported_signatures_take_the_covariates(model, tmp_path):
    export_saved_model(model, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures
    assert "sample" not in served
    x = make_batch()["x"]
    given = {
        name: tf.constant(value, tf.int32 if name in ("site", "kind") else tf.float32)
        for name, value in x.items()
    }
    masks = {f"{name}_mask": tf.ones([ROWS]) for name in ("image", "kind", "rna")}
    found = served["encode"](**given, **masks)
    tiny.assert_close(found["loc"], model.posterior(x).mean())
    decoded = served["decode"](
        z=found["loc"], **{name: given[name] for name in ("site", "age", "depth")}
    )
    tiny.assert_close(decoded["rna"], model.from_latent(found["loc"], given=x)["rna"])
