"""The product of Gaussian experts against float64 numpy, and at its limits."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import MODES, all_patterns
from tf_mvae.ops import gaussian_product
from tf_mvae.ops.gaussian_product import log_variance_limit

BATCH, MODALITIES, LATENT, TERMS = 5, 4, 3, 6
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
# The unit roundoff of each type; a result is rounded once.
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


def oracle(loc, log_variance, mask):
    """Multiplies densities two by two, starting with N(0, 1), in variances.

    N(m, v) * N(n, w) is in proportion to N((m w + n v) / (v + w), v w / (v + w)).
    """
    terms, batch, modalities = mask.shape
    means = np.zeros([terms, batch, loc.shape[-1]])
    variances = np.ones_like(means)
    for t, b, m in itertools.product(range(terms), range(batch), range(modalities)):
        if mask[t, b, m]:
            n, w = loc[b, m].astype(np.float64), np.exp(log_variance[b, m].astype(np.float64))
            total = variances[t, b] + w
            means[t, b] = (means[t, b] * w + n * variances[t, b]) / total
            variances[t, b] = variances[t, b] * w / total
    return means, np.log(variances)


def random_experts(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    loc = 3 * rng.normal(size=[BATCH, MODALITIES, LATENT])
    log_variance = 2 * rng.normal(size=[BATCH, MODALITIES, LATENT])
    mask = rng.integers(2, size=[TERMS, BATCH, MODALITIES])
    mask[0], mask[1] = 1, 0
    return loc.astype(dtype), log_variance.astype(dtype), mask.astype(dtype)


def product_and_gradients(loc, log_variance, mask, weights=(1.0, 1.0)):
    """Returns the product and the gradients of a weighted sum of its entries."""
    loc, log_variance = tf.convert_to_tensor(loc), tf.convert_to_tensor(log_variance)
    with tf.GradientTape() as tape:
        tape.watch([loc, log_variance])
        product = gaussian_product(loc, log_variance, mask)
        total = tf.add_n(
            [
                tf.reduce_sum(tf.cast(w, part.dtype) * part)
                for w, part in zip(weights, product, strict=True)
            ]
        )
    return (*product, *tape.gradient(total, [loc, log_variance]))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_the_oracle(dtype, mode):
    run = mode(gaussian_product)
    for seed in range(3):
        loc, log_variance, mask = random_experts(dtype, seed)
        actual = run(*map(tf.constant, (loc, log_variance, mask)))
        for part, expected in zip(actual, oracle(loc, log_variance, mask), strict=True):
            assert part.dtype == dtype
            tolerance = TOLERANCE[dtype]
            np.testing.assert_allclose(part, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mask_dtype", [bool, np.int32, np.float32])
def test_the_mask_may_be_of_any_type(mask_dtype):
    loc, log_variance, mask = random_experts()
    actual = gaussian_product(loc, log_variance, mask.astype(mask_dtype))
    np.testing.assert_allclose(actual, oracle(loc, log_variance, mask), rtol=1e-12, atol=1e-12)


def test_gradients_equal_the_derivatives_worked_out_by_hand(mode):
    """With P the product's variance, T_i an expert's precision and m the product's mean.

    dm/dloc_i = P T_i, dm/dlv_i = -P T_i (loc_i - m), dlv/dloc_i = 0, dlv/dlv_i = P T_i.
    """
    loc, log_variance, mask = random_experts()
    weights = (0.25, -1.75)
    _, _, loc_gradient, log_variance_gradient = mode(product_and_gradients)(
        loc, log_variance, mask, weights
    )
    mean, log_product = oracle(loc, log_variance, mask)
    mean, variance = mean[:, :, np.newaxis], np.exp(log_product)[:, :, np.newaxis]
    share = mask[..., np.newaxis] * variance * np.exp(-log_variance)
    np.testing.assert_allclose(loc_gradient, (weights[0] * share).sum(0), rtol=1e-10, atol=1e-12)
    expected = (-weights[0] * share * (loc - mean) + weights[1] * share).sum(0)
    np.testing.assert_allclose(log_variance_gradient, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("order", list(itertools.permutations(range(MODALITIES)))[1::7])
def test_the_order_of_experts_is_irrelevant(order):
    loc, log_variance, mask = random_experts()
    order = list(order)
    one = gaussian_product(loc, log_variance, mask)
    other = gaussian_product(loc[:, order], log_variance[:, order], mask[:, :, order])
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [tf.float64, tf.float32, tf.bfloat16, tf.half])
def test_all_masked_is_the_prior(dtype, mode):
    loc, log_variance, _ = random_experts()
    loc, log_variance = tf.cast(loc, dtype), tf.cast(log_variance, dtype)
    for part in mode(gaussian_product)(loc, log_variance, tf.zeros([TERMS, BATCH, MODALITIES])):
        assert part.dtype == dtype and part.shape == [TERMS, BATCH, LATENT]
        assert not np.any(part)


@pytest.mark.parametrize("gone", range(MODALITIES))
def test_a_masked_expert_equals_an_absent_one(gone):
    loc, log_variance, mask = random_experts()
    mask[:, :, gone] = 0
    rest = [m for m in range(MODALITIES) if m != gone]
    one = gaussian_product(loc, log_variance, mask)
    other = gaussian_product(loc[:, rest], log_variance[:, rest], mask[:, :, rest])
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_every_subset_counts_the_prior_once():
    loc, log_variance, _ = random_experts()
    patterns = all_patterns(MODALITIES).astype(np.float64)
    mask = np.repeat(patterns[:, np.newaxis], BATCH, axis=1)
    _, log_product = gaussian_product(loc, log_variance, mask)
    of_experts = np.einsum("tbm,bml->tbl", mask, np.exp(-log_variance))
    np.testing.assert_allclose(np.exp(-log_product) - of_experts, 1.0, rtol=1e-9)


def test_a_lone_standard_expert_halves_the_prior():
    # N(0, 1) * N(3, 1) is in proportion to N(3 / 2, 1 / 2).
    loc, log_variance = gaussian_product([[[3.0]]], [[[0.0]]], [[1.0]])
    np.testing.assert_allclose(loc, [[1.5]])
    np.testing.assert_allclose(log_variance, [[-np.log(2)]], rtol=1e-6)


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf])
def test_what_an_unused_expert_holds_changes_nothing(garbage, mode):
    loc, log_variance, mask = random_experts(np.float32)
    mask[:, 1, 2] = 0
    mask[:, 3, 0] = 0
    spoilt_loc, spoilt_log_variance = loc.copy(), log_variance.copy()
    for spoilt in (spoilt_loc, spoilt_log_variance):
        spoilt[1, 2] = spoilt[3, 0] = garbage
    run = mode(product_and_gradients)
    clean = run(*map(tf.constant, (loc, log_variance, mask)))
    actual = run(*map(tf.constant, (spoilt_loc, spoilt_log_variance, mask)))
    for one, other in zip(actual, clean, strict=True):
        np.testing.assert_array_equal(one, other)
    for gradient in actual[2:]:
        assert np.all(np.isfinite(gradient))
        assert not np.any(gradient[1, 2]) and not np.any(gradient[3, 0])
        assert np.any(gradient[0, 0])


@pytest.mark.parametrize("dtype", [tf.float64, tf.float32, tf.bfloat16, tf.half])
def test_extreme_log_variances_stay_finite(dtype, mode):
    extremes = [(1e4, 1e4), (-1e4, -1e4), (1e4, -1e4), (-1e4, 0.0)]
    log_variance = tf.constant([[[e, e] for e in pair] for pair in extremes], dtype)
    loc = tf.constant([[[5.0, -4.0], [-7.0, 1e4]]] * len(extremes), dtype)
    mask = tf.constant(np.repeat(all_patterns(2)[:, np.newaxis], len(extremes), axis=1))
    for part in mode(product_and_gradients)(loc, log_variance, mask):
        assert part.dtype == dtype
        assert np.all(np.isfinite(tf.cast(part, tf.float64)))


def test_a_sure_expert_decides_and_an_unsure_one_is_ignored():
    loc, log_variance = gaussian_product(
        tf.constant([[[5.0], [-7.0]]]), tf.constant([[[-1e4], [1e4]]]), tf.constant([[1.0, 1.0]])
    )
    np.testing.assert_allclose(loc, [[5.0]], rtol=1e-6)
    limit = log_variance_limit(tf.float32)
    np.testing.assert_allclose(log_variance, [[-limit]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [tf.half, tf.bfloat16, tf.float32, tf.float64])
def test_the_limit_keeps_the_square_of_a_precision_finite(dtype):
    compute = tf.float32 if dtype.size < 4 else dtype
    limit = log_variance_limit(compute)
    assert 2 * limit < np.log(float(compute.max)) < 3 * limit


@pytest.mark.parametrize("dtype", ROUNDING)
def test_half_precision_is_accumulated_in_float32(dtype):
    loc, log_variance, mask = random_experts()
    dtype = tf.as_dtype(dtype)
    loc, log_variance = tf.cast(loc, dtype), tf.cast(log_variance, dtype)
    actual = gaussian_product(loc, log_variance, mask)
    exact = oracle(np.float64(tf.cast(loc, tf.float64)), np.float64(log_variance), mask)
    for part, expected in zip(actual, exact, strict=True):
        assert part.dtype == dtype
        rounding = ROUNDING[dtype.name]
        np.testing.assert_allclose(tf.cast(part, tf.float64), expected, rtol=rounding, atol=1e-6)


def test_terms_at_once_equal_one_term_after_the_other():
    loc, log_variance, mask = random_experts()
    together = gaussian_product(loc, log_variance, mask)
    for term in range(TERMS):
        alone = gaussian_product(loc, log_variance, mask[term])
        assert alone[0].shape == [BATCH, LATENT]
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other[term], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode_name", ["function", "xla"])
def test_compiled_equals_eager(mode_name):
    arguments = random_experts(np.float32)
    for one, other in zip(
        MODES[mode_name](product_and_gradients)(*arguments),
        product_and_gradients(*arguments),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("loc_shape", "log_variance_shape", "mask_shape", "named"),
    [
        ([5, 3], [5, 3], [5, 4], "loc and log_variance"),
        ([5, 4, 3], [5, 4, 2], [5, 4], "loc and log_variance"),
        ([5, 4, 3], [5, 4, 3], [4], "mask"),
        ([5, 4, 3], [5, 4, 3], [5, 3], "mask"),
        ([5, 4, 3], [5, 4, 3], [4, 5], "mask"),
        ([5, 4, 3], [5, 4, 3], [2, 6, 4], "mask"),
        ([5, 4, 3], [5, 4, 3], [1, 2, 5, 4], "mask"),
    ],
)
def test_wrong_shapes_are_refused(loc_shape, log_variance_shape, mask_shape, named):
    with pytest.raises(ValueError, match=named):
        gaussian_product(tf.zeros(loc_shape), tf.zeros(log_variance_shape), tf.ones(mask_shape))
