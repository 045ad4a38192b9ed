"""Arguments outside their domain are refused in one line."""

import numpy as np
import pytest

import tf_mvae
from tf_mvae import checks


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), 3.0, np.float32(3)])
def test_integers_of_every_kind_are_taken(value):
    found = checks.positive_integer("units", value)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", [2.9, 0, -1, float("nan"), float("inf"), True, None, "3", [3]])
def test_what_is_no_positive_integer_is_refused_in_one_line(value):
    with pytest.raises(tf_mvae.UserError) as caught:
        checks.positive_integer("units", value)
    assert str(caught.value) == f"units must be an integer of 1 or more; it is {value!r}"


def test_integers_may_have_no_bound_or_zero():
    assert checks.integer("seed", -5) == -5
    assert checks.non_negative_integer("k", 0) == 0
    with pytest.raises(ValueError, match="k must be an integer of 0 or more; it is -1"):
        checks.non_negative_integer("k", -1)
    with pytest.raises(ValueError, match="seed must be an integer; it is 1.5"):
        checks.integer("seed", 1.5)


def test_seeds_have_32_bits():
    assert checks.seed("--seed", 2**31 - 1) == 2**31 - 1
    for wrong in (-1, 2**31):
        with pytest.raises(ValueError, match="--seed must be an integer of 0 to 2147483647; it is"):
            checks.seed("--seed", wrong)


@pytest.mark.parametrize("value", [[28, 28, 1], (28, 28, np.int64(1)), np.array([28, 28, 1])])
def test_shapes_are_taken_from_any_sequence(value):
    assert checks.shape("event_shape", value) == (28, 28, 1)
    assert checks.shape("event_shape", []) == ()


@pytest.mark.parametrize("value", [8, [2.5], [0], [-1, 3], [None], "28"])
def test_what_is_no_shape_is_refused(value):
    with pytest.raises(ValueError, match="event_shape must be a list of integers of 1 or more"):
        checks.shape("event_shape", value)


def test_words_are_of_a_list():
    assert checks.one_of("pooling", "max", ("last", "max")) == "max"
    for wrong in ("min", None, ["max"]):
        with pytest.raises(ValueError, match="pooling must be one of last, max; it is") as caught:
            checks.one_of("pooling", wrong, ("last", "max"))
        assert str(caught.value).endswith(repr(wrong))


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.finite, [-1, 0.5, np.float32(2)], [float("nan"), float("inf"), "1", None, True]),
        (checks.non_negative, [0, 1e30], [-1e-9, float("nan"), float("inf"), [1.0, 2.0]]),
        (checks.positive, [1e-9, 5], [0, -1, float("nan")]),
        (checks.fraction, [0, 0.5, 1], [1.1, -0.1, float("nan")]),
    ],
)
def test_real_numbers_have_a_domain(check, good, bad):
    for value in good:
        assert check("weight", value) == float(value)
    for value in bad:
        with pytest.raises(ValueError, match="weight must be a") as caught:
            check("weight", value)
        assert str(caught.value).endswith(f"it is {value!r}")
