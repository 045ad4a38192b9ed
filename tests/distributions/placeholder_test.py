"""The placeholder for masked entries is inside the support of every likelihood."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.distributions.placeholder import choose_placeholder
from tf_mvae.layers import (
    GroupedDense,
    grouped_mlp_decoder,
    mlp_decoder,
    mlp_encoder,
)

tfd = tfp.distributions
PARAMETERS = tf.constant([[0.1, -0.2, 0.3]])


def independent(make):
    return lambda parameters: tfd.Independent(make(parameters), 1)


def positive(parameters):
    return tf.math.softplus(parameters) + 0.1


@keras.saving.register_keras_serializable("tests")
def log_normal(parameters):
    return tfd.Independent(tfd.LogNormal(parameters, 1.0), 1)


FAMILIES = {
    "log_normal": (log_normal, 1.0),
    "gamma": (independent(lambda p: tfd.Gamma(tf.exp(p), 1.0)), np.log(2)),
    "beta": (independent(lambda p: tfd.Beta(positive(p), 2.0)), 0.5),
    "dirichlet": (lambda p: tfd.Dirichlet(positive(p)), None),
    "truncated": (independent(lambda p: tfd.TruncatedNormal(p, 1.0, 2.0, 5.0)), 3.5),
    "checks its values": (
        independent(lambda p: tfd.LogNormal(p, 1.0, validate_args=True)), 1.0),
    "whole numbers from 1": (independent(lambda p: tfd.Zipf(positive(p) + 1.5)), None),
    "zero is inside": (independent(lambda p: tfd.StudentT(4.0, p, 1.0)), 0.0),
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def test_it_has_a_finite_density(family):
    make, expected = family
    likelihood = likelihoods.CallableLikelihood(make, [3])
    found = choose_placeholder(likelihood, PARAMETERS)
    assert np.isfinite(likelihood.log_prob(PARAMETERS, tf.broadcast_to(found, [3])))
    if expected is not None:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def loss_and_gradients(model, x, mask):
    batch = {"x": x, "mask": mask}
    variables = model.trainable_variables
    loss, gradients = tiny.gradients_of(lambda: model.elbo(batch, seed=0).loss, variables)
    pairs = zip(gradients, variables, strict=True)
    return [loss, *(tf.zeros(v.shape) if g is None else g for g, v in pairs)]


def assert_masked_rows_add_nothing(model, name, value):
    """Compares a batch half masked with its halves: the loss is a mean over rows."""
    tiny.make_posterior_sharp(model)
    other = np.linspace(-1, 1, 4, dtype=np.float32)[:, np.newaxis]
    mask = np.ones([4, *model.modalities[0].mask_shape], np.float32)
    mask[2:] = 0
    halves = [slice(0, 2), slice(2, 4)]
    for garbage in (0.0, -5.0, np.nan):
        spoilt = value.copy()
        spoilt[2:] = garbage
        x = {name: spoilt, "other": other}
        together = loss_and_gradients(model, x, {name: mask})
        assert all(np.isfinite(part).all() for part in together)
        apart = [
            loss_and_gradients(model, {name: value[half], "other": other[half]}, {name: mask[half]})
            for half in halves
        ]
        means = [(one + two) / 2 for one, two in zip(*apart, strict=True)]
        tiny.assert_close(together, means, 1e-4, 1e-5)


def test_masked_rows_leave_loss_and_gradients_finite_and_add_nothing(family):
    make, _ = family
    keras.utils.set_random_seed(0)
    likelihood = likelihoods.CallableLikelihood(make, [3])
    model = MVAE([
        Modality("thing", likelihood, mlp_encoder([4]), mlp_decoder([3], [4])),
        Modality("other", likelihoods.Normal([1]), mlp_encoder([4]), mlp_decoder([1], [4])),
    ], 2)  # fmt: skip
    value = likelihood.distribution(tf.zeros([4, 3])).sample(seed=1).numpy().astype(np.float32)
    assert_masked_rows_add_nothing(model, "thing", np.clip(value, 1e-3, None))


def test_masked_members_of_a_group_add_nothing():
    keras.utils.set_random_seed(0)
    likelihood = likelihoods.CallableLikelihood(log_normal, [3])
    model = MVAE([
        ModalityGroup("things", ["a", "b"], likelihood, GroupedDense(3),
                      grouped_mlp_decoder([3], [4])),
        Modality("other", likelihoods.Normal([1]), mlp_encoder([4]), mlp_decoder([1], [4])),
    ], 2)  # fmt: skip
    value = np.random.default_rng(0).lognormal(size=[4, 2, 3]).astype(np.float32)
    assert_masked_rows_add_nothing(model, "things", value)


def test_a_placeholder_may_be_given_and_is_kept():
    likelihood = likelihoods.CallableLikelihood(log_normal, [3], placeholder=[1.0, 2.0, 3.0])
    modality = Modality("thing", likelihood, mlp_encoder([4]), mlp_decoder([3], [4]))
    modality = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(modality))
    modality.connect(2)
    prepared = modality.prepare(np.full([2, 3], 5.0, np.float32), tf.constant([1.0, 0.0]))
    np.testing.assert_array_equal(prepared, [[5, 5, 5], [1, 2, 3]])


@pytest.mark.parametrize("placeholder", [float("nan"), [1.0, 2.0], "one"])
def test_a_placeholder_that_does_not_fit_is_refused(placeholder):
    with pytest.raises(ValueError, match="placeholder must be a finite number"):
        likelihoods.CallableLikelihood(log_normal, [3], placeholder=placeholder)


def test_a_placeholder_outside_the_support_is_refused():
    likelihood = likelihoods.CallableLikelihood(log_normal, [3], placeholder=-1.0)
    with pytest.raises(UserError, match="placeholder .* has no finite log-probability"):
        Modality("thing", likelihood).connect(2)


def never(parameters):
    """A distribution without a known support."""
    return tfd.Independent(tfd.Uniform(parameters * np.nan, 1.0), 1)


def test_where_none_is_found_the_argument_is_named():
    likelihood = likelihoods.CallableLikelihood(never, [3])
    with pytest.raises(UserError, match="placeholder="):
        Modality("thing", likelihood).connect(2)
