"""Checks of a network's data: what passes here, the executor takes as it is.

Inputs stay where they are: float32, float64 and uint8 arrays of any strides, memory maps included, are read
in place, a batch at a time. Converted is what is small beside them (targets, weights) or of another dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastnn.arguments import real_number
from fastnn.checks import FLOAT32, FLOAT64, contiguous, numbers
from fastnn.losses import Loss

_UINT8 = np.dtype(np.uint8)

ClassWeight = Mapping[Any, float] | str | None


class Rows(NamedTuple):
    """Checked rows of data: inputs x (n, …), targets y in the loss's form, weights (n,) or None."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None

    def part(self, rows: slice | np.ndarray) -> Rows:
        """These rows: views for a slice, copies for an array of indices."""
        return Rows(self.x[rows], self.y[rows], None if self.weight is None else self.weight[rows])


def check_inputs(name: str, value: ArrayLike, input_shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """`value` as an array (n, *input_shape) that can be read in place, n at least 1."""
    array = numbers(name, value)
    expected = f"(n, {', '.join(map(str, input_shape))})"
    if array.ndim != len(input_shape) + 1 or array.shape[1:] != input_shape:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{name} must have at least one row, got shape {array.shape}")
    if array.dtype in (FLOAT32, FLOAT64, _UINT8) and array.flags.aligned:
        return array
    return array.astype(dtype)


def check_rows(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    loss: Loss,
    input_shape: tuple[int, ...],
    *,
    names: tuple[str, str] = ("X", "y"),
) -> Rows:
    """The caller's inputs, targets and weights, which must have equally many rows."""
    x = check_inputs(names[0], X, input_shape, loss.dtype)
    targets = numbers(names[1], y)
    if targets.ndim == 0 or len(targets) != len(x):
        got = f"shape {targets.shape}"
        raise ValueError(f"{names[1]} must have one target for each of {names[0]}'s {len(x)} rows, got {got}")
    weight = None if sample_weight is None else check_weight(sample_weight, len(x), loss.dtype)
    return Rows(x, loss.targets(names[1], targets, len(x)), weight)


def check_weight(sample_weight: ArrayLike, rows: int, dtype: np.dtype) -> np.ndarray:
    weight = numbers("sample_weight", sample_weight)
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight must have shape {(rows,)}, got {weight.shape}")
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise ValueError(f"sample_weight must be finite and at least 0, got {weight[wrong][0]}")
    return contiguous(weight, dtype)


def apply_class_weight(rows: Rows, class_weight: ClassWeight, loss: Loss) -> Rows:
    """`rows` with each one's weight multiplied by its class's.

    "balanced" gives class c the weight n / (classes · rows of class c), over the classes that occur.
    """
    if class_weight is None:
        return rows
    if loss.classes == 0:
        raise ValueError(
            "class_weight needs rows of one class each: log loss of a Softmax or a single Sigmoid"
        )
    labels = rows.y if rows.y.ndim == 1 else (rows.y[:, 0] > 0.5).astype(np.int64)
    by_class = _class_weights(class_weight, labels, loss.classes)
    weight = by_class.astype(loss.dtype)[labels]
    return rows._replace(weight=weight if rows.weight is None else weight * rows.weight)


def _class_weights(class_weight: Mapping[Any, float] | str, labels: np.ndarray, classes: int) -> np.ndarray:
    weights = np.ones(classes)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be a dict or 'balanced', got {class_weight!r}")
        counts = np.bincount(labels, minlength=classes)
        occurring = counts > 0
        weights[occurring] = len(labels) / (occurring.sum() * counts[occurring])
        return weights
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict or 'balanced', got {class_weight!r}")
    for label, weight in class_weight.items():
        if label not in range(classes):
            raise ValueError(f"class_weight must have classes from 0 to {classes - 1} as keys, got {label!r}")
        weights[int(label)] = real_number(f"class_weight[{label!r}]", weight)
    return weights


def split_rows(rows: Rows, fraction: float) -> tuple[Rows, Rows | None]:
    """The first rows, and the last `fraction` of them for validation: views, nothing is copied."""
    count = round(fraction * len(rows.x))
    if fraction == 0:
        return rows, None
    if not 0 < count < len(rows.x):
        raise ValueError(
            f"validation_fraction must leave rows on both sides, got {fraction} of {len(rows.x)} rows"
        )
    return rows.part(slice(None, -count)), rows.part(slice(-count, None))


def fill(buffer: np.ndarray, x: np.ndarray, scale: float) -> np.ndarray:
    """buffer = scale · x in the buffer's dtype, as the executor's gather computes it."""
    if scale == 1:
        np.copyto(buffer, x, casting="unsafe")
    else:
        np.multiply(x, scale, out=buffer, dtype=buffer.dtype, casting="unsafe")
    return buffer
