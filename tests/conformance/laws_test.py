"""Laws that every preset obeys: missing data, exact likelihoods, replicas."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests import tiny
from tf_mvae import (
    CVAE,
    JMVAE,
    MMVAE,
    MVAE,
    MVAEQ,
    MVTCAE,
    TELBO,
    VAE,
    BiVCCA,
    MMVAEPlus,
    Modality,
    MoPoE,
    likelihoods,
)
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.ops.replicas import equal_parts

pytestmark = pytest.mark.usefixtures("untraced")

PRESETS = [MVAE, MVAEQ, VAE, CVAE, BiVCCA, JMVAE, TELBO, MoPoE, MVTCAE, MMVAE, MMVAEPlus]


@pytest.fixture(params=PRESETS, ids=lambda make: make.__name__)
def make(request):
    return request.param


def sizes(make):
    return {"private_dim": 2} if make is MMVAEPlus else {}


def test_what_stands_in_masked_entries_changes_nothing(make):
    model = tiny.make_any(make, **sizes(make))
    batch = tiny.part_of(tiny.make_batch(), model)
    dirty = {"x": dict(batch["x"]), "mask": batch["mask"]}
    for name, mask in batch["mask"].items():
        value = batch["x"][name].copy()
        value[mask == 0] = np.nan if value.dtype.kind == "f" else 10**6
        dirty["x"][name] = value

    def run(data):
        return tiny.gradients_of(
            lambda: model.elbo(data, seed=3, training=True).loss, model.trainable_variables
        )

    (loss, gradients), (again, others) = run(batch), run(dirty)
    np.testing.assert_array_equal(again, loss)
    for one, other in zip(gradients, others, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_array_equal(one, other)


def test_no_gradient_is_nan_where_a_variance_is_extreme(make):
    model = tiny.make_any(make, **sizes(make))
    batch = tiny.part_of(tiny.make_batch(), model)
    for modality in model.modalities:
        if modality.expert_head is not None:
            kernel, bias = modality.expert_head.get_weights()
            half = len(bias) // 2
            bias[half::2], bias[half + 1 :: 2] = 300.0, -300.0
            modality.expert_head.set_weights([kernel, bias])
    _, gradients = tiny.gradients_of(
        lambda: model.elbo(batch, seed=3, training=True).loss, model.trainable_variables
    )
    assert all(np.isfinite(g).all() for g in gradients)


def linear_model(make):
    """A model of two linear-Gaussian modalities, and its joint covariance."""
    rng = np.random.default_rng(2)
    shapes = {"a": 3, "b": 2}
    modalities = [
        Modality(
            n, likelihoods.Normal([d], scale=0.8), keras.layers.Identity(), keras.layers.Dense(d)
        )
        for n, d in shapes.items()
    ]
    model = make(modalities, latent_dim=2, **sizes(make))
    rows = []
    for modality in modalities:
        seen = model.latent.size_of(modality)
        kernel = rng.normal(size=[seen, shapes[modality.name]]).astype(np.float32)
        modality.decoder.set_weights([kernel, np.zeros(shapes[modality.name], np.float32)])
        places = np.zeros([model.latent_dim, seen], np.float32)
        wanted = model.latent.slices(modalities)
        spots = [slice(0, seen)] if wanted is None else wanted[modality.name]
        indices = np.concatenate([np.arange(model.latent_dim)[s] for s in spots])
        places[indices, np.arange(seen)] = 1
        rows.append((places @ kernel).T)
        # Weak experts: a proposal narrower than the posterior would miss its tails.
        kernel, bias = (0.1 * rng.normal(size=w.shape) for w in modality.expert_head.get_weights())
        bias[seen:] = 1.5
        modality.expert_head.set_weights([kernel, bias])
    loading = np.concatenate(rows)
    return model, loading @ loading.T + 0.64 * np.eye(len(loading))


@pytest.mark.parametrize("seen", [["a", "b"], ["b"], []], ids=["all", "one", "prior"])
def test_importance_sampling_finds_the_exact_likelihood(make, seen):
    if make in (VAE, CVAE):
        pytest.skip("it has no joint distribution of two modalities")
    model, covariance = linear_model(make)
    rng = np.random.default_rng(4)
    values = rng.multivariate_normal(np.zeros(5), covariance, size=4).astype(np.float32)
    batch = {"x": {"a": values[:, :3], "b": values[:, 3:]}}
    found = ImportanceSampler(model, 20000, max_rows=80000)(batch, proposal=seen, seed=1)
    exact = scipy.stats.multivariate_normal(np.zeros(5), covariance).logpdf(values)
    error = np.maximum(found.standard_error, 0.01)
    assert np.all(np.abs(found.log_likelihood - exact) < 5 * error), (found, exact)


def test_two_replicas_take_the_step_of_one(make):
    batch = tiny.make_batch(np.concatenate([tiny.all_patterns(3)[1:], np.ones([1, 3])]))
    keras.utils.set_random_seed(5)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = tiny.make_any(make, **sizes(make))
        model.compile(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    batch = tiny.part_of(batch, model)

    def gradients(part):
        with equal_parts():
            return model.loss_gradients(part)[0]

    halves = [tf.nest.map_structure(lambda v, i=i: v[4 * i : 4 * i + 4], batch) for i in range(2)]
    found = strategy.run(
        gradients,
        args=(
            strategy.experimental_distribute_values_from_function(
                lambda context: halves[context.replica_id_in_sync_group]
            ),
        ),
    )
    summed = [strategy.reduce("SUM", g, axis=None) for g in found]
    tiny.assert_close(summed, gradients(batch), 1e-4, 1e-5)
