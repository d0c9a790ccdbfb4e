"""Activations and their gradients: elementwise ones, and softmax over the last axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnn import backend
from fastnn.backend import call
from fastnn.checks import deliver, floats, result, same_shape


def relu(x: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The rectified linear unit, elementwise: y = max(x, 0). NaN stays NaN.

    Args:
        x: any shape.
        out: of the result's shape and dtype, overwritten; may be x itself.

    Returns:
        y of x's shape, float32 or float64.

    Raises:
        ValueError: `out` doesn't fit.
        TypeError: x is no array of real numbers.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010;
    the derivation's A1 = ReLU(Z1).
    """
    y = backend.direct.same_shape_direct("relu", x, None, out)
    return _elementwise("relu", x, out) if y is None else y


def relu_backward(dy: ArrayLike, y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of `relu`: dx = dy · 1[y > 0], 0 at the kink.

    Args:
        dy: the gradient by relu's result, any shape.
        y: relu's result (or its input: the mask is the same), dy's shape.
        out: of the result's shape and dtype, overwritten; may be dy or y itself.

    Returns:
        dx of dy's shape, float32 or float64.

    Raises:
        ValueError: the shapes of dy and y differ, or `out` doesn't fit.
        TypeError: dy or y is no array of real numbers.

    Source: the derivation's dZ2 = dA2 ∘ 1[Z2 > 0].
    """
    dx = backend.direct.same_shape_direct("relu_backward", dy, y, out)
    return _elementwise_backward("relu_backward", dy, y, out) if dx is None else dx


def sigmoid(x: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The logistic function, elementwise: y = 1 / (1 + e^−x), without overflow for any x.

    Args:
        x: any shape.
        out: of the result's shape and dtype, overwritten; may be x itself.

    Returns:
        y of x's shape, float32 or float64, within 3 ULP.

    Raises:
        ValueError: `out` doesn't fit.
        TypeError: x is no array of real numbers.

    Source: the derivation's A3 = σ(Z3).
    """
    y = backend.direct.same_shape_direct("sigmoid", x, None, out)
    return _elementwise("sigmoid", x, out) if y is None else y


def sigmoid_backward(dy: ArrayLike, y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of `sigmoid`: dx = dy y (1 − y).

    Args:
        dy: the gradient by sigmoid's result, any shape.
        y: sigmoid's result, dy's shape.
        out: of the result's shape and dtype, overwritten; may be dy or y itself.

    Returns:
        dx of dy's shape, float32 or float64.

    Raises:
        ValueError: the shapes of dy and y differ, or `out` doesn't fit.
        TypeError: dy or y is no array of real numbers.

    Source: σ'(x) = σ(x) (1 − σ(x)).
    """
    dx = backend.direct.same_shape_direct("sigmoid_backward", dy, y, out)
    return _elementwise_backward("sigmoid_backward", dy, y, out) if dx is None else dx


def tanh(x: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The hyperbolic tangent, elementwise: y = (e^x − e^−x) / (e^x + e^−x).

    Args:
        x: any shape.
        out: of the result's shape and dtype, overwritten; may be x itself.

    Returns:
        y of x's shape, float32 or float64, within 2 ULP.

    Raises:
        ValueError: `out` doesn't fit.
        TypeError: x is no array of real numbers.

    Source: LeCun et al., "Efficient BackProp", 1998, section 4.4.
    """
    y = backend.direct.same_shape_direct("tanh", x, None, out)
    return _elementwise("tanh", x, out) if y is None else y


def tanh_backward(dy: ArrayLike, y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of `tanh`: dx = dy (1 − y²).

    Args:
        dy: the gradient by tanh's result, any shape.
        y: tanh's result, dy's shape.
        out: of the result's shape and dtype, overwritten; may be dy or y itself.

    Returns:
        dx of dy's shape, float32 or float64.

    Raises:
        ValueError: the shapes of dy and y differ, or `out` doesn't fit.
        TypeError: dy or y is no array of real numbers.

    Source: tanh'(x) = 1 − tanh(x)².
    """
    dx = backend.direct.same_shape_direct("tanh_backward", dy, y, out)
    return _elementwise_backward("tanh_backward", dy, y, out) if dx is None else dx


def softmax(x: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the last axis: y[…, j] = e^x[…, j] / Σ_j e^x[…, j], without overflow for any x.

    Args:
        x: (…, classes), at least one axis.
        out: of the result's shape and dtype, overwritten; may be x itself.

    Returns:
        y of x's shape, float32 or float64; the last axis sums to 1.

    Raises:
        ValueError: x has no axis, or `out` doesn't fit.
        TypeError: x is no array of real numbers.

    Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
    """
    y = backend.direct.same_shape_direct("softmax", x, None, out)
    return _over_rows("softmax", out, x=x) if y is None else y


def softmax_backward(dy: ArrayLike, y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of `softmax`: dx[…, j] = y[…, j] (dy[…, j] − Σ_j dy[…, j] y[…, j]).

    Args:
        dy: (…, classes), the gradient by softmax's result.
        y: softmax's result, dy's shape.
        out: of the result's shape and dtype, overwritten; may be dy or y itself.

    Returns:
        dx of dy's shape, float32 or float64.

    Raises:
        ValueError: dy has no axis, the shapes of dy and y differ, or `out` doesn't fit.
        TypeError: dy or y is no array of real numbers.

    Source: dy times the Jacobian ∂y_j / ∂x_k = y_j (1[j = k] − y_k).
    """
    dx = backend.direct.same_shape_direct("softmax_backward", dy, y, out)
    return _over_rows("softmax_backward", out, dy=dy, y=y) if dx is None else dx


def log_softmax(x: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The logarithm of softmax over the last axis: y[…, j] = x[…, j] − log Σ_j e^x[…, j].

    Args:
        x: (…, classes), at least one axis.
        out: of the result's shape and dtype, overwritten; may be x itself.

    Returns:
        y of x's shape, float32 or float64; finite where softmax itself underflows to 0.

    Raises:
        ValueError: x has no axis, or `out` doesn't fit.
        TypeError: x is no array of real numbers.

    Source: the log-sum-exp form, Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and
    softmax functions", 2021.
    """
    y = backend.direct.same_shape_direct("log_softmax", x, None, out)
    return _over_rows("log_softmax", out, x=x) if y is None else y


# The checked path: arguments that must be converted first, or that are wrong.


def _elementwise(kernel: str, x: ArrayLike, out: np.ndarray | None) -> np.ndarray:
    dtype, (x,) = floats(x=x)
    y = result(out, x.shape, dtype, (x,), in_place=True)
    call(kernel, dtype, (x, y), (x.size,))
    return deliver(y, out)


def _elementwise_backward(kernel: str, dy: ArrayLike, y: ArrayLike, out: np.ndarray | None) -> np.ndarray:
    dtype, (dy, y) = floats(dy=dy, y=y)
    same_shape("dy", dy, "y", y)
    dx = result(out, y.shape, dtype, (dy, y), in_place=True)
    call(kernel, dtype, (dy, y, dx), (y.size,))
    return deliver(dx, out)


def _over_rows(kernel: str, out: np.ndarray | None, **values: ArrayLike) -> np.ndarray:
    """Runs a kernel that takes one row, the last axis, at a time."""
    dtype, arrays = floats(**values)
    for name, array in zip(values, arrays, strict=True):
        if array.ndim == 0:
            raise ValueError(f"{name} must have at least one axis, got a single number")
        same_shape(name, array, next(iter(values)), arrays[0])
    written = result(out, arrays[0].shape, dtype, arrays, in_place=True)
    if written.size:
        columns = written.shape[-1]
        call(kernel, dtype, (*arrays, written), (written.size // columns, columns))
    return deliver(written, out)
