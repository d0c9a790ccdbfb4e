"""Activations: forward and backward beside each other. All may be done in place."""

from __future__ import annotations

from . import vector_math
from .memory import helper, inlined, like, same, share
from .registry import kernel

# A cache line of float32: two threads then don't write to one.
_GRAIN = 16


@helper
def _map(function, x, y, count, thread, threads):
    """y[i] = function(x[i]), y == x allowed: then over one pointer, for the vectorizer fears two that overlap."""
    begin, end = share(count, _GRAIN, thread, threads)
    if same(x, y):
        for i in range(begin, end):
            y[i] = function(y[i])
    else:
        for i in range(begin, end):
            y[i] = function(x[i])


@helper
def _map_2(function, a, b, y, count, thread, threads):
    """y[i] = function(a[i], b[i]), y == a or y == b allowed."""
    begin, end = share(count, _GRAIN, thread, threads)
    if same(a, y):
        for i in range(begin, end):
            y[i] = function(y[i], b[i])
    elif same(b, y):
        for i in range(begin, end):
            y[i] = function(a[i], y[i])
    else:
        for i in range(begin, end):
            y[i] = function(a[i], b[i])


@inlined
def _relu(x):
    return like(x, 0) if x < like(x, 0) else x  # a NaN stays


@inlined
def _relu_backward(dy, y):
    return dy if y > like(y, 0) else like(y, 0)


@inlined
def _sigmoid_backward(dy, y):
    return dy * (y * (like(y, 1) - y))


@inlined
def _tanh_backward(dy, y):
    return dy * (like(y, 1) - y * y)


@kernel
def relu(t, n, s, thread, threads):
    """y = max(x, 0)."""
    _map(_relu, t[0], t[1], n[0], thread, threads)


@kernel
def relu_backward(t, n, s, thread, threads):
    """dx = dy · 1[y > 0]."""
    _map_2(_relu_backward, t[0], t[1], t[2], n[0], thread, threads)


@kernel
def sigmoid(t, n, s, thread, threads):
    """y = 1 / (1 + e^−x)."""
    _map(vector_math.sigmoid, t[0], t[1], n[0], thread, threads)


@kernel
def sigmoid_backward(t, n, s, thread, threads):
    """dx = dy y (1 − y)."""
    _map_2(_sigmoid_backward, t[0], t[1], t[2], n[0], thread, threads)


@kernel
def tanh(t, n, s, thread, threads):
    """y = tanh(x)."""
    _map(vector_math.tanh, t[0], t[1], n[0], thread, threads)


@kernel
def tanh_backward(t, n, s, thread, threads):
    """dx = dy (1 − y²)."""
    _map_2(_tanh_backward, t[0], t[1], t[2], n[0], thread, threads)
