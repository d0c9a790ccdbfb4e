"""The comparison helper itself: what is wrong must fail it."""

import numpy as np
import pytest
from compare import assert_close, assert_identical, assert_same_bits, ulps

RIGHT = np.array([[1.0, -2.0, 3e-3], [0.5, 4.0, -1e-3]])

WRONG = {
    "zeros": np.zeros_like(RIGHT),
    "NaNs": np.full_like(RIGHT, np.nan),
    "one zero": RIGHT * [[1, 1, 1], [1, 1, 0]],
    "one NaN": np.where(RIGHT == 4, np.nan, RIGHT),
    "one infinity": np.where(RIGHT == 4, np.inf, RIGHT),
    "one sign": np.where(RIGHT == 4, -RIGHT, RIGHT),
    "scaled": RIGHT * 1.01,
    "transposed": RIGHT.T,
    "too short": RIGHT[:, :2],
    "a column of its own": RIGHT[:, :, None],
    "permuted": RIGHT[::-1],
}

COMPARISONS = {
    "identical": assert_identical,
    "same bits": assert_same_bits,
    "close": lambda actual, expected: assert_close(actual, expected, 1e-4),
    "close, with special values": lambda actual, expected: assert_close(
        actual, expected, 1e-4, special_values=True
    ),
}


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_right_results_pass(comparison):
    comparison(RIGHT.copy(), RIGHT)


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_results_fail(comparison, wrong):
    with pytest.raises(AssertionError):
        comparison(wrong, RIGHT)


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_nonzeros_fail_against_zeros(comparison):
    with pytest.raises(AssertionError):
        comparison(RIGHT * 1e-12, np.zeros_like(RIGHT))


def test_small_tensors_get_no_discount():
    with pytest.raises(AssertionError):
        assert_close(np.zeros_like(RIGHT), RIGHT * 1e-30, 1e-4)


def test_close_accepts_rounding_and_no_more():
    assert_close(RIGHT * (1 + 1e-7), RIGHT, 1e-6)
    with pytest.raises(AssertionError):
        assert_close(RIGHT * (1 + 1e-5), RIGHT, 1e-6)


def test_nan_is_expected_only_where_said():
    expected = np.array([1.0, np.nan, np.inf])
    with pytest.raises(AssertionError):
        assert_close(expected.copy(), expected, 1e-6)
    assert_close(expected.copy(), expected, 1e-6, special_values=True)
    for wrong in ([np.nan, np.nan, np.inf], [1, 0, np.inf], [1, np.nan, -np.inf], [1, np.inf, np.nan]):
        with pytest.raises(AssertionError):
            assert_close(np.array(wrong), expected, 1e-6, special_values=True)


def test_identical_takes_any_nan_and_same_bits_does_not():
    quiet, negative = np.array([np.nan]), np.array([-np.nan])
    assert_identical(negative, quiet)
    with pytest.raises(AssertionError):
        assert_same_bits(negative, quiet)
    with pytest.raises(AssertionError):
        assert_same_bits(np.array([-0.0]), np.array([0.0]))
    with pytest.raises(AssertionError):
        assert_same_bits(np.ones(1, np.float32), np.ones(1))


def test_ulps_counts_units_of_the_last_place():
    expected = np.array([1.0, 1000.0, 1e-30])
    actual = expected.astype(np.float32)
    assert ulps(actual, expected) <= 0.5
    assert ulps(actual + 4 * np.spacing(actual), expected) == pytest.approx(4, abs=0.5)
    assert ulps(np.zeros(3, np.float32), expected) > 1e6
    assert ulps(np.full(3, np.nan, np.float32), expected) == np.inf
    with pytest.raises(AssertionError):
        ulps(expected, expected)
