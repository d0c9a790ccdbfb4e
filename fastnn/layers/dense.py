"""The dense layer, and Flatten, that makes rows for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from fastnn.arguments import whole_number
from fastnn.layers.base import Layer, Parameter, Scope, Shape
from fastnn.ops import Tensor


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """A fully connected layer: Z = X W + b, with X (n, in), W (in, units), b (units,).

    Source: the derivation's Z1 = X W1 + b1; backward dW1 = Xᵀ dZ1, db1 = Σ dZ1, dX = dZ1 W1ᵀ.
    """

    units: int

    letter = "Z"

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", whole_number("units", self.units, 1))

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(
                f"{self!r} needs an input of shape (features,), as Flatten() makes, got {input_shape}"
            )
        return (self.units,)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        (features,) = input_shape
        weight = Parameter((features, self.units), fan_in=features, fan_out=self.units)
        return {"W": weight, "b": Parameter((self.units,), fill=0.0)}

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        scope.emit("linear", [x, scope["W"], scope["b"]], [scope.output], **self._sizes(x), relu=0)
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        scope.emit("linear_backward_weight", [x, dy], [scope["dW"], scope["db"]], **self._sizes(x))
        if dx is not None:
            scope.emit("linear_backward_input", [dy, scope["W"], None], [dx], **self._sizes(x))

    def _sizes(self, x: Tensor) -> dict[str, float]:
        rows, features = x.shape
        return {"m": rows, "k": features, "n": self.units}


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Every row as one vector: (n, channels, height, width) as (n, channels · height · width), not copied."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return (prod(input_shape),)

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        return x.reshape(scope.rows, x.size // scope.rows)
