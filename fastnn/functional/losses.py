"""The log loss, binary and over classes, from probabilities and from logits, with its gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnn import backend, checks
from fastnn.backend import call
from fastnn.checks import deliver, floats, numbers, result
from fastnn.kernels import native


def log_loss(p: ArrayLike, y: ArrayLike) -> float:
    """The log loss (cross-entropy) of probabilities, averaged.

    Binary: mean over the elements of −y log p − (1 − y) log(1 − p), where 0 log 0 = 0.
    Classes: mean over the rows of −log p[i, y[i]].

    Args:
        p: probabilities, of any shape (binary), or (n, classes).
        y: labels 0 to 1 of p's shape, of any dtype (binary; (n,) also stands for (n, 1) and back), or
            classes 0, 1, … of shape (n,) or (n, 1) for p (n, classes).

    Returns:
        The mean, infinite where a label has probability 0. It is computed in p's dtype, whatever y's,
        and summed in float64.

    Raises:
        ValueError: the shapes don't fit, p is empty, or a label is NaN or out of range.
        TypeError: p or y is no array of real numbers.

    Source: the derivation's L = −1/n Σ (Y log A3 + (1 − Y) log(1 − A3)).
    """
    loss = backend.direct.log_loss_direct(p, y, False)
    return _checked_log_loss(p, y) if loss is None else loss


def _checked_log_loss(p: ArrayLike, y: ArrayLike) -> float:
    """log_loss of arguments that must be converted first, or that are wrong."""
    dtype, p, labels, over_classes = _operands("p", p, y)
    losses = np.empty(labels.size, dtype)
    if over_classes:
        call("log_loss_classes", dtype, (p, labels, losses), p.shape)
    else:
        call("log_loss_binary", dtype, (p, labels, losses), (p.size, 1))
    return _mean("p", losses, p)


def log_loss_backward(p: ArrayLike, y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of `log_loss` by p.

    Binary: dp = (−y / p + (1 − y) / (1 − p)) / n, n the number of elements; a term whose numerator is 0
    is 0. Classes: dp[i, j] = −1 / (n p[i, j]) where j = y[i], else 0, n the number of rows.

    Args:
        p, y: as for `log_loss`.
        out: of p's shape and dtype, overwritten.

    Returns:
        dp of p's shape, float32 or float64.

    Raises:
        ValueError: the shapes don't fit, a label is NaN or out of range, or `out` doesn't fit.
        TypeError: p or y is no array of real numbers.

    Source: the derivation's dA3 = (−Y / A3 + (1 − Y) / (1 − A3)) / n.
    """
    dp = backend.direct.log_loss_backward_direct(p, y, False, out)
    return _checked_log_loss_backward(p, y, out) if dp is None else dp


def _checked_log_loss_backward(p: ArrayLike, y: ArrayLike, out: np.ndarray | None) -> np.ndarray:
    """log_loss_backward of arguments that must be converted first, or that are wrong."""
    dtype, p, labels, over_classes = _operands("p", p, y)
    dp = result(out, p.shape, dtype, (p, labels))
    scale = 1 / max(labels.size, 1)
    if over_classes:
        call("log_loss_classes_backward", dtype, (p, labels, dp), p.shape, (scale,))
    else:
        call("log_loss_binary_backward", dtype, (p, labels, dp), (p.size, 1), (scale,))
    return deliver(dp, out)


def log_loss_with_logits(z: ArrayLike, y: ArrayLike) -> float:
    """The log loss of p = sigmoid(z), or softmax(z) over classes, averaged; finite for any finite z.

    Binary: mean over the elements of max(z, 0) − z y + log(1 + e^−|z|).
    Classes: mean over the rows of log Σ_j e^z[i, j] − z[i, y[i]].

    Args:
        z: logits, of any shape (binary), or (n, classes).
        y: labels, as for `log_loss`.

    Returns:
        The mean. It is computed in z's dtype, whatever y's, and summed in float64.

    Raises:
        ValueError: the shapes don't fit, z is empty, or a label is NaN or out of range.
        TypeError: z or y is no array of real numbers.

    Source: the derivation's L with A3 = σ(Z3) put in.
    """
    loss = backend.direct.log_loss_direct(z, y, True)
    return _checked_log_loss_with_logits(z, y) if loss is None else loss


def _checked_log_loss_with_logits(z: ArrayLike, y: ArrayLike) -> float:
    """log_loss_with_logits of arguments that must be converted first, or that are wrong."""
    dtype, z, labels, over_classes = _operands("z", z, y)
    losses = np.empty(labels.size, dtype)
    operands = (z, labels, None, losses, None, None)
    if over_classes:
        call("log_loss_classes_with_logits", dtype, operands, z.shape, (1.0,))
    else:
        call("log_loss_binary_with_logits", dtype, operands, (z.size, 1), (1.0,))
    return _mean("z", losses, z)


def log_loss_with_logits_backward(z: ArrayLike, y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """The gradient of `log_loss_with_logits` by z.

    Binary: dz = (sigmoid(z) − y) / n, n the number of elements.
    Classes: dz[i, j] = (softmax(z)[i, j] − 1[j = y[i]]) / n, n the number of rows.

    Args:
        z, y: as for `log_loss_with_logits`.
        out: of z's shape and dtype, overwritten.

    Returns:
        dz of z's shape, float32 or float64.

    Raises:
        ValueError: the shapes don't fit, a label is NaN or out of range, or `out` doesn't fit.
        TypeError: z or y is no array of real numbers.

    Source: the derivation's dZ3 = (A3 − Y) / n.
    """
    dz = backend.direct.log_loss_backward_direct(z, y, True, out)
    return _checked_log_loss_with_logits_backward(z, y, out) if dz is None else dz


def _checked_log_loss_with_logits_backward(z: ArrayLike, y: ArrayLike, out: np.ndarray | None) -> np.ndarray:
    """log_loss_with_logits_backward of arguments that must be converted first, or that are wrong."""
    dtype, z, labels, over_classes = _operands("z", z, y)
    dz = result(out, z.shape, dtype, (z, labels))
    operands = (z, labels, None, None, None, dz)
    scale = 1 / max(labels.size, 1)
    if over_classes:
        call("log_loss_classes_with_logits", dtype, operands, z.shape, (scale,))
    else:
        call("log_loss_binary_with_logits", dtype, operands, (z.size, 1), (scale,))
    return deliver(dz, out)


def _operands(name: str, predicted: ArrayLike, y: ArrayLike) -> tuple[np.dtype, np.ndarray, np.ndarray, bool]:
    """The dtype, the predictions, the checked labels, and whether these are classes.

    Labels never decide the dtype: a loss is computed in that of the predictions.
    """
    dtype, (predicted,) = floats(**{name: predicted})
    labels = numbers("y", y)
    shape = predicted.shape
    n = shape[:1]
    columns = {n, (*n, 1)}  # the shapes in which a column of labels comes
    if labels.shape == shape or {shape, labels.shape} == columns:
        return dtype, predicted, checks.probabilities("y", labels, dtype), False
    if len(shape) == 2 and labels.shape in columns:
        return dtype, predicted, checks.classes("y", labels, shape[1]), True
    needed = f"{shape}" if len(shape) != 2 else f"{shape}, or {n} for classes"
    raise ValueError(f"y must have shape {needed}, as {name} has shape {shape}, got {labels.shape}")


def _mean(name: str, losses: np.ndarray, predicted: np.ndarray) -> float:
    if losses.size == 0:
        raise ValueError(f"{name} must hold at least one prediction, got none: their mean isn't defined")
    return native.mean_loss(losses, predicted.size // losses.size)
