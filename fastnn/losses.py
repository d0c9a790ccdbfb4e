"""The losses: what the targets of each are, and the op that gives every row's loss and its gradient.

A loss is the mean over a batch's rows; with weights it is Σ weight[i] · loss[i] / n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, prod
from typing import ClassVar, NamedTuple

import numpy as np

from fastnn.checks import classes, contiguous, probabilities
from fastnn.layers import Layer, Sigmoid, Softmax
from fastnn.layers.base import Shape
from fastnn.ops import Tensor

Emit = Callable[..., None]


class LossTensors(NamedTuple):
    """What a loss's op reads and writes."""

    x: Tensor  # the last activation's input where the loss absorbs that, else the output
    y: Tensor
    weight: Tensor | None
    loss: Tensor
    output: Tensor  # written where the loss absorbs the activation
    dx: Tensor | None


@dataclass(frozen=True)
class Loss:
    """A loss on the output of a network: `output_shape` is one row's, `dtype` the network's."""

    output_shape: Shape
    dtype: np.dtype

    absorbs_activation = False
    """Whether its op starts from the input of the last activation and computes that as well."""

    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    """What an evaluation measures; with an "accuracy" where a prediction can be right."""

    @property
    def classes(self) -> int:
        """The number of classes that a row belongs to one of; 0 where rows have no class."""
        return 0

    @property
    def target_dtype(self) -> np.dtype:
        return self.dtype

    @property
    def target_shape(self) -> Shape:
        """The shape of one row's target, as the kernels take it."""
        return (prod(self.output_shape),)

    def targets(self, name: str, y: np.ndarray, rows: int) -> np.ndarray:
        """The caller's targets as the kernels take them; ValueError says what is wrong with `name`."""
        expected = (rows, *self.output_shape)
        flat = self.output_shape == (1,)
        if y.shape != expected and not (flat and y.shape == (rows,)):
            shapes = f"{(rows,)} or {expected}" if flat else f"{expected}"
            raise ValueError(f"{name} must have shape {shapes}, got {y.shape}")
        return self.check_values(name, y.reshape(rows, -1))

    def check_values(self, name: str, y: np.ndarray) -> np.ndarray:
        """`y` (n, columns) in the kernels' dtype; ValueError for values that the loss isn't defined on."""
        raise NotImplementedError

    def emit(self, emit: Emit, on: LossTensors) -> None:
        """Emit the op that writes every row's loss, and the gradient of their mean."""
        raise NotImplementedError

    def correct(self, output: np.ndarray, y: np.ndarray) -> float:
        """How many of the rows are predicted right; 0 without such a metric."""
        return 0.0


class BinaryLogLoss(Loss):
    """Log loss of a Sigmoid's probabilities A and labels Y, 0 or 1, both (n, columns).

    loss[i] = mean over j of −Y log A − (1 − Y) log(1 − A), and dZ = (A − Y) / (n · columns).
    """

    absorbs_activation = True
    metrics = ("loss", "accuracy")

    @property
    def classes(self) -> int:
        return 2 if self.output_shape == (1,) else 0

    def check_values(self, name: str, y: np.ndarray) -> np.ndarray:
        return probabilities(name, y, self.dtype)

    def emit(self, emit: Emit, on: LossTensors) -> None:
        rows, columns = on.y.shape
        numbers = {"rows": rows, "columns": columns, "scale": 1 / on.y.size}
        emit("log_loss_binary_with_logits", [on.x, on.y, on.weight], [on.loss, on.output, on.dx], **numbers)

    def correct(self, output: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean((output.reshape(y.shape) > 0.5) == (y > 0.5), axis=1).sum())


class ClassLogLoss(Loss):
    """Log loss of a Softmax's probabilities A (n, classes) and every row's class.

    loss[i] = −log A[i, class[i]], and dZ[i, j] = (A[i, j] − 1[j = class[i]]) / n.
    """

    absorbs_activation = True
    metrics = ("loss", "accuracy")

    @property
    def classes(self) -> int:
        return self.output_shape[0]

    @property
    def target_dtype(self) -> np.dtype:
        return np.dtype(np.int64)

    @property
    def target_shape(self) -> Shape:
        return ()

    def targets(self, name: str, y: np.ndarray, rows: int) -> np.ndarray:
        if y.shape not in ((rows,), (rows, 1)):
            raise ValueError(f"{name} must hold a class a row, shape {(rows,)} or {(rows, 1)}, got {y.shape}")
        return classes(name, y.reshape(rows), self.classes)

    def emit(self, emit: Emit, on: LossTensors) -> None:
        rows, columns = on.x.shape
        numbers = {"rows": rows, "columns": columns, "scale": 1 / rows}
        emit("log_loss_classes_with_logits", [on.x, on.y, on.weight], [on.loss, on.output, on.dx], **numbers)

    def correct(self, output: np.ndarray, y: np.ndarray) -> float:
        return float(np.count_nonzero(output.argmax(axis=1) == y))


class SquaredError(Loss):
    """The mean squared error: loss[i] = mean over j of (A − Y)², dA = 2 (A − Y) / (n · columns)."""

    def check_values(self, name: str, y: np.ndarray) -> np.ndarray:
        # The extremes tell of a NaN or an infinity without an array of flags as long as the data.
        if not (isfinite(y.min()) and isfinite(y.max())):
            raise ValueError(f"{name} must be finite, got {y[~np.isfinite(y)][0]}")
        return contiguous(y, self.dtype)

    def emit(self, emit: Emit, on: LossTensors) -> None:
        rows, columns = on.y.shape
        numbers = {"rows": rows, "columns": columns, "scale": 1 / on.y.size}
        emit("squared_error", [on.output, on.y, on.weight], [on.loss, on.dx], **numbers)


LOSSES = ("log_loss", "mse")


def make_loss(name: str, last: Layer, output_shape: Shape, dtype: np.dtype) -> Loss:
    """The loss called `name`, on a network that ends with the layer `last`."""
    if name == "mse":
        return SquaredError(output_shape, dtype)
    if name != "log_loss":
        raise ValueError(f"loss must be one of {', '.join(map(repr, LOSSES))}, got {name!r}")
    if isinstance(last, Sigmoid):
        return BinaryLogLoss(output_shape, dtype)
    if isinstance(last, Softmax):
        return ClassLogLoss(output_shape, dtype)
    raise ValueError(f"loss 'log_loss' needs Sigmoid() or Softmax() as the last layer, got {last!r}")
