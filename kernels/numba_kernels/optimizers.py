"""Optimizers: one pass over the flat vectors, divided between the threads.

`step` holds the learning rate and the number of the step, counted from 1. What depends on the step alone is
computed once, in float64.
"""

from __future__ import annotations

import math

import numpy as np

from fastnn.kernels.numba_kernels.memory import as_float64, inlined, is_null, like, share
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.tile import element_bytes

_GRAIN = 16
_LEAST_32, _LEAST_64 = float(np.finfo(np.float32).tiny), float(np.finfo(np.float64).tiny)


@inlined
def _least(pointer):
    """The smallest normal number: what decays counts as 0 below it, since subnormal numbers are slow."""
    return like(pointer[0], _LEAST_32 if element_bytes(pointer) == 4 else _LEAST_64)


@inlined
def _without_subnormals(x, least):
    return like(x, 0.0) if abs(x) < least else x


@kernel
def sgd(t, n, s, thread, threads):
    """g = gradient + weight_decay theta; v = momentum v + g; theta −= lr (g + momentum v if nesterov, else
    v).

    velocity may be absent where momentum is 0.
    """
    gradient, theta, velocity = t[0], t[2], t[3]
    first = gradient[0]
    rate, momentum, weight_decay = like(first, as_float64(t[1])[0]), like(first, s[0]), like(first, s[1])
    least = _least(gradient)
    begin, end = share(n[0], _GRAIN, thread, threads)
    if is_null(velocity):
        for i in range(begin, end):
            g = gradient[i] + weight_decay * theta[i]
            theta[i] -= rate * g
    elif n[1]:
        for i in range(begin, end):
            g = gradient[i] + weight_decay * theta[i]
            v = _without_subnormals(g + momentum * velocity[i], least)
            velocity[i] = v
            theta[i] -= rate * (g + momentum * v)
    else:
        for i in range(begin, end):
            v = _without_subnormals(gradient[i] + weight_decay * theta[i] + momentum * velocity[i], least)
            velocity[i] = v
            theta[i] -= rate * v


@kernel
def adam(t, n, s, thread, threads):
    """theta −= lr weight_decay theta if decoupled, else g = gradient + weight_decay theta;
    m = beta1 m + (1 − beta1) g; v = beta2 v + (1 − beta2) g²;
    theta −= lr m / (1 − beta1^t) / (√(v / (1 − beta2^t)) + eps).
    """
    gradient, theta, m, v = t[0], t[2], t[3], t[4]
    first = gradient[0]
    rate, number = as_float64(t[1])[0], as_float64(t[1])[1]
    beta1, beta2, eps, decay = s[0], s[1], like(first, s[2]), s[3]
    weight_decay = like(first, 0.0 if n[1] else decay)
    keep = like(first, 1 - rate * decay if n[1] else 1.0)
    new1, new2 = like(first, 1 - beta1), like(first, 1 - beta2)
    corrected_rate = like(first, rate / (1 - beta1**number))
    root_correction = like(first, 1 / math.sqrt(1 - beta2**number))
    least = _least(gradient)
    begin, end = share(n[0], _GRAIN, thread, threads)
    for i in range(begin, end):
        g = gradient[i] + weight_decay * theta[i]
        mean = _without_subnormals(m[i] + new1 * (g - m[i]), least)
        square = _without_subnormals(v[i] + new2 * (g * g - v[i]), least)
        m[i] = mean
        v[i] = square
        theta[i] = keep * theta[i] - corrected_rate * mean / (root_correction * math.sqrt(square) + eps)
