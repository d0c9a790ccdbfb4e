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


class Layout:
    """Where arrays of given shapes and dtypes lie in one block, no two on one cache line."""

    def __init__(self, arrays: Mapping[str, tuple[tuple[int, ...], DTypeLike]]) -> None:
        self.nbytes = 0
        self._places: dict[str, tuple[tuple[int, ...], np.dtype, int]] = {}
        for name, (shape, dtype) in arrays.items():
            self._places[name] = (shape, np.dtype(dtype), self.nbytes)
            bytes_ = prod(shape) * np.dtype(dtype).itemsize
            self.nbytes += -(-bytes_ // ALIGNMENT) * ALIGNMENT

    def allocate(self) -> dict[str, np.ndarray]:
        """The arrays by name, zeroed."""
        block = aligned_zeros(self.nbytes, np.uint8)
        return {name: np.ndarray(*place[:2], block, place[2]) for name, place in self._places.items()}


def views(vector: np.ndarray, shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """`vector` cut, without gaps, into views of the given shapes."""
    arrays, start = {}, 0
    for name, shape in shapes.items():
        stop = start + prod(shape)
        arrays[name] = vector[start:stop].reshape(tuple(shape))
        start = stop
    return arrays
