"""Checks of a caller's arguments: whatever passes here, the kernels can compute without looking again.

Inputs are converted only where they must be: an aligned C-contiguous float32 or float64 array goes to the
kernel as it is, anything else as a copy. Inputs are never written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.kernels import native

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)

# Strides, paddings and dilations stay below this, so that their products fit the kernels' 64-bit integers.
_LARGEST_STEP = 2**31


def numbers(name: str, value: ArrayLike) -> np.ndarray:
    """`value` as an array of booleans, integers or real numbers; TypeError for anything else."""
    if type(value) is np.ndarray:
        array = value
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:  # NumPy's answer to nested lists of unequal lengths
            raise TypeError(f"{name} must be an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {_described(value, array)}")
    return array


def _described(value: object, array: np.ndarray) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of dtype {array.dtype}"
    return f"{type(value).__name__} (as an array: dtype {array.dtype})"


def float_dtype(*arrays: np.ndarray) -> np.dtype:
    """The dtype to compute in: NumPy's common one, with float16 raised to float32 and integers to float64."""
    dtype = arrays[0].dtype
    for array in arrays[1:]:
        if array.dtype != dtype:
            dtype = np.result_type(*arrays)
            break
    return FLOAT32 if dtype.kind == "f" and dtype.itemsize <= 4 else FLOAT64


def contiguous(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` itself if it is aligned, C-contiguous and of `dtype`, else a copy that is."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.array(array, dtype=dtype, order="C")


def floats(**values: ArrayLike) -> tuple[np.dtype, list[np.ndarray]]:
    """The named arguments as kernel operands of one dtype, and that dtype."""
    arrays = [numbers(name, value) for name, value in values.items()]
    dtype = float_dtype(*arrays)
    return dtype, [contiguous(array, dtype) for array in arrays]


def sizes(name: str, array: np.ndarray, axes: str) -> tuple[int, ...]:
    """The shape of `array`, which must have the axes named in `axes`, such as "n c h w"."""
    if array.ndim != axes.count(" ") + 1:
        names = axes.split()
        comma = "," if len(names) == 1 else ""
        raise ValueError(f"{name} must have shape ({', '.join(names)}{comma}), got {array.shape}")
    return array.shape


def same_shape(name: str, array: np.ndarray, other_name: str, other: np.ndarray) -> None:
    if array.shape != other.shape:
        raise ValueError(f"{name} must have the shape of {other_name}, {other.shape}, got {array.shape}")


def exact_shape(name: str, array: np.ndarray, shape: tuple[int, ...], meaning: str) -> None:
    """`meaning` says in the caller's terms where `shape` comes from, such as "(n, out)"."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {meaning} = {shape}, got {array.shape}")


def result(
    out: np.ndarray | None,
    shape: tuple[int, ...],
    dtype: np.dtype,
    inputs: Sequence[np.ndarray] = (),
    *,
    in_place: bool = False,
) -> np.ndarray:
    """The array for a kernel to write: `out` where it can go there directly, else a new one.

    `out` may overlap the inputs or be non-contiguous; `deliver` then copies the result there. With
    `in_place`, the kernel itself may overwrite an input, if `out` starts where the input does.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have dtype {dtype}, got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")
    if not (out.flags.c_contiguous and out.flags.aligned):
        return np.empty(shape, dtype)
    for array in inputs:
        if np.may_share_memory(out, array) and not (in_place and out.ctypes.data == array.ctypes.data):
            return np.empty(shape, dtype)
    return out


def deliver(array: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """The caller's result: `array`, copied into `out` where `out` was given and isn't `array` already."""
    if out is None or array is out:
        return array
    out[...] = array
    return out


def pair(name: str, value: Any, minimum: int) -> tuple[int, int]:
    """`value`, an int or two of them (height, width), as two."""
    try:
        single = type(value) is int or np.ndim(value) == 0
        both = (index(value),) * 2 if single else tuple(index(each) for each in value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an int or a pair of ints, got {value!r}") from None
    if len(both) != 2:
        raise ValueError(f"{name} must be an int or a pair of ints, got {value!r}")
    if min(both) < minimum or max(both) >= _LARGEST_STEP:
        raise ValueError(f"{name} must be at least {minimum} and below {_LARGEST_STEP}, got {value!r}")
    return both


def paddings(
    padding: Any, strides: tuple[int, int], reach: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A convolution's padding before (top, left) and after (bottom, right) an image.

    `padding` is an int, two of them, or "same". `reach` is how far the kernel's last row and column lie
    beyond its first.
    """
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError(f'padding must be an int, a pair of ints or "same", got {padding!r}')
        if strides != (1, 1):
            raise ValueError(f'padding "same" needs stride 1, got stride {strides}')
        before = reach[0] // 2, reach[1] // 2
        return before, (reach[0] - before[0], reach[1] - before[1])
    both = pair("padding", padding, 0)
    return both, both


def probabilities(name: str, labels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Labels of a binary loss: 0, 1 or anything between (a soft label), as an operand of `dtype`."""
    if not native.are_probabilities(labels):
        right = (labels >= 0) & (labels <= 1)  # false for NaN as well
        if not right.all():
            raise ValueError(f"{name} must hold labels from 0 to 1, got {labels[~right].flat[0]}")
    return contiguous(labels, dtype)


def classes(name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Labels of a loss over `count` classes: whole numbers from 0 to count - 1, as an int64 operand."""
    if not native.are_classes(labels, count):
        wrong = ~((labels >= 0) & (labels < count))
        if labels.dtype.kind == "f":
            wrong |= labels != np.floor(labels)
        if wrong.any():
            raise ValueError(
                f"{name} must hold classes, whole numbers from 0 to {count - 1}, got {labels[wrong].flat[0]}"
            )
    return contiguous(labels, INT64)
