"""Dropout: whether an element stays is a hash of its index and of a key that seed, stream and step give.

The backward pass and every thread find the same mask, and nothing is stored. random.h has the hashes'
sources; the definition, in unsigned arithmetic modulo 2^64 (mix64) and 2^32 (the rest), is

    key = mix64(mix64(mix64(seed + 0x9E3779B97F4A7C15) + stream) + step)
    h[i] = mix32(mix32(i + key mod 2^32) ^ (key >> 32))
    y[i] = x[i] · 1 / (1 − rate)  if  h[i] >> 8 ≥ rate · 2^24,  else 0
"""

from __future__ import annotations

import math

from numba import uint32, uint64

from fastnn.kernels.numba_kernels.memory import as_float64, helper, inlined, like, same, share
from fastnn.kernels.numba_kernels.registry import kernel

_GRAIN = 16


@inlined
def _mix64(z):
    z ^= z >> uint64(30)
    z *= uint64(0xBF58476D1CE4E5B9)
    z ^= z >> uint64(27)
    z *= uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@inlined
def _mix32(x):
    """Numba widens the operands of 32 bits: every product is cut again."""
    x = uint32(x ^ (x >> uint32(16)))
    x = uint32(x * uint32(0x7FEB352D))
    x = uint32(x ^ (x >> uint32(15)))
    x = uint32(x * uint32(0x846CA68B))
    return uint32(x ^ (x >> uint32(16)))


@inlined
def _random(i, key):
    """24 random bits for element i: a float32 holds them exactly."""
    low, high = uint32(key), uint32(key >> uint64(32))
    return _mix32(uint32(_mix32(uint32(uint32(i) + low)) ^ high)) >> uint32(8)


@helper
def _key(seed, stream, step):
    key = _mix64(uint64(seed) + uint64(0x9E3779B97F4A7C15))
    return _mix64(_mix64(key + uint64(stream)) + uint64(step))


@inlined
def _keep(x, i, key, threshold, factor):
    """x times factor, or 0. The random bits are compared as floats: Numba compares integers in 64 bits."""
    scaled = factor * x
    return scaled if like(x, _random(i, key)) >= threshold else like(x, 0)


@kernel
def dropout(t, n, s, thread, threads):
    """y[i] = x[i] / (1 − rate) where random(seed, stream, step[1], i) ≥ rate, else 0; in place allowed."""
    x, y = t[0], t[2]
    key = _key(n[1], n[2], as_float64(t[1])[1])
    threshold, factor = like(x[0], math.ceil(s[0] * 2.0**24)), like(x[0], 1 / (1 - s[0]))
    begin, end = share(n[0], _GRAIN, thread, threads)
    if same(x, y):
        for i in range(begin, end):
            y[i] = _keep(y[i], i, key, threshold, factor)
    else:
        for i in range(begin, end):
            y[i] = _keep(x[i], i, key, threshold, factor)
