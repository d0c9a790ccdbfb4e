"""Activations: ReLU, sigmoid, tanh and softmax."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.layers.base import Layer, Scope, Shape
from fastnn.ops import Tensor


class _Elementwise(Layer):
    """An activation whose kernel `name` and backward kernel `name`_backward work element by element."""

    letter = "A"
    is_activation = True
    kernel: str

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        scope.emit(self.kernel, [x], [scope.output], size=x.size)
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        if dx is not None:
            scope.emit(f"{self.kernel}_backward", [dy, y], [dx], size=x.size)


@dataclass(frozen=True, repr=False)
class ReLU(_Elementwise):
    """The rectified linear unit: A = max(Z, 0), dZ = dA ∘ 1[Z > 0].

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """

    kernel = "relu"


@dataclass(frozen=True, repr=False)
class Sigmoid(_Elementwise):
    """The logistic function: A = 1 / (1 + e^−Z), dZ = dA ∘ A ∘ (1 − A).

    As the last layer before log loss, the two are one op: dZ = (A − Y) / n.
    """

    kernel = "sigmoid"


@dataclass(frozen=True, repr=False)
class Tanh(_Elementwise):
    """The hyperbolic tangent: A = tanh(Z), dZ = dA ∘ (1 − A²)."""

    kernel = "tanh"


@dataclass(frozen=True, repr=False)
class Softmax(Layer):
    """Probabilities of classes: A[i, j] = e^Z[i, j] / Σ_j e^Z[i, j], over the columns of (n, classes).

    dZ = A ∘ (dA − Σ_j dA ∘ A). As the last layer before log loss, the two are one op: dZ = (A − Y) / n,
    where Y has a one in every row's class.
    """

    letter = "A"
    is_activation = True

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"{self!r} needs an input of shape (classes,), got {input_shape}")
        return input_shape

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        rows, columns = x.shape
        scope.emit("softmax", [x], [scope.output], rows=rows, columns=columns)
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        if dx is not None:
            rows, columns = x.shape
            scope.emit("softmax_backward", [dy, y], [dx], rows=rows, columns=columns)
