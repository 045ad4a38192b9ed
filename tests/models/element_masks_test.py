"""Tests of single missing elements, from the batch to the importance-sampled likelihood."""

import json

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests import tiny
from tests.conformance.laws_test import PRESETS, sizes
from tf_mvae import CVAE, JMVAE, MVAE, VAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.batch import check_dataset, unpack
from tf_mvae.data.arrays import from_arrays
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.models.joint_posterior import JointPosteriorVAE
from tf_mvae.serving import export_saved_model

PARTS = [likelihoods.Normal([2], scale=None), likelihoods.Categorical(3)]


def make_modalities(dropout=0.0):
    likelihood = {
        "image": likelihoods.Bernoulli([3, 3, 1]),
        "table": likelihoods.Columns(PARTS),
        "counts": likelihoods.NegativeBinomial([3]),
    }
    return [
        Modality(
            name,
            each,
            mlp_encoder([6]),
            mlp_decoder(each.parameter_shape, [6]),
            element_mask=True,
            element_dropout=dropout,
        )
        for name, each in likelihood.items()
    ]


def make_model(make=MVAE, **kwargs):
    modalities = make_modalities()[: 1 if make is VAE else 3]
    names = [m.name for m in modalities]
    if issubclass(make, JointPosteriorVAE):
        kwargs["trunks"] = {name: mlp_encoder([6]) for name in names}
    if make is CVAE:
        kwargs["units"] = [6]
    return make(modalities, latent_dim=2, **kwargs)


def make_batch(rows=12, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=[rows, 3])
    table[:, 2] = rng.integers(3, size=rows)
    x = {
        "image": rng.integers(256, size=[rows, 3, 3, 1]).astype(np.uint8),
        "table": table.astype(np.float32),
        "counts": rng.poisson(3, size=[rows, 3]),
    }
    mask = {name: (rng.uniform(size=v.shape) < 0.6).astype(np.float32) for name, v in x.items()}
    mask["table"][0] = 0
    return {"x": x, "mask": mask}


def part(batch, model):
    names = [m.name for m in model.modalities]
    return {key: {n: values[n] for n in names} for key, values in batch.items()}


@pytest.mark.parametrize("make", PRESETS, ids=lambda make: make.__name__)
def test_what_stands_in_a_gap_changes_nothing_and_no_gradient_is_nan(make):
    model = make_model(make, **sizes(make))
    batch = part(make_batch(), model)
    dirty = {"x": dict(batch["x"]), "mask": batch["mask"]}
    garbage = {"image": 7, "table": np.inf, "counts": -5}
    for name, value in batch["x"].items():
        dirty["x"][name] = np.where(batch["mask"][name] > 0, value, garbage[name]).astype(
            value.dtype
        )
    tiny.assert_same_steps(model, batch, [dirty])


def test_nan_is_a_gap_and_an_example_without_an_element_lacks_the_modality():
    model, batch = make_model(), make_batch()
    x, mask = unpack(batch, model.modalities)
    assert mask["table"][0] == 0 and mask["table"].shape == (12,)
    assert np.isnan(x["image"].numpy()[batch["mask"]["image"] == 0]).all()
    again = unpack({"x": x, "mask": mask}, model.modalities)
    tiny.assert_close(again[1], mask, 0, 0)
    np.testing.assert_array_equal(again[0]["image"], x["image"])
    nan = {name: np.where(batch["mask"][name] > 0, v, np.nan) for name, v in batch["x"].items()}
    nan["image"] = (nan["image"] / 255).astype(np.float32)
    tiny.assert_close(model.elbo({"x": nan}, seed=1).elbo, model.elbo(batch, seed=1).elbo)
    without = {"x": dict(batch["x"]), "mask": {**batch["mask"], "table": np.zeros([12])}}
    present = model.elbo(without, seed=1).present
    np.testing.assert_array_equal(present[:, 1], 0)


def test_masks_of_another_shape_and_elements_that_were_not_declared_are_refused():
    model, batch = make_model(), make_batch()
    batch["mask"]["table"] = np.ones([12, 2])
    with pytest.raises(UserError, match=r"must have shape \[batch, 3\] or \[batch\]"):
        model.elbo(batch)
    plain = MVAE([Modality("a", likelihoods.Normal([3]), mlp_encoder([4]))], 2)
    with pytest.raises(UserError, match="element_mask=True"):
        plain.elbo({"x": {"a": np.zeros([2, 3])}, "mask": {"a": np.ones([2, 3])}})
    with pytest.raises(UserError, match="as a whole"):
        Modality("a", likelihoods.Categorical(3), element_mask=True)
    with pytest.raises(UserError, match="element_dropout is for"):
        Modality("a", likelihoods.Normal([3]), element_dropout=0.5)
    with pytest.raises(UserError, match="element_mask is for a Modality"):
        ModalityGroup("g", ["a"], likelihoods.Normal([3]), element_mask=True)
    bad = make_batch()
    bad["x"]["table"][bad["mask"]["table"] > 0] = 1e9
    with pytest.raises(UserError, match="must hold"):
        model.elbo(bad)


def test_a_class_between_two_is_refused_and_an_estimated_count_is_not():
    model, good = make_model(), make_batch()
    row = int(np.argmax(good["mask"]["table"][:, 2]))
    bad = tf.nest.map_structure(np.copy, good)
    bad["x"]["table"][row, 2] = 0.5
    for refused in (
        lambda: model.elbo(bad),
        lambda: list(check_dataset(tiny.batches(bad, 4), model.modalities)),
    ):
        with pytest.raises(
            (UserError, tf.errors.InvalidArgumentError), match=r"integers in 0\.\.2 in column 2"
        ):
            refused()
    bad["mask"]["table"][row, 2] = 0
    good["x"]["counts"] = good["x"]["counts"] + 0.5
    for batch in (bad, good):
        assert np.isfinite(model.elbo(batch).elbo).all()
        assert len(list(check_dataset(tiny.batches(batch, 4), model.modalities))) == 3


def test_tables_and_arrays_give_element_masks():
    pandas = pytest.importorskip("pandas")
    model = make_model()
    frame = pandas.DataFrame(
        {"a": [1.0, None, 2.0], "b": [0.5, 1.5, None], "kind": pandas.array([0, None, 2], "Int64")}
    )
    masked = np.ma.masked_greater(np.array([[1, 2, 99], [99, 99, 99], [3, 4, 5]]), 50)
    data = {"table": frame, "counts": masked, "image": [np.ones([3, 3, 1]), None, None]}
    batch = from_arrays(data, modalities=model.modalities)
    np.testing.assert_array_equal(batch["mask"]["table"], [[1, 1, 1], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(batch["mask"]["counts"], [[1, 1, 0], [0, 0, 0], [1, 1, 1]])
    assert batch["mask"]["image"].shape == (3, 3, 3, 1)
    _, mask = unpack({"x": {"counts": masked}}, model.modalities, partial=True)
    np.testing.assert_array_equal(mask["counts"], [1, 0, 1])
    assert np.isfinite(model.elbo(batch).loss)


def test_it_trains_from_arrays_and_data_sets_and_saves(tmp_path):
    batch = make_batch(24)
    model = MVAE(make_modalities(dropout=0.5), latent_dim=2)
    model.compile("adam")
    history = model.fit(batch, epochs=2, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    model.fit(check_dataset(tiny.batches(batch, 8), model.modalities), verbose=0)
    bad = make_batch(24)
    bad["x"]["table"][bad["mask"]["table"] > 0] = 1e9
    with pytest.raises(UserError, match="must hold"):
        model.fit(tiny.batches(bad, 8), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.modalities[0].element_dropout == 0.5
    tiny.assert_close(loaded.elbo(batch, seed=1).elbo, model.elbo(batch, seed=1).elbo)
    one, other = (model.generate(batch["x"], 2, batch["mask"], seed=1) for _ in range(2))
    tiny.assert_close(one, other)
    assert all(np.isfinite(value).all() for value in one.values())


def test_hidden_elements_change_what_training_encodes_and_nothing_else():
    model = MVAE(make_modalities(dropout=1.0), latent_dim=2)
    batch = make_batch()
    for modality in model.modalities:
        assert modality.element_dropout == 1.0
    whole, hidden = (model.elbo(batch, seed=2, training=t) for t in (False, True))
    assert np.abs(whole.loc - hidden.loc).max() > 1e-3
    np.testing.assert_array_equal(whole.present, hidden.present)


def test_importance_sampling_of_observed_cells_finds_the_exact_likelihood():
    rng = np.random.default_rng(2)
    shapes = {"a": 4, "b": 3}
    modalities = [
        Modality(
            name,
            likelihoods.Normal([size], scale=0.8),
            keras.layers.Identity(),
            keras.layers.Dense(size),
            element_mask=True,
        )
        for name, size in shapes.items()
    ]
    model = MVAE(modalities, latent_dim=2)
    loading = []
    for modality in modalities:
        kernel = rng.normal(size=[2, shapes[modality.name]])
        modality.decoder.set_weights([kernel, np.zeros(shapes[modality.name])])
        loading.append(kernel.T)
        # Weak experts of values and masks: a narrow proposal would miss the tails.
        kernel, bias = (0.1 * rng.normal(size=w.shape) for w in modality.expert_head.get_weights())
        bias[2:] = 1.5
        modality.expert_head.set_weights([kernel, bias])
    loading = np.concatenate(loading)
    covariance = loading @ loading.T + 0.64 * np.eye(7)
    values = rng.multivariate_normal(np.zeros(7), covariance, size=8)
    there = rng.uniform(size=values.shape) < 0.6
    there[0], there[1, :4] = False, False
    x = np.where(there, values, np.nan).astype(np.float32)
    batch = {"x": {"a": x[:, :4], "b": x[:, 4:]}}
    found = ImportanceSampler(model, 20000, max_rows=80000)(batch, seed=1)
    exact = [
        scipy.stats.multivariate_normal(np.zeros(t.sum()), covariance[np.ix_(t, t)]).logpdf(v[t])
        if t.any()
        else 0.0
        for v, t in zip(values, there, strict=True)
    ]
    error = np.maximum(found.standard_error, 0.01)
    assert np.all(np.abs(found.log_likelihood - exact) < 5 * error), (found, exact)


def test_exports_take_element_masks(tmp_path):
    model, batch = make_model(), make_batch(4)
    export_saved_model(model, tmp_path / "exported")
    served = tf.saved_model.load(str(tmp_path / "exported"))
    inputs = {name: tf.cast(v, tf.float32) for name, v in batch["x"].items()}
    inputs["image"] /= 255
    masks = {f"{name}_mask": tf.constant(v) for name, v in batch["mask"].items()}
    found = served.signatures["encode"](**inputs, **masks)
    tiny.assert_close(found["loc"], model.posterior(**batch).mean())
    described = json.loads((tmp_path / "exported/assets.extra/tf_mvae.json").read_text())
    assert described["modalities"]["table"]["element_mask"] is True
    assert described["signatures"]["encode"]["inputs"]["image_mask"]["shape"] == ["batch", 3, 3, 1]


def test_a_joint_network_sees_the_mask():
    model, batch = make_model(JMVAE), make_batch()
    batch["mask"]["table"][0] = 1
    full = {"x": batch["x"], "mask": {n: np.ones_like(m) for n, m in batch["mask"].items()}}
    one, other = (model.posterior(**b).mean().numpy() for b in (batch, full))
    assert np.abs(one - other).max() > 1e-4
