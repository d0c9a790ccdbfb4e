"""What the tests share: one suite over both backends and both dtypes."""

from importlib.util import find_spec

import numpy as np
import pytest

import fastnn as fn

BACKENDS = (
    "cython",
    pytest.param(
        "numba", marks=pytest.mark.skipif(find_spec("numba") is None, reason="numba isn't installed")
    ),
)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Runs the test in each backend."""
    with fn.use_backend(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_number_of_threads_afterwards():
    threads = fn.get_num_threads()
    yield
    fn.set_num_threads(threads)
