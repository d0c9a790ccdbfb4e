"""matmul, linear and its gradients: exact on integers, within the rounding bound on anything."""

from itertools import product

import numpy as np
import pytest
import reference
from arrays import UNIT_ROUNDOFF, integers, normal, wide
from compare import assert_identical

import fastnn.functional as F

pytestmark = pytest.mark.usefixtures("backend")

# Around the edges of every register tile (t - 1, t, t + 1, 2 t), and across a cache block.
EDGES = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 255, 256, 257)
TRANSPOSES = tuple(product((False, True), repeat=2))


def edge_shapes():
    """Every edge in every position beside odd sizes, and a random sample of all triples."""
    for edge in EDGES:
        yield from ((edge, 13, 11), (13, edge, 11), (13, 11, edge), (edge, edge, edge))
        yield from (
            (edge, 0, 257),
            (0, edge, 257),
            (0, 257, edge),
            (257, edge, 0),
            (1, edge, 257),
            (2, 257, edge),
        )
    yield from np.random.default_rng(1).choice(EDGES, size=(60, 3)).tolist()


def stored(x, transposed):
    """What `x` is the transpose of, or x itself."""
    return np.ascontiguousarray(x.T) if transposed else x


@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
def test_matmul_is_exact_on_integers(rng, dtype, transpose_a, transpose_b):
    for m, k, n in edge_shapes():
        a, b = integers(rng, m, k, dtype=dtype), integers(rng, k, n, dtype=dtype)
        expected = reference.matmul(wide(a), wide(b))
        given_a, given_b = stored(a, transpose_a), stored(b, transpose_b)
        c = F.matmul(given_a, given_b, transpose_a=transpose_a, transpose_b=transpose_b)
        assert c.dtype == dtype
        assert_identical(c, expected, f"m={m} k={k} n={n}")


@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
def test_matmul_is_exact_on_large_integer_products(rng, dtype, transpose_a, transpose_b):
    for m, k, n in ((1, 3000, 5), (600, 40, 3), (3, 20, 2100), (30, 600, 1300), (300, 700, 500)):
        a, b = integers(rng, m, k, dtype=dtype), integers(rng, k, n, dtype=dtype)
        expected = reference.matmul(wide(a), wide(b))
        given_a, given_b = stored(a, transpose_a), stored(b, transpose_b)
        c = F.matmul(given_a, given_b, transpose_a=transpose_a, transpose_b=transpose_b)
        assert_identical(c, expected, f"m={m} k={k} n={n}")


@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
def test_matmul_takes_views_as_they_lie(rng, dtype, transpose_a, transpose_b):
    a, b = integers(rng, 40, 60, dtype=dtype), integers(rng, 60, 50, dtype=dtype)
    whole_a, whole_b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    for rows, columns in product((slice(None), slice(3, 21), slice(None, None, -1)), repeat=2):
        view_a = whole_a[rows, :] if not transpose_a else whole_a[:, rows]
        view_b = whole_b[:, columns] if not transpose_b else whole_b[columns, :]
        c = F.matmul(view_a, view_b, transpose_a=transpose_a, transpose_b=transpose_b)
        assert_identical(c, wide(a)[rows] @ wide(b)[:, columns], f"rows {rows}, columns {columns}")


@pytest.mark.parametrize(("m", "k", "n"), [(33, 100, 47), (5, 1000, 3), (100, 300, 80)])
def test_matmul_error_is_within_the_bound(rng, dtype, m, k, n):
    """|C − AB| ≤ k u |A||B|, componentwise (Higham, Accuracy and Stability of Numerical Algorithms, 3.5)."""
    a, b = normal(rng, m, k, dtype=dtype), normal(rng, k, n, dtype=dtype)
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    bound = k * UNIT_ROUNDOFF[dtype] * (np.abs(wide(a)) @ np.abs(wide(b)))
    assert (np.abs(F.matmul(a, b) - exact) <= bound).all()


def test_matmul_propagates_nan_and_infinity(rng, dtype):
    for m, k, n in ((3, 4, 5), (17, 33, 40), (64, 256, 64)):
        a, b = integers(rng, m, k, dtype=dtype), integers(rng, k, n, dtype=dtype)
        a[1, 2], a[2, 0], b[3, 4], b[1, 1] = np.nan, np.inf, -np.inf, np.nan
        with np.errstate(invalid="ignore"):
            expected = reference.matmul(wide(a), wide(b))
        assert_identical(F.matmul(a, b), expected)


@pytest.mark.parametrize("rows", [2, 90])
@pytest.mark.parametrize("name", ["a", "b"])
def test_matmul_over_its_own_operands(rng, dtype, name, rows):
    """Large enough that part of the result is written while operands are still to be read."""
    operands = {"a": integers(rng, rows, 90, dtype=dtype), "b": integers(rng, 90, 90, dtype=dtype)}
    expected = reference.matmul(wide(operands["a"]), wide(operands["b"]))
    for shift in (0, 1, 45):
        memory = np.zeros(operands[name].size + expected.size, dtype)
        operand = memory[: operands[name].size].reshape(operands[name].shape)
        operand[...] = operands[name]
        out = memory[shift : shift + expected.size].reshape(expected.shape)
        F.matmul(**(operands | {name: operand}), out=out)
        assert_identical(out, expected, f"out over {name}, {shift} elements on")


def linear_shapes():
    yield from ((4, 3, 2), (32, 30, 16), (17, 9, 33), (1, 784, 128), (65, 16, 1))
    for edge in EDGES:
        yield from ((edge, 5, 6), (5, edge, 6), (5, 6, edge))
    # Wide panels of one and two rows, each number of vectors, its last one whole or not.
    yield from ((rows, 7, columns) for rows in (1, 2) for columns in range(33, 300, 5))
    yield from ((rows, 7, columns) for rows in (1, 2) for columns in range(32, 300, 16))


def test_linear_is_exact_on_integers(rng, dtype):
    for n, inputs, outputs in linear_shapes():
        x, weight = integers(rng, n, inputs, dtype=dtype), integers(rng, inputs, outputs, dtype=dtype)
        bias = integers(rng, outputs, dtype=dtype)
        what = f"n={n} in={inputs} out={outputs}"
        y = reference.linear(wide(x), wide(weight), wide(bias))
        assert_identical(F.linear(x, weight, bias), y, what)
        assert_identical(F.linear(x, weight), reference.linear(wide(x), wide(weight)), what)
        assert_identical(F.linear(x, weight, bias, activation="relu"), reference.relu(y), what)
        assert_identical(F.linear(x, weight, activation="relu"), reference.relu(wide(x) @ wide(weight)), what)


def test_linear_backward_is_exact_on_integers(rng, dtype):
    for n, inputs, outputs in linear_shapes():
        dy, x = integers(rng, n, outputs, dtype=dtype), integers(rng, n, inputs, dtype=dtype)
        weight = integers(rng, inputs, outputs, dtype=dtype)
        dx, dweight, dbias = F.linear_backward(dy, x, weight)
        what = f"n={n} in={inputs} out={outputs}"
        assert_identical(dx, reference.linear_backward_input(wide(dy), wide(weight)), f"dx, {what}")
        expected = reference.linear_backward_weight(wide(x), wide(dy))
        assert_identical(dweight, expected[0], f"dweight, {what}")
        assert_identical(dbias, expected[1], f"dbias, {what}")


def test_linear_propagates_nan_and_infinity(rng, dtype):
    """Through the fused ReLU as well: a NaN is no 0."""
    for n, inputs, outputs in ((3, 4, 5), (40, 33, 17)):
        x, weight = integers(rng, n, inputs, dtype=dtype), integers(rng, inputs, outputs, dtype=dtype)
        x[1, 2], x[2, 0], weight[3, 4] = np.nan, np.inf, -np.inf
        bias = integers(rng, outputs, dtype=dtype)
        with np.errstate(invalid="ignore"):
            y = reference.linear(wide(x), wide(weight), wide(bias))
        assert_identical(F.linear(x, weight, bias), y)
        assert_identical(F.linear(x, weight, bias, activation="relu"), reference.relu(y))
