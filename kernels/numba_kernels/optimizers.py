"""Optimizers: one pass over the flat vectors, divided between the threads.

`step` holds the learning rate and the number of the step, counted from 1. What depends on the step alone is
computed once, in float64.
"""

from __future__ import annotations

import math

from fastnn.kernels.numba_kernels.memory import as_float64, is_null, like, share
from fastnn.kernels.numba_kernels.registry import kernel

_GRAIN = 16


@kernel
def sgd(t, n, s, thread, threads):
    """g = gradient + weight_decay theta; v = momentum v + g; theta −= lr (g + momentum v if nesterov, else
    v).

    velocity may be absent where momentum is 0.
    """
    gradient, theta, velocity = t[0], t[2], t[3]
    first = gradient[0]
    rate, momentum, weight_decay = like(first, as_float64(t[1])[0]), like(first, s[0]), like(first, s[1])
    begin, end = share(n[0], _GRAIN, thread, threads)
    if is_null(velocity):
        for i in range(begin, end):
            g = gradient[i] + weight_decay * theta[i]
            theta[i] -= rate * g
    elif n[1]:
        for i in range(begin, end):
            g = gradient[i] + weight_decay * theta[i]
            v = g + momentum * velocity[i]
            velocity[i] = v
            theta[i] -= rate * (g + momentum * v)
    else:
        for i in range(begin, end):
            v = gradient[i] + weight_decay * theta[i] + momentum * velocity[i]
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
    begin, end = share(n[0], _GRAIN, thread, threads)
    for i in range(begin, end):
        g = gradient[i] + weight_decay * theta[i]
        mean = m[i] + new1 * (g - m[i])
        square = v[i] + new2 * (g * g - v[i])
        m[i] = mean
        v[i] = square
        theta[i] = keep * theta[i] - corrected_rate * mean / (root_correction * math.sqrt(square) + eps)
