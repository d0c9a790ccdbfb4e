"""Comparisons of results with what they should be. test_comparison.py shows that each can fail."""

from __future__ import annotations

import numpy as np


def assert_identical(actual: np.ndarray, expected: np.ndarray, what: str = "result") -> None:
    """The same shape and, as numbers, the same values; NaN equals NaN.

    The dtypes may differ: float32 results of small integers equal the float64 reference exactly.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    _assert_same_shape(actual, expected, what)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    if not same.all():
        raise AssertionError(f"{what}: {_first_difference(actual, expected, ~same)}")


def assert_same_bits(actual: np.ndarray, expected: np.ndarray, what: str = "result") -> None:
    """The same shape, dtype and bits: zeros of different sign differ, and so do NaNs."""
    _assert_same_shape(actual, expected, what)
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
    bits = f"u{actual.dtype.itemsize}"
    same = np.ascontiguousarray(actual).view(bits) == np.ascontiguousarray(expected).view(bits)
    if not same.all():
        raise AssertionError(f"{what}: {_first_difference(actual, expected, ~same)}")


def assert_close(
    actual: np.ndarray,
    expected: np.ndarray,
    tolerance: float,
    what: str = "result",
    *,
    special_values: bool = False,
) -> None:
    """The same shape, and |actual − expected| ≤ tolerance (|expected| + mean |expected|) everywhere.

    The mean forgives small elements the rounding of sums of larger ones, but no tensor passes for being
    small as a whole. NaN and infinity fail, unless `special_values` expects them at the same places.
    """
    actual, expected = np.asarray(actual), np.asarray(expected, dtype=np.float64)
    _assert_same_shape(actual, expected, what)
    finite = np.isfinite(expected)
    if not special_values:
        assert finite.all(), f"{what}: the expected value itself isn't finite"
    else:
        assert_identical(actual[~finite], expected[~finite], f"{what}, where it isn't finite")
    if not finite.any():
        return
    magnitude = np.abs(expected)
    bound = tolerance * (magnitude + magnitude[finite].mean())
    with np.errstate(invalid="ignore"):
        wrong = finite & ~(np.abs(actual - expected) <= bound)  # negated: a NaN is wrong
    if wrong.any():
        raise AssertionError(f"{what}: {_first_difference(actual, expected, wrong)}, tolerance {tolerance}")


def ulps(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest error in units of the last place of actual's dtype; infinite if one isn't finite.

    `expected` is of a wider dtype than `actual`.
    """
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert np.finfo(expected.dtype).eps < np.finfo(actual.dtype).eps, "expected must be of a wider dtype"
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return np.inf
    unit = np.spacing(np.abs(expected).astype(actual.dtype)).astype(expected.dtype)
    return float((np.abs(actual.astype(expected.dtype) - expected) / unit).max(initial=0))


def _assert_same_shape(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"


def _first_difference(actual: np.ndarray, expected: np.ndarray, wrong: np.ndarray) -> str:
    at = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
    return (
        f"{int(wrong.sum())} of {wrong.size} elements differ, first at {at}: "
        f"{actual[at]!r}, expected {expected[at]!r}"
    )
