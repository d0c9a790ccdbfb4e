"""Two-dimensional convolution and its gradients: fast, and as plain loops."""

from __future__ import annotations

from functools import lru_cache
from operator import index
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastnn import backend
from fastnn.backend import call
from fastnn.checks import deliver, exact_shape, floats, paddings, pair, result, sizes

IntOrPair = int | tuple[int, int]


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """A convolutional layer (cross-correlation, as everywhere in the field).

    y[i, f, p, q] = bias[f] + Σ over e, u, v of weight[f, e, u, v]
    x[i, g c / groups + e, p stride_h − padding_h + u dilation_h, q stride_w − padding_w + v dilation_w],
    where g is the group of filter f and x is 0 outside.

    Args:
        x: (n, c, h, w).
        weight: (filters, c / groups, r, s).
        bias: (filters,), or None for none.
        stride, padding, dilation: an int, or a pair (height, width). Padding is added on both sides;
            "same" pads so that y has x's height and width, with the odd row and column at the bottom and
            on the right (it needs stride 1).
        groups: divides c and filters; filters of group g see only the channels of group g.
        out: of the result's shape and dtype, overwritten.

    Returns:
        y (n, filters, out_h, out_w), float32 or float64, where
        out_h = ⌊(h + 2 padding_h − dilation_h (r − 1) − 1) / stride_h⌋ + 1, and out_w likewise.

    Raises:
        ValueError: the shapes don't fit each other, `groups` or `out`; the kernel is larger than the padded
            image; or an option is out of range.
        TypeError: x, weight or bias is no array of real numbers, or an option is no int.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.
    """
    y = backend.direct.conv2d_direct(x, weight, bias, stride, padding, dilation, groups, out)
    if y is None:
        y = _forward("conv2d", x, weight, bias, stride, padding, dilation, groups, out)
    return y


def conv2d_naive(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """`conv2d` as plain loops, the definition to read; its arguments, result and errors are the same."""
    return _forward("conv2d_naive", x, weight, bias, stride, padding, dilation, groups, out)


def conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `conv2d` by x, weight and bias.

    Each product weight[f, e, u, v] x[i, …] of conv2d's sum sends dy[i, f, p, q] weight[f, e, u, v] to dx and
    dy[i, f, p, q] x[i, …] to dweight; dbias[f] = Σ over i, p, q of dy[i, f, p, q].

    Args:
        dy: (n, filters, out_h, out_w), the gradient by conv2d's result.
        x, weight, stride, padding, dilation, groups: as for `conv2d`.

    Returns:
        dx (n, c, h, w), dweight (filters, c / groups, r, s), dbias (filters,), float32 or float64.

    Raises:
        ValueError: the shapes don't fit each other or `groups`; the kernel is larger than the padded image;
            or an option is out of range.
        TypeError: dy, x or weight is no array of real numbers, or an option is no int.

    Source: LeCun et al., "Backpropagation applied to handwritten zip code recognition", 1989.
    """
    gradients = backend.direct.conv2d_backward_direct(dy, x, weight, stride, padding, dilation, groups)
    if gradients is not None:
        return gradients
    dtype, (dy, x, weight) = floats(dy=dy, x=x, weight=weight)
    geometry = _geometry(x, weight, stride, padding, dilation, groups)
    dx, dweight, dbias = _gradients(dy, x, weight, geometry)
    call("conv2d_backward_input", dtype, (dy, weight, None, dx), tuple(geometry))
    call("conv2d_backward_weight", dtype, (x, dy, dweight, dbias), tuple(geometry))
    return dx, dweight, dbias


def conv2d_naive_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`conv2d_backward` as plain loops; its arguments, results and errors are the same."""
    dtype, (dy, x, weight) = floats(dy=dy, x=x, weight=weight)
    geometry = _geometry(x, weight, stride, padding, dilation, groups)
    gradients = _gradients(dy, x, weight, geometry)
    call("conv2d_naive_backward", dtype, (dy, x, weight, *gradients), tuple(geometry))
    return gradients


class _Geometry(NamedTuple):
    """The sizes of a convolution, in the order in which the kernels take them."""

    n: int
    c: int
    h: int
    w: int
    filters: int
    r: int
    s: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    dilation_h: int
    dilation_w: int
    groups: int
    out_h: int
    out_w: int

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.filters, self.out_h, self.out_w


def _forward(
    kernel: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: IntOrPair,
    padding: IntOrPair | str,
    dilation: IntOrPair,
    groups: int,
    out: np.ndarray | None,
) -> np.ndarray:
    given = {"x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    dtype, operands = floats(**given)
    geometry = _geometry(operands[0], operands[1], stride, padding, dilation, groups)
    if bias is not None:
        exact_shape("bias", operands[2], (geometry.filters,), "(filters,)")
    y = result(out, geometry.y_shape, dtype, operands)
    absent = (None,) if bias is None else ()
    relu = (0,) if kernel == "conv2d" else ()
    call(kernel, dtype, (*operands, *absent, y), (*geometry, *relu))
    return deliver(y, out)


def _gradients(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, geometry: _Geometry
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays for the three gradients, once dy's shape is checked."""
    exact_shape("dy", dy, geometry.y_shape, "(n, filters, out_h, out_w)")
    return np.empty_like(x), np.empty_like(weight), np.empty(geometry.filters, dy.dtype)


def _geometry(
    x: np.ndarray,
    weight: np.ndarray,
    stride: IntOrPair,
    padding: IntOrPair | str,
    dilation: IntOrPair,
    groups: int,
) -> _Geometry:
    sizes("x", x, "n c h w")
    sizes("weight", weight, "filters c/groups r s")
    try:
        groups = index(groups)
    except TypeError:
        raise TypeError(f"groups must be an int, got {groups!r}") from None
    strides, dilations = pair("stride", stride, 1), pair("dilation", dilation, 1)
    padded = padding if isinstance(padding, str) else pair("padding", padding, 0)
    return _fitted(x.shape, weight.shape, strides, padded, dilations, groups)


@lru_cache(maxsize=256)  # a small convolution takes less time than this
def _fitted(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    strides: tuple[int, int],
    padding: str | tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
) -> _Geometry:
    n, c, h, w = x_shape
    filters, group_c, r, s = weight_shape
    if groups < 1 or c % groups or filters % groups:
        raise ValueError(f"groups must divide x's {c} channels and weight's {filters} filters, got {groups}")
    if group_c * groups != c:
        raise ValueError(
            f"weight must have shape (filters, {c // groups}, r, s), as x has {c} channels in {groups} "
            f"groups, got {weight_shape}"
        )
    if r < 1 or s < 1:
        raise ValueError(f"weight must have a kernel of at least 1 x 1, got shape {weight_shape}")
    reach = dilations[0] * (r - 1), dilations[1] * (s - 1)
    before, after = paddings(padding, strides, reach)
    out_h, out_w = (
        (size + low + high - far - 1) // step + 1
        for size, low, high, far, step in zip((h, w), before, after, reach, strides, strict=True)
    )
    if out_h < 1 or out_w < 1:
        raise ValueError(
            f"weight's kernel, {reach[0] + 1} x {reach[1] + 1} with its dilation, must fit into the padded "
            f"image, {h + before[0] + after[0]} x {w + before[1] + after[1]}"
        )
    return _Geometry(n, c, h, w, filters, r, s, *strides, *before, *dilations, groups, out_h, out_w)
