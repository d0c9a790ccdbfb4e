"""Arrays to test with."""

from __future__ import annotations

import numpy as np

# float32's and float64's unit roundoff, the error of one correctly rounded operation.
UNIT_ROUNDOFF = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}


def integers(rng: np.random.Generator, *shape: int, dtype: np.dtype) -> np.ndarray:
    """Whole numbers from -4 to 4: float32 holds sums of up to 2^20 of their products exactly."""
    return rng.integers(-4, 5, size=shape).astype(dtype)


def normal(rng: np.random.Generator, *shape: int, dtype: np.dtype) -> np.ndarray:
    return rng.normal(size=shape).astype(dtype)


def wide(array: np.ndarray) -> np.ndarray:
    """`array` in float64, for the reference."""
    return array.astype(np.float64)


def _strided(array: np.ndarray) -> np.ndarray:
    larger = np.empty([2 * size for size in array.shape], array.dtype)
    view = larger[tuple(slice(None, 2 * size, 2) for size in array.shape)]
    view[...] = array
    return view


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _offset(array: np.ndarray) -> np.ndarray:
    """Contiguous, but one element beyond where a vector would be aligned."""
    view = np.empty(array.size + 1, array.dtype)[1:].reshape(array.shape)
    view[...] = array
    return view


def _misaligned(array: np.ndarray) -> np.ndarray:
    """At an address that is no multiple of the element's size."""
    view = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _middle_of_rows(array: np.ndarray) -> np.ndarray:
    wider = np.empty((*array.shape[:-1], array.shape[-1] + 3), array.dtype)
    view = wider[..., 1:-2]
    view[...] = array
    return view


# Each makes an array of the same values in another place of memory.
LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": _strided,
    "reversed": lambda array: np.flip(np.flip(array).copy()),
    "middle of rows": _middle_of_rows,
    "read-only": _read_only,
    "offset": _offset,
    "misaligned": _misaligned,
    "foreign byte order": lambda array: array.astype(array.dtype.newbyteorder()),
}
