"""Matrix products: matmul, and the linear layer with its gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnn import backend
from fastnn.backend import call
from fastnn.checks import contiguous, deliver, exact_shape, float_dtype, floats, numbers, result, sizes


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The matrix product c = op(a) op(b), where op(a) is a, or aᵀ with `transpose_a`; likewise for b.

    Args:
        a: (m, k), or (k, m) with `transpose_a`.
        b: (k, n), or (n, k) with `transpose_b`.
        out: (m, n), of the result's dtype, overwritten.

    Returns:
        c (m, n), float32 or float64: c[i, j] = Σ_l op(a)[i, l] op(b)[l, j]; zeros where k = 0.

    Raises:
        ValueError: a or b isn't two-dimensional, their inner sizes differ, or `out` doesn't fit.
        TypeError: a or b is no array of real numbers.

    Source: GEMM of Dongarra et al., "A set of level 3 basic linear algebra subprograms", 1990.
    """
    c = backend.direct.matmul_direct(a, b, transpose_a, transpose_b, out)
    return _checked_matmul(a, b, transpose_a, transpose_b, out) if c is None else c


def _checked_matmul(
    a: ArrayLike, b: ArrayLike, transpose_a: bool, transpose_b: bool, out: np.ndarray | None
) -> np.ndarray:
    """matmul of arguments that must be converted first, or that are wrong."""
    a, b = numbers("a", a), numbers("b", b)
    sizes("a", a, "k m" if transpose_a else "m k")
    sizes("b", b, "n k" if transpose_b else "k n")
    dtype = float_dtype(a, b)
    a_operand, a_strides = _with_strides(a, dtype)
    b_operand, b_strides = _with_strides(b, dtype)
    (m, k), (inner, n) = a.shape, b.shape
    if transpose_a:
        m, k, a_strides = k, m, a_strides[::-1]
    if transpose_b:
        inner, n, b_strides = n, inner, b_strides[::-1]
    if k != inner:
        raise ValueError(
            f"b must have {k} {'columns' if transpose_b else 'rows'}, the inner size of a {a.shape}"
            f"{' transposed' if transpose_a else ''}, got shape {b.shape}"
        )
    c = result(out, (m, n), dtype, (a_operand, b_operand))
    call("matmul", dtype, (a_operand, b_operand, c), (m, n, k, *a_strides, *b_strides))
    return deliver(c, out)


def _with_strides(matrix: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, tuple[int, int]]:
    """A contiguous operand and the strides, in elements, at which it holds `matrix`.

    A transposed view of a C-contiguous array needs no copy: only its strides are turned.
    """
    if matrix.flags.f_contiguous and not matrix.flags.c_contiguous:
        return contiguous(matrix.T, dtype), (1, matrix.shape[0])
    return contiguous(matrix, dtype), (matrix.shape[1], 1)


def linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: str | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """A dense layer: y = x weight + bias, or max(0, x weight + bias) with `activation="relu"`.

    Args:
        x: (n, in).
        weight: (in, out).
        bias: (out,), or None for none.
        activation: None or "relu".
        out: (n, out), of the result's dtype, overwritten.

    Returns:
        y (n, out), float32 or float64.

    Raises:
        ValueError: the shapes don't fit each other or `out`, or `activation` is unknown.
        TypeError: x, weight or bias is no array of real numbers.

    Source: the derivation's Z1 = X W1 + b1, A1 = ReLU(Z1).
    """
    y = backend.direct.linear_direct(x, weight, bias, activation, out)
    return _checked_linear(x, weight, bias, activation, out) if y is None else y


def _checked_linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    activation: str | None,
    out: np.ndarray | None,
) -> np.ndarray:
    """linear of arguments that must be converted first, or that are wrong."""
    if activation not in (None, "relu"):
        raise ValueError(f'activation must be None or "relu", got {activation!r}')
    if bias is None:
        dtype, (x, weight) = floats(x=x, weight=weight)
    else:
        dtype, (x, weight, bias) = floats(x=x, weight=weight, bias=bias)
    n, inputs = sizes("x", x, "n in")
    _, outputs = sizes("weight", weight, "in out")
    exact_shape("weight", weight, (inputs, outputs), "(in, out)")
    operands: tuple[np.ndarray, ...] = (x, weight)
    if bias is not None:
        exact_shape("bias", bias, (outputs,), "(out,)")
        operands = (x, weight, bias)
    y = result(out, (n, outputs), dtype, operands)
    call("linear", dtype, (x, weight, bias, y), (n, inputs, outputs, int(activation == "relu")))
    return deliver(y, out)


def linear_backward(
    dy: ArrayLike, x: ArrayLike, weight: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `linear` (without activation) by x, weight and bias.

    dx = dy weightᵀ; dweight = xᵀ dy; dbias[j] = Σ_i dy[i, j].

    Args:
        dy: (n, out), the gradient by linear's result.
        x: (n, in).
        weight: (in, out).

    Returns:
        dx (n, in), dweight (in, out), dbias (out,), float32 or float64.

    Raises:
        ValueError: the shapes don't fit each other.
        TypeError: an argument is no array of real numbers.

    Source: the derivation's dW3 = A2ᵀ dZ3, db3 = Σ dZ3, dA2 = dZ3 W3ᵀ.
    """
    gradients = backend.direct.linear_backward_direct(dy, x, weight)
    return _checked_linear_backward(dy, x, weight) if gradients is None else gradients


def _checked_linear_backward(
    dy: ArrayLike, x: ArrayLike, weight: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """linear_backward of arguments that must be converted first, or that are wrong."""
    dtype, (dy, x, weight) = floats(dy=dy, x=x, weight=weight)
    n, inputs = sizes("x", x, "n in")
    _, outputs = sizes("weight", weight, "in out")
    exact_shape("weight", weight, (inputs, outputs), "(in, out)")
    exact_shape("dy", dy, (n, outputs), "(n, out)")
    dx, dweight, dbias = np.empty_like(x), np.empty_like(weight), np.empty(outputs, dtype)
    call("linear_backward_input", dtype, (dy, weight, None, dx), (n, inputs, outputs))
    call("linear_backward_weight", dtype, (x, dy, dweight, dbias), (n, inputs, outputs))
    return dx, dweight, dbias
