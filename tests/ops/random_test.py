"""Random numbers are equal in eager mode, in graphs and under XLA."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.tiny import MODES
from tf_mvae.ops.random import (
    batch_normal,
    batch_uniform,
    common_numbers,
    fold_in,
    split,
    stateless_normal,
    stateless_uniform,
)

SEED = tf.constant([7, -3])


def split_mix_64(state, number):
    """The generator as published (Steele, Lea and Flood, 2014), in Python's integers."""
    wrap = 2**64 - 1
    for _ in range(number):
        state = (state + 0x9E3779B97F4A7C15) & wrap
        bits = state
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & wrap
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & wrap
        yield bits ^ (bits >> 31)


@pytest.mark.parametrize("seed", [[0, 0], [7, -3], [-(2**31), 2**31 - 1]])
def test_equals_split_mix_64_whose_first_number_is_the_next_state(seed):
    state = (seed[0] % 2**32) << 32 | seed[1] % 2**32
    (key,) = split_mix_64(state, 1)
    expected = [(bits >> 40) / 2**24 for bits in split_mix_64(key, 20)]
    np.testing.assert_array_equal(stateless_uniform([20], tf.constant(seed)), expected)


def test_split_mix_64_gives_the_published_numbers():
    # The first numbers of java.util.SplittableRandom's mixing from the state 0.
    assert list(split_mix_64(0, 2)) == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@pytest.mark.parametrize("derive", [fold_in, lambda seed, data: split(seed, 8)[data]])
def test_derived_seeds_differ_and_do_not_depend_on_how_they_are_computed(derive, mode):
    seeds = set()
    run = mode(lambda s: tf.stack([derive(s, data) for data in range(8)]))
    for seed in [[0, 0], [0, 1], [1, 0], [-1, 5]]:
        derived = run(tf.constant(seed))
        assert derived.shape == [8, 2] and derived.dtype == tf.int32
        expected = [derive(tf.constant(seed), data) for data in range(8)]
        np.testing.assert_array_equal(derived, expected)
        seeds.update(map(tuple, derived.numpy()))
    assert len(seeds) == 4 * 8


def test_fold_in_split_and_numbers_are_unrelated():
    drawn = stateless_uniform([64], SEED).numpy()
    firsts = [stateless_uniform([64], fold_in(SEED, n)).numpy() for n in range(8)]
    firsts += [stateless_uniform([64], s).numpy() for s in split(SEED, 8)]
    everything = np.concatenate([drawn, *firsts])
    # 17 * 64 numbers out of 2^24: the chance of one pair alike is 3.5 %.
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("mode_name", MODES)
@pytest.mark.parametrize("shape", [[], [5], [3, 1, 20]])
def test_the_same_seed_gives_the_same_numbers_however_it_runs(mode_name, shape):
    mode = MODES[mode_name]
    uniform = mode(lambda seed: stateless_uniform(shape, seed))(SEED)
    np.testing.assert_array_equal(uniform, stateless_uniform(shape, SEED))
    normal = mode(lambda seed: stateless_normal(shape, seed))(SEED)
    np.testing.assert_allclose(normal, stateless_normal(shape, SEED), rtol=1e-5, atol=1e-6)
    assert uniform.shape == normal.shape == shape
    assert uniform.dtype == normal.dtype == tf.float32


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [(stateless_uniform, scipy.stats.uniform), (stateless_normal, scipy.stats.norm)],
)
def test_distribution(draw, distribution):
    """Kolmogorov and Smirnov's test, and no correlation between neighbours or seeds."""
    numbers = draw([200, 100], SEED).numpy()
    assert scipy.stats.kstest(numbers.ravel(), distribution.cdf).pvalue > 1e-4
    other = draw([200, 100], tf.constant([7, -2])).numpy()
    size = numbers.size
    bound = scipy.stats.norm.isf(1e-4) / np.sqrt(size - 200)
    below, beside = (numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])
    for one, two in [(numbers, other), below, beside]:
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < bound


def test_range():
    uniform = stateless_uniform([2**20], SEED).numpy()
    assert 0 <= uniform.min() < 1e-5 and 1 - 1e-5 < uniform.max() < 1
    assert np.all(np.isfinite(stateless_normal([2**20], SEED)))


def test_common_numbers_are_those_of_one_example_for_all(mode):
    def draw(rows):
        with common_numbers():
            return batch_normal([4, rows, 3], SEED), batch_uniform([4, rows, 3], SEED)

    for own, one in zip(mode(lambda: draw(5))(), draw(1), strict=True):
        assert own.shape == [4, 5, 3]
        np.testing.assert_allclose(own, np.broadcast_to(one, [4, 5, 3]), rtol=1e-5, atol=1e-6)
    after = batch_normal([4, 5, 3], SEED).numpy()
    assert not np.allclose(after[:, 0], after[:, 1])
