"""The subsets of an example's modalities and their sampling frequencies.

Every statistical test has a fixed seed, and the same one passes for ever; its threshold is
a false alarm in ten thousand for a right distribution under a seed chosen afresh.
"""

import itertools
import math
import types

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.tiny import MODES, all_patterns
from tf_mvae.objectives import SubsetElbos
from tf_mvae.objectives.subsets import SubsetTerms, num_proper_subsets, random_subsets
from tf_mvae.objectives.terms import Columns

SIGNIFICANCE = 1e-4
SEED = tf.constant([17, 3])


def subset_terms(present, num_random=0, distribution="uniform_sizes", seed=None):
    """All terms of the objective, with their subsets in full."""
    names = [f"m{index}" for index in range(present.shape[1])]
    modalities = [types.SimpleNamespace(name=n, size=1, column_names=(n,)) for n in names]
    objective, columns = SubsetElbos(num_random, distribution, {}), Columns(modalities)
    objective.check(modalities)
    blocks = objective.blocks(columns, present, seed)
    return SubsetTerms(
        tf.concat([columns.subset(block, present) for block in blocks], 0),
        tf.concat([block.weight for block in blocks], 0),
    )


def as_sets(rows):
    return [frozenset(np.flatnonzero(row)) for row in np.asarray(rows)]


def proper_subsets(members):
    """Returns all proper subsets with at least 2 of these members."""
    members = sorted(members)
    return [
        frozenset(chosen)
        for size in range(2, len(members))
        for chosen in itertools.combinations(members, size)
    ]


def draws(present, num_random, distribution, number):
    """Draws for many seeds: `[number, term, batch, modality]`."""
    present = tf.constant(present, tf.float32)

    @tf.function
    def run(seeds):
        def draw(seed):
            return random_subsets(present, num_random, distribution, seed).subset

        return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)

    seeds = np.stack([np.arange(number), np.full(number, 5)], axis=1).astype(np.int32)
    return run(tf.constant(seeds)).numpy()


def assert_frequencies(observed, probabilities):
    """Chi-square of what was observed, a list, against probabilities by outcome."""
    outcomes = {outcome: index for index, outcome in enumerate(probabilities)}
    counts = np.bincount([outcomes[o] for o in observed], minlength=len(outcomes))
    probabilities = np.array(list(probabilities.values()))
    assert probabilities.sum() == pytest.approx(1)
    expected = len(observed) * probabilities
    assert expected.min() > 5, "too few draws for a chi-square test"
    assert scipy.stats.chisquare(counts, expected).pvalue > SIGNIFICANCE


def probabilities_of(members, distribution):
    """Each proper subset's probability in one draw."""
    subsets = proper_subsets(members)
    if distribution == "uniform_subsets":
        return dict.fromkeys(subsets, 1 / len(subsets))
    number = len(members)
    return {s: 1 / (number - 2) / math.comb(number, len(s)) for s in subsets}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 10])
def test_number_of_proper_subsets(number):
    assert num_proper_subsets(number) == len(proper_subsets(range(number)))


@pytest.mark.parametrize("number", [2, 3, 19, 300])
def test_structure_of_the_terms(number):
    num_random = min(3, num_proper_subsets(number))
    present = np.ones([2, number], np.float32)
    present[1, 1] = 0
    terms = subset_terms(tf.constant(present), num_random, seed=SEED)
    assert terms.subset.shape == [1 + number + num_random, 2, number]
    assert terms.valid.shape == [1 + number + num_random, 2]
    assert terms.subset.dtype == terms.valid.dtype == tf.float32
    np.testing.assert_array_equal(terms.subset[0], present)
    np.testing.assert_array_equal(terms.subset[1 : 1 + number, 0], np.eye(number))
    np.testing.assert_array_equal(terms.valid[:, 0], np.ones(1 + number + num_random))
    alone = np.eye(number)
    alone[1] = 0
    np.testing.assert_array_equal(terms.subset[1 : 1 + number, 1], alone)
    assert terms.valid[2, 1] == 0


@pytest.mark.parametrize(
    ("number", "num_random", "distribution"),
    [
        (2, 0, "uniform_sizes"),
        (3, 1, "uniform_sizes"),
        (3, 3, "uniform_subsets"),
        (4, 4, "uniform_subsets"),
        (4, 10, "uniform_sizes"),
    ],
)
def test_terms_of_every_presence_pattern(number, num_random, distribution):
    """Terms: all observed modalities, each one alone, and k other subsets, without repetition."""
    present = all_patterns(number)
    run = tf.function(
        lambda seed: subset_terms(tf.constant(present), num_random, distribution, seed)
    )
    for seed in range(5):
        subset, valid = run(tf.constant([seed, 0]))
        assert set(np.unique(subset)) <= {0, 1} and set(np.unique(valid)) <= {0, 1}
        for example, row in enumerate(present):
            members = frozenset(np.flatnonzero(row))
            chosen = as_sets(subset[:, example][valid[:, example] > 0])
            assert len(set(chosen)) == len(chosen)
            certain = {members, *(frozenset([m]) for m in members)} if members else set()
            assert certain <= set(chosen)
            others = set(chosen) - certain
            assert others <= set(proper_subsets(members))
            assert len(others) == min(num_random, num_proper_subsets(len(members)))


@pytest.mark.parametrize("number", [2, 3, 19, 300])
def test_an_example_with_one_modality_has_one_term_and_one_with_none_has_none(number):
    present = np.zeros([2, number], np.float32)
    present[0, 1] = 1
    num_random = min(2, num_proper_subsets(number))
    terms = subset_terms(tf.constant(present), num_random, seed=SEED)
    np.testing.assert_array_equal(np.sum(terms.valid, axis=0), [1, 0])
    assert terms.valid[0, 0] == 1
    np.testing.assert_array_equal(terms.subset[0], present)
    # A term that does not count still holds nothing that the example lacks.
    assert not np.any(terms.subset[:, 0, 0]) and not np.any(terms.subset[:, 1])


@pytest.mark.parametrize("distribution", ["uniform_sizes", "uniform_subsets"])
@pytest.mark.parametrize("number", [19, 300])
def test_many_modalities_give_different_proper_subsets(number, distribution):
    rng = np.random.default_rng(0)
    present = rng.integers(2, size=[6, number]).astype(np.float32)
    present[0] = 1
    subset, valid = random_subsets(tf.constant(present), 5, distribution, SEED)
    assert np.all(np.asarray(valid) == 1)
    for example, row in enumerate(present):
        members = frozenset(np.flatnonzero(row))
        chosen = as_sets(subset[:, example])
        assert len(set(chosen)) == 5
        assert all(s < members and len(s) >= 2 for s in chosen)


def test_three_modalities_draw_each_pair_equally_often():
    present = np.ones([1, 3], np.float32)
    for distribution in ("uniform_sizes", "uniform_subsets"):
        observed = as_sets(draws(present, 1, distribution, 3000)[:, 0, 0])
        assert_frequencies(observed, probabilities_of(range(3), distribution))


@pytest.mark.parametrize("distribution", ["uniform_sizes", "uniform_subsets"])
def test_distribution_over_all_subsets_also_of_incomplete_examples(distribution):
    # Five modalities: 25 proper subsets, sizes 2 and 3 ten each, size 4 five.
    present = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [0, 1, 1, 0, 1]], np.float32)
    drawn = draws(present, 1, distribution, 4000)[:, 0]
    for example, row in enumerate(present):
        expected = probabilities_of(np.flatnonzero(row), distribution)
        assert_frequencies(as_sets(drawn[:, example]), expected)


def test_the_two_distributions_can_be_told_apart():
    """The test above can fail: it rejects the other distribution."""
    drawn = draws(np.ones([1, 5], np.float32), 1, "uniform_sizes", 4000)[:, 0, 0]
    with pytest.raises(AssertionError):
        assert_frequencies(as_sets(drawn), probabilities_of(range(5), "uniform_subsets"))


@pytest.mark.parametrize("distribution", ["uniform_sizes", "uniform_subsets"])
def test_a_second_subset_is_drawn_without_replacement(distribution):
    """P(first, second) = p(first) p(second) / (1 - p(first)): 90 ordered pairs of ten."""
    once = probabilities_of(range(4), distribution)
    pairs = {
        (first, second): once[first] * once[second] / (1 - once[first])
        for first, second in itertools.permutations(once, 2)
    }
    # The complete example's draws must not be disturbed by one that needs more redrawing.
    present = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.float32)
    drawn = draws(present, 2, distribution, 6000)[:, :, 0]
    assert_frequencies([tuple(as_sets(pair)) for pair in drawn], pairs)


@pytest.mark.parametrize("count", [19, 11])
def test_nineteen_modalities_uniform_over_sizes(count):
    present = np.zeros([1, 19], np.float32)
    there = np.arange(19)[19 - count :]
    present[0, there] = 1
    number = 5000
    drawn = draws(present, 1, "uniform_sizes", number)[:, 0, 0]
    sizes = drawn.sum(axis=1).astype(int)
    assert_frequencies(sizes, dict.fromkeys(range(2, count), 1 / (count - 2)))
    # Each modality that is there is in a subset with probability E[size] / count.
    probability = (2 + count - 1) / 2 / count
    threshold = SIGNIFICANCE / count
    for modality in there:
        test = scipy.stats.binomtest(int(drawn[:, modality].sum()), number, probability)
        assert test.pvalue > threshold
    assert not np.any(np.delete(drawn, there, axis=1))


@pytest.mark.parametrize("distribution", ["uniform_sizes", "uniform_subsets"])
def test_three_hundred_modalities_have_the_exact_mean_and_variance_of_sizes(distribution):
    modalities, number = 300, 1500
    weights = {
        size: 1 if distribution == "uniform_sizes" else math.comb(modalities, size)
        for size in range(2, modalities)
    }
    total = sum(weights.values())

    def moment(power, centre):
        """The exact mean of (size - centre / 2) ** power, in integers up to the division."""
        return sum(w * (2 * s - centre) ** power for s, w in weights.items()) / total / 2**power

    # Sizes are symmetric about the mean but for 2 against 298, so centre = 2 * mean nearly.
    mean = moment(1, 0)
    centre = round(2 * mean)
    variance, fourth = moment(2, centre), moment(4, centre)
    drawn = draws(np.ones([1, modalities], np.float32), 1, distribution, number)[:, 0, 0]
    sizes = drawn.sum(axis=1)
    limit = scipy.stats.norm.isf(SIGNIFICANCE / 2)
    assert abs(sizes.mean() - mean) < limit * math.sqrt(variance / number)
    spread = ((sizes - centre / 2) ** 2).mean()
    assert abs(spread - variance) < limit * math.sqrt((fourth - variance**2) / number)
    # Which modalities they are: each is in E[size] / 300 of the subsets.
    frequency = drawn.mean(axis=0)
    deviation = math.sqrt(mean / modalities * (1 - mean / modalities) / number)
    worst = scipy.stats.norm.isf(SIGNIFICANCE / 2 / modalities)
    assert np.abs(frequency - mean / modalities).max() < worst * deviation


@pytest.mark.parametrize(
    ("mode_name", "distribution"),
    [("function", "uniform_sizes"), ("xla", "uniform_subsets")],
)
def test_the_same_seed_draws_the_same_however_it_runs(mode_name, distribution):
    present = tf.constant(all_patterns(4))

    def draw(seed):
        return random_subsets(present, 3, distribution, seed)

    compiled = MODES[mode_name](draw)
    different = 0
    for number in range(4):
        seed = tf.constant([number, 9])
        eager = draw(seed)
        for one, other in zip(eager, compiled(seed), strict=True):
            np.testing.assert_array_equal(one, other)
        different += np.any(eager.subset != draw(SEED).subset)
    assert different == 4  # seeds, and so four draws that are not SEED's


def test_an_examples_subsets_do_not_depend_on_the_rest_of_the_batch():
    """An example has the same terms on every replica and in every batch."""
    present = all_patterns(4)[::-1].copy()
    draw = tf.function(lambda rows: random_subsets(rows, 5, "uniform_sizes", SEED))
    together = draw(tf.constant(present))
    for example in range(len(present)):
        alone = draw(tf.constant(present[example : example + 1]))
        np.testing.assert_array_equal(alone.subset[:, 0], together.subset[:, example])
        np.testing.assert_array_equal(alone.valid[:, 0], together.valid[:, example])


@pytest.mark.parametrize(("number", "too_many"), [(2, 1), (3, 4), (4, 11), (3, -1)])
def test_more_subsets_than_there_are_is_refused(number, too_many):
    message = f"{too_many} random subsets of {number} modalities"
    with pytest.raises(ValueError, match="num_random_subsets must" if too_many < 0 else message):
        subset_terms(tf.ones([1, number]), too_many, seed=SEED)


def test_an_unknown_distribution_is_refused():
    with pytest.raises(ValueError, match="uniform_sizes.*it is 'gaussian'"):
        subset_terms(tf.ones([1, 3]), 1, "gaussian", SEED)
