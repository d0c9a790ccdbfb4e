"""Numerical gradients: what a derivative must be, from the function's values alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def numerical_gradient(f: Callable[[], float], x: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """The gradient of f by x, an array that f reads, in fourth-order central differences.

    f'(x) = (8 (f(x + h) − f(x − h)) − (f(x + 2h) − f(x − 2h))) / 12h + O(h⁴). x must be float64; it is
    moved in place, and put back.
    """
    assert x.dtype == np.float64, "differences need float64"
    gradient = np.empty_like(x)
    for at in np.ndindex(x.shape):
        centre = x[at]

        def moved(steps: int, at: tuple[int, ...] = at, centre: float = centre) -> float:
            x[at] = centre + steps * step
            return f()

        gradient[at] = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)
        x[at] = centre
    return gradient
