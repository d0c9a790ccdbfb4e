"""Aligned memory: vectors that kernels load whole cache lines of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import DTypeLike

ALIGNMENT = 64  # bytes of a cache line, and of the widest vector register


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """A zeroed C-contiguous array that starts at a multiple of 64 bytes."""
    dtype = np.dtype(dtype)
    count = prod(shape) if isinstance(shape, tuple) else shape
    block = np.zeros(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + count * dtype.itemsize].view(dtype).reshape(shape)


def carve(layout: Mapping[str, tuple[tuple[int, ...], DTypeLike]]) -> tuple[dict[str, np.ndarray], int]:
    """One zeroed block, cut into arrays of the shapes and dtypes of `layout`, no two on one cache line.

    Returns the arrays by name, and the block's bytes.
    """
    ends = [0]
    for shape, dtype in layout.values():
        bytes_ = prod(shape) * np.dtype(dtype).itemsize
        ends.append(ends[-1] + -(-bytes_ // ALIGNMENT) * ALIGNMENT)
    block = aligned_zeros(ends[-1], np.uint8)
    arrays = {}
    for start, (name, (shape, dtype)) in zip(ends, layout.items(), strict=False):
        bytes_ = prod(shape) * np.dtype(dtype).itemsize
        arrays[name] = block[start : start + bytes_].view(dtype).reshape(shape)
    return arrays, ends[-1]


def views(vector: np.ndarray, shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """`vector` cut, without gaps, into views of the given shapes."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        stop = start + prod(shape)
        arrays[name] = vector[start:stop].reshape(tuple(shape))
        start = stop
    return arrays
