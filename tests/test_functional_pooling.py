"""Max and average pooling: every option, ties, NaN."""

import numpy as np
import pytest
import reference
from arrays import integers, normal, wide
from compare import assert_close, assert_identical

import fastnn.functional as F

pytestmark = pytest.mark.usefixtures("backend")

# the image's shape; kernel_size, stride, padding as given; the same as the reference takes them
CONFIGURATIONS = [
    ((2, 3, 8, 8), (2,), ((2, 2), (2, 2), (0, 0))),
    ((2, 3, 7, 9), (2,), ((2, 2), (2, 2), (0, 0))),  # a row and a column left over
    ((2, 3, 7, 9), ((3, 2),), ((3, 2), (3, 2), (0, 0))),
    ((2, 3, 7, 9), (3, 1), ((3, 3), (1, 1), (0, 0))),
    ((2, 3, 7, 9), (3, 2, 1), ((3, 3), (2, 2), (1, 1))),
    ((2, 3, 7, 9), ((4, 3), (1, 2), (2, 1)), ((4, 3), (1, 2), (2, 1))),
    ((1, 2, 5, 37), (3, 1, 1), ((3, 3), (1, 1), (1, 1))),  # rows of several vectors
    ((1, 2, 5, 70), (3, 2, 1), ((3, 3), (2, 2), (1, 1))),
    ((1, 2, 9, 37), (3, 2), ((3, 3), (2, 2), (0, 0))),
    ((1, 2, 9, 40), (6, 1, 3), ((6, 6), (1, 1), (3, 3))),
    ((1, 2, 9, 40), (7, 2, 2), ((7, 7), (2, 2), (2, 2))),
    ((1, 2, 6, 70), (3,), ((3, 3), (3, 3), (0, 0))),
    ((2, 3, 9, 9), (2, 3), ((2, 2), (3, 3), (0, 0))),  # gaps between the windows
    ((2, 3, 5, 4), ((5, 4),), ((5, 4), (5, 4), (0, 0))),  # global
    ((1, 1, 1, 1), (1,), ((1, 1), (1, 1), (0, 0))),
    ((1, 1, 1, 1), (2, 1, 1), ((2, 2), (1, 1), (1, 1))),
    ((0, 3, 4, 4), (2,), ((2, 2), (2, 2), (0, 0))),
    ((3, 0, 4, 4), (2,), ((2, 2), (2, 2), (0, 0))),
    ((2, 4, 32, 35), (2,), ((2, 2), (2, 2), (0, 0))),
    ((2, 2, 35, 70), (3, 2, 1), ((3, 3), (2, 2), (1, 1))),
    ((1, 2, 20, 70), (3, 1, 1), ((3, 3), (1, 1), (1, 1))),
    ((1, 2, 21, 75), (5, 4, 2), ((5, 5), (4, 4), (2, 2))),
    ((2, 2, 3, 40), ((3, 40),), ((3, 40), (3, 40), (0, 0))),  # global, with a wide window
    ((1, 2, 6, 90), ((3, 41), (2, 7), (1, 20)), ((3, 41), (2, 7), (1, 20))),
]
IDS = [f"{'x'.join(map(str, shape))} {options}" for shape, options, _ in CONFIGURATIONS]
TOLERANCE = {np.dtype(np.float32): 5e-7, np.dtype(np.float64): 1e-15}


@pytest.mark.parametrize(("shape", "options", "plain"), CONFIGURATIONS, ids=IDS)
def test_max_pool2d(rng, dtype, shape, options, plain):
    for x in (normal(rng, *shape, dtype=dtype), integers(rng, *shape, dtype=dtype), -np.ones(shape, dtype)):
        y = F.max_pool2d(x, *options)
        assert y.dtype == dtype
        assert_identical(y, reference.max_pool2d(wide(x), *plain))
        dy = integers(rng, *y.shape, dtype=dtype)
        dx = F.max_pool2d_backward(dy, x, *options)
        assert dx.dtype == dtype
        assert_identical(dx, reference.max_pool2d_backward(wide(dy), wide(x), *plain))


@pytest.mark.parametrize(("shape", "options", "plain"), CONFIGURATIONS, ids=IDS)
def test_avg_pool2d(rng, dtype, shape, options, plain):
    x = normal(rng, *shape, dtype=dtype)
    y = F.avg_pool2d(x, *options)
    assert y.dtype == dtype
    assert_close(y, reference.avg_pool2d(wide(x), *plain), TOLERANCE[dtype])
    dy = normal(rng, *y.shape, dtype=dtype)
    dx = F.avg_pool2d_backward(dy, x, *options)
    assert dx.dtype == dtype
    assert_close(dx, reference.avg_pool2d_backward(wide(dy), wide(x), *plain), TOLERANCE[dtype])


@pytest.mark.parametrize(("shape", "options", "plain"), CONFIGURATIONS, ids=IDS)
def test_nan_and_infinity(rng, dtype, shape, options, plain):
    x = integers(rng, *shape, dtype=dtype)
    x[rng.random(shape) < 0.1] = np.nan
    x[rng.random(shape) < 0.3] = -np.inf
    assert_identical(F.max_pool2d(x, *options), reference.max_pool2d(wide(x), *plain))
    mean = reference.avg_pool2d(wide(x), *plain)
    assert_close(F.avg_pool2d(x, *options), mean, TOLERANCE[dtype], special_values=True)
    dy = integers(rng, *mean.shape, dtype=dtype)
    expected = reference.max_pool2d_backward(wide(dy), wide(x), *plain)
    assert_identical(F.max_pool2d_backward(dy, x, *options), expected)


def test_ties_go_to_the_first(dtype):
    x = np.zeros((1, 1, 4, 4), dtype)
    dx = F.max_pool2d_backward(np.array([[[[1, 2], [3, 4]]]], dtype), x, 2)
    assert_identical(dx[0, 0], np.array([[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]))
