"""Activations: forward and backward beside each other. All may be done in place."""

from __future__ import annotations

from fastnn.kernels.numba_kernels import vector_math
from fastnn.kernels.numba_kernels.memory import helper, inlined, like, same, share
from fastnn.kernels.numba_kernels.registry import kernel

# A cache line of float32: two threads then don't write to one.
_GRAIN = 16


def _elementwise(formula):
    """y[i] = formula(x[i]) or formula(a[i], b[i]) over a thread's share; y may be one of the operands.

    Then the loop is over one pointer: the vectorizer fears two that overlap.
    """
    value = inlined(formula)

    @helper
    def unary(x, y, count, thread, threads):
        begin, end = share(count, _GRAIN, thread, threads)
        if same(x, y):
            for i in range(begin, end):
                y[i] = value(y[i])
        else:
            for i in range(begin, end):
                y[i] = value(x[i])

    @helper
    def binary(a, b, y, count, thread, threads):
        begin, end = share(count, _GRAIN, thread, threads)
        if same(a, y):
            for i in range(begin, end):
                y[i] = value(y[i], b[i])
        elif same(b, y):
            for i in range(begin, end):
                y[i] = value(a[i], y[i])
        else:
            for i in range(begin, end):
                y[i] = value(a[i], b[i])

    return unary if formula.__code__.co_argcount == 1 else binary


@_elementwise
def _relu(x):
    return like(x, 0) if x < like(x, 0) else x  # a NaN stays


@_elementwise
def _relu_backward(dy, y):
    return dy if y > like(y, 0) else like(y, 0)


@_elementwise
def _sigmoid(x):
    return vector_math.sigmoid(x)


@_elementwise
def _sigmoid_backward(dy, y):
    return dy * (y * (like(y, 1) - y))


@_elementwise
def _tanh(x):
    return vector_math.tanh(x)


@_elementwise
def _tanh_backward(dy, y):
    return dy * (like(y, 1) - y * y)


@kernel
def relu(t, n, s, thread, threads):
    """y = max(x, 0)."""
    _relu(t[0], t[1], n[0], thread, threads)


@kernel
def relu_backward(t, n, s, thread, threads):
    """dx = dy · 1[y > 0]."""
    _relu_backward(t[0], t[1], t[2], n[0], thread, threads)


@kernel
def sigmoid(t, n, s, thread, threads):
    """y = 1 / (1 + e^−x)."""
    _sigmoid(t[0], t[1], n[0], thread, threads)


@kernel
def sigmoid_backward(t, n, s, thread, threads):
    """dx = dy y (1 − y)."""
    _sigmoid_backward(t[0], t[1], t[2], n[0], thread, threads)


@kernel
def tanh(t, n, s, thread, threads):
    """y = tanh(x)."""
    _tanh(t[0], t[1], n[0], thread, threads)


@kernel
def tanh_backward(t, n, s, thread, threads):
    """dx = dy (1 − y²)."""
    _tanh_backward(t[0], t[1], t[2], n[0], thread, threads)
