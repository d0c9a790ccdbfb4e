"""Max and average pooling over two-dimensional windows, with their gradients."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastnn import backend
from fastnn.backend import call
from fastnn.checks import deliver, exact_shape, floats, pair, result, sizes

IntOrPair = int | tuple[int, int]


def max_pool2d(
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The maximum of each window: y[i, c, p, q] = max over u, v of
    x[i, c, p stride_h − padding_h + u, q stride_w − padding_w + v], padding left out; a NaN wins.

    Args:
        x: (n, c, h, w).
        kernel_size: (r, s) of the window, or an int for a square.
        stride: an int or a pair (height, width); None for kernel_size.
        padding: an int or a pair (height, width), at most half of kernel_size.
        out: of the result's shape and dtype, overwritten.

    Returns:
        y (n, c, out_h, out_w), float32 or float64, where out_h = ⌊(h + 2 padding_h − r) / stride_h⌋ + 1, and
        out_w likewise.

    Raises:
        ValueError: x isn't four-dimensional, the window doesn't fit into the padded image, an option is
            out of range, or `out` doesn't fit.
        TypeError: x is no array of real numbers, or an option is no int.

    Source: Ranzato et al., "Unsupervised learning of invariant feature hierarchies", 2007.
    """
    y = backend.direct.pool2d_direct(False, x, kernel_size, stride, padding, out)
    return _forward("max_pool2d", x, kernel_size, stride, padding, out) if y is None else y


def max_pool2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of `max_pool2d`: each dy[i, c, p, q] is added to dx where its window has its maximum.

    Of equal maxima the first in row order takes it; of NaNs the last, as in PyTorch.

    Args:
        dy: (n, c, out_h, out_w), the gradient by max_pool2d's result.
        x, kernel_size, stride, padding: as for `max_pool2d`.
        out: of x's shape and the result's dtype, overwritten.

    Returns:
        dx (n, c, h, w), float32 or float64.

    Raises:
        ValueError: the shapes don't fit each other, the window doesn't fit into the padded image, an
            option is out of range, or `out` doesn't fit.
        TypeError: dy or x is no array of real numbers, or an option is no int.

    Source: the subgradient of the maximum.
    """
    dx = backend.direct.pool2d_backward_direct(False, dy, x, kernel_size, stride, padding, out)
    if dx is not None:
        return dx
    dtype, (dy, x) = floats(dy=dy, x=x)
    geometry = _geometry(x, kernel_size, stride, padding)
    exact_shape("dy", dy, geometry.y_shape(x), "(n, c, out_h, out_w)")
    dx = result(out, x.shape, dtype, (dy, x))
    call("max_pool2d_backward", dtype, (dy, x, dx), (*geometry, 0))
    return deliver(dx, out)


def avg_pool2d(
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The mean of each window: y[i, c, p, q] = 1 / (r s) Σ over u, v of
    x[i, c, p stride_h − padding_h + u, q stride_w − padding_w + v], padding counted as zeros.

    Args:
        x, kernel_size, stride, padding, out: as for `max_pool2d`.

    Returns:
        y (n, c, out_h, out_w), float32 or float64, of the size that max_pool2d gives.

    Raises:
        ValueError: x isn't four-dimensional, the window doesn't fit into the padded image, an option is
            out of range, or `out` doesn't fit.
        TypeError: x is no array of real numbers, or an option is no int.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.
    """
    y = backend.direct.pool2d_direct(True, x, kernel_size, stride, padding, out)
    return _forward("avg_pool2d", x, kernel_size, stride, padding, out) if y is None else y


def avg_pool2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of `avg_pool2d`: each dy[i, c, p, q] / (r s) is added to all of its window in dx.

    Args:
        dy: (n, c, out_h, out_w), the gradient by avg_pool2d's result.
        x: (n, c, h, w); only its shape and dtype count.
        kernel_size, stride, padding: as for `avg_pool2d`.
        out: of x's shape and the result's dtype, overwritten.

    Returns:
        dx (n, c, h, w), float32 or float64.

    Raises:
        ValueError: the shapes don't fit each other, the window doesn't fit into the padded image, an
            option is out of range, or `out` doesn't fit.
        TypeError: dy or x is no array of real numbers, or an option is no int.

    Source: avg_pool2d is linear; this is its transpose.
    """
    dx = backend.direct.pool2d_backward_direct(True, dy, x, kernel_size, stride, padding, out)
    if dx is not None:
        return dx
    dtype, (dy, x) = floats(dy=dy, x=x)
    geometry = _geometry(x, kernel_size, stride, padding)
    exact_shape("dy", dy, geometry.y_shape(x), "(n, c, out_h, out_w)")
    dx = result(out, x.shape, dtype, (dy,))
    call("avg_pool2d_backward", dtype, (dy, dx), tuple(geometry))
    return deliver(dx, out)


def _forward(
    kernel: str,
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: IntOrPair,
    out: np.ndarray | None,
) -> np.ndarray:
    dtype, (x,) = floats(x=x)
    geometry = _geometry(x, kernel_size, stride, padding)
    y = result(out, geometry.y_shape(x), dtype, (x,))
    call(kernel, dtype, (x, y), tuple(geometry))
    return deliver(y, out)


class _Geometry(NamedTuple):
    """The sizes of a pooling, in the order in which the kernels take them; a plane is one channel's image."""

    planes: int
    h: int
    w: int
    r: int
    s: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    out_h: int
    out_w: int

    def y_shape(self, x: np.ndarray) -> tuple[int, int, int, int]:
        return x.shape[0], x.shape[1], self.out_h, self.out_w


def _geometry(
    x: np.ndarray, kernel_size: IntOrPair, stride: IntOrPair | None, padding: IntOrPair
) -> _Geometry:
    sizes("x", x, "n c h w")
    kernel = pair("kernel_size", kernel_size, 1)
    strides = kernel if stride is None else pair("stride", stride, 1)
    return _fitted(x.shape, kernel, strides, pair("padding", padding, 0))


@lru_cache(maxsize=256)  # a small pooling takes less time than this
def _fitted(
    x_shape: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int]
) -> _Geometry:
    n, c, h, w = x_shape
    if 2 * pads[0] > kernel[0] or 2 * pads[1] > kernel[1]:
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {pads}")
    if h < 1 or w < 1:
        raise ValueError(f"x must have images of at least 1 x 1, got shape {x_shape}")
    out_h, out_w = (
        (size + 2 * pad - window) // step + 1
        for size, pad, window, step in zip((h, w), pads, kernel, strides, strict=True)
    )
    if out_h < 1 or out_w < 1:
        raise ValueError(
            f"kernel_size must fit into the padded image, {h + 2 * pads[0]} x {w + 2 * pads[1]}, got {kernel}"
        )
    return _Geometry(n * c, h, w, *kernel, *strides, *pads, out_h, out_w)
