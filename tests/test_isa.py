"""Every instruction set that this processor has computes right; one that it hasn't is refused by name."""

import os
import subprocess
import sys

import pytest

from fastnn.kernels import cpu

EXACT_PRODUCTS = """
import numpy as np
import fastnn as fn

rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    for m, k, n in ((1, 1, 1), (17, 33, 15), (65, 300, 97), (3, 500, 2)):
        a = rng.integers(-4, 5, size=(m, k)).astype(dtype)
        b = rng.integers(-4, 5, size=(k, n)).astype(dtype)
        expected = a.astype(np.int64) @ b.astype(np.int64)
        assert (fn.functional.matmul(a, b) == expected).all(), (dtype, m, k, n)
    x = np.linspace(-20, 20, 1001, dtype=dtype)
    expected = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.allclose(fn.functional.sigmoid(x), expected, rtol=1e-6, atol=0)
print(fn.info()["instruction_set"])
"""
LEVELS = cpu.supported() or ["portable"]


def run_with(level):
    environment = {**os.environ, "FASTNN_ISA": level}
    command = [sys.executable, "-c", EXACT_PRODUCTS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_loaded_and_exact(level):
    done = run_with(level)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == level


@pytest.mark.parametrize(
    "level", ["x86-64-v9", "avx2", "portable" if LEVELS != ["portable"] else "x86-64-v4"]
)
def test_a_level_that_is_not_there(level):
    done = run_with(level)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert level in last
    assert LEVELS[0] in last, "the message doesn't say what there is"


def test_the_best_level_is_the_default():
    environment = {name: value for name, value in os.environ.items() if name != "FASTNN_ISA"}
    command = [sys.executable, "-c", "import fastnn; print(fastnn.info()['instruction_set'])"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == LEVELS[0]
