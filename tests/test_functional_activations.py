"""Activations: accurate to the last places, stable, and true to NaN and infinity."""

import numpy as np
import pytest
import reference
from arrays import normal, wide
from compare import assert_close, assert_identical, ulps

import fastnn.functional as F

pytestmark = pytest.mark.usefixtures("backend")

ELEMENTWISE = ("relu", "sigmoid", "tanh")
BACKWARD = ("relu_backward", "sigmoid_backward", "tanh_backward")
OVER_ROWS = ("softmax", "log_softmax")
SHAPES = ((), (1,), (0,), (5,), (16,), (17,), (3, 33), (0, 4), (2, 3, 4, 5), (1000,))
ROW_SHAPES = ((5,), (0, 4), (3, 1), (7, 10), (2, 3, 17), (4, 600), (33, 2), (70, 32), (70, 47), (3, 2100))

# Beyond the working precision of each, for references.
WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}
TOLERANCE = {np.dtype(np.float32): 5e-7, np.dtype(np.float64): 1e-15}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(rng, dtype, name):
    for shape in SHAPES:
        x = 3 * normal(rng, *shape, dtype=dtype) if shape else np.array(-1.5, dtype)
        y = getattr(F, name)(x)
        assert y.dtype == dtype
        assert_close(y, getattr(reference, name)(wide(x)), TOLERANCE[dtype], f"{name}, shape {shape}")


@pytest.mark.parametrize("name", BACKWARD)
def test_elementwise_backward(rng, dtype, name):
    for shape in SHAPES[1:]:
        dy, y = normal(rng, *shape, dtype=dtype), np.tanh(normal(rng, *shape, dtype=dtype))
        dx = getattr(F, name)(dy, y)
        assert dx.dtype == dtype
        expected = getattr(reference, name)(wide(dy), wide(y))
        assert_close(dx, expected, TOLERANCE[dtype], f"{name}, shape {shape}")


@pytest.mark.parametrize("name", OVER_ROWS)
def test_over_rows(rng, dtype, name):
    for shape in ROW_SHAPES:
        x = 4 * normal(rng, *shape, dtype=dtype)
        y = getattr(F, name)(x)
        assert y.dtype == dtype
        expected = getattr(reference, name)(wide(x))
        assert_close(y, expected, 2 * TOLERANCE[dtype], f"{name}, shape {shape}")


@pytest.mark.parametrize("name", OVER_ROWS)
def test_over_rows_in_place(rng, dtype, name):
    for shape in ROW_SHAPES:
        x = 4 * normal(rng, *shape, dtype=dtype)
        apart = getattr(F, name)(x)
        assert_identical(getattr(F, name)(x, out=x), apart, f"{name}, shape {shape}")


def test_softmax_backward_in_place(rng, dtype):
    for shape in ROW_SHAPES:
        dy, y = normal(rng, *shape, dtype=dtype), normal(rng, *shape, dtype=dtype)
        apart = F.softmax_backward(dy, y)
        assert_identical(F.softmax_backward(dy, y, out=dy), apart, f"shape {shape}")
        dy = normal(rng, *shape, dtype=dtype)
        apart = F.softmax_backward(dy, y)
        assert_identical(F.softmax_backward(dy, y, out=y), apart, f"over y, shape {shape}")


def test_rows_without_columns():
    for name in OVER_ROWS:
        assert getattr(F, name)(np.empty((3, 0))).shape == (3, 0)


def test_softmax_backward(rng, dtype):
    for shape in ROW_SHAPES:
        dy, y = normal(rng, *shape, dtype=dtype), reference.softmax(normal(rng, *shape, dtype=dtype))
        expected = reference.softmax_backward(wide(dy), wide(y))
        assert_close(F.softmax_backward(dy, y), expected, 4 * TOLERANCE[dtype], f"shape {shape}")


def dense_sample(dtype):
    """Numbers of both signs over the whole range of the dtype's finite values, close where they matter."""
    if dtype == np.float32:  # every 4099th number there is
        x = np.arange(0, 0xFFFFFFFF, 4099, dtype=np.uint32).view(np.float32)
        return x[np.isfinite(x)]
    magnitudes = np.geomspace(1e-320, 1e308, 100_000)
    near = np.linspace(-40, 40, 400_001)
    far = np.linspace(-800, 800, 100_001)
    return np.concatenate([magnitudes, -magnitudes, near, far])


@pytest.mark.parametrize(("name", "most"), [("sigmoid", 3), ("tanh", 2)])
def test_units_of_the_last_place(dtype, name, most):
    x = dense_sample(dtype)
    wide_x = x.astype(WIDER[dtype])
    with np.errstate(over="ignore", under="ignore"):
        expected = np.tanh(wide_x) if name == "tanh" else 1 / (1 + np.exp(-wide_x))
        y = getattr(F, name)(x)
        chosen = np.abs(expected) >= np.finfo(dtype).tiny
        assert ulps(y[chosen], expected[chosen]) <= most
        # Below the normal numbers there are no relative errors to speak of.
        assert (np.abs(y[~chosen] - expected[~chosen]) <= np.finfo(dtype).tiny).all()


def test_softmax_error(rng, dtype):
    """Within 5e-7 in float32 and 1e-15 in float64, for logits of any size."""
    for scale in (0.1, 1, 10, 100):
        x = (scale * rng.normal(size=(500, 10))).astype(dtype)
        e = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True))
        expected = e / e.sum(axis=1, keepdims=True)
        assert np.abs(F.softmax(x) - expected).max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OVER_ROWS])
def test_special_values(dtype, name):
    x = np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e4, -1e4, 1e-30, -1e-30], dtype)
    if name in OVER_ROWS:  # each special value in a row of its own, beside ordinary ones
        x = np.stack([x, np.ones_like(x), np.zeros_like(x)], axis=1)
    with np.errstate(all="ignore"):
        expected = getattr(reference, name)(wide(x))
    assert_close(getattr(F, name)(x), expected, TOLERANCE[dtype], special_values=True)


def test_extremes_do_not_overflow(dtype):
    x = np.array([-1e4, -89.0, 89.0, 1e4, -np.finfo(dtype).max, np.finfo(dtype).max], dtype)
    assert_identical(F.sigmoid(x)[2:], np.array([1, 1, 0, 1]))
    assert_identical(F.tanh(x), np.sign(wide(x)))
    rows = np.array([[1e4, 0.0, -1e4], [1e4, 1e4, -1e4]], dtype)
    assert_identical(F.softmax(rows), np.array([[1, 0, 0], [0.5, 0.5, 0]]))
    assert_close(F.log_softmax(rows)[0], np.array([0.0, -1e4, -2e4]), 1e-7)


def test_large_logits_shift_out(rng, dtype):
    """softmax(x + c) = softmax(x), whole numbers c being exact."""
    x = rng.integers(-8, 9, size=(50, 10)).astype(dtype)
    assert_identical(F.softmax(x + 1024), F.softmax(x))


def test_relu_is_exact(rng, dtype):
    x = normal(rng, 5000, dtype=dtype)
    assert_identical(F.relu(x), np.maximum(x, 0))
    assert_identical(F.relu_backward(x, x), np.maximum(x, 0))


def test_relu_backward_stops_nan_where_the_unit_is_off(dtype):
    dy = np.array([np.nan, np.nan, np.inf, np.inf], dtype)
    y = np.array([0, 1, 0, 2], dtype)
    assert_identical(F.relu_backward(dy, y), np.array([0, np.nan, 0, np.inf]))
