"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.arguments import fraction
from fastnn.layers.base import Layer, Scope
from fastnn.ops import Tensor


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, zeroes each element with probability `rate` and divides the others by 1 − rate.

    Which ones is a function of the network's seed, the layer's position, the number of the training step and
    the element: the same on any number of threads, and in the backward pass. In inference it does nothing.
    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    rate: float

    letter = "D"
    draws = True

    def __post_init__(self) -> None:
        fraction("rate", self.rate)

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        if not scope.training:
            return x
        self._emit(scope, x, scope.output)
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        if dx is not None:
            self._emit(scope, dy, dx)

    def _emit(self, scope: Scope, x: Tensor, y: Tensor) -> None:
        place = {"seed": scope.seed, "stream": scope.position}
        scope.emit("dropout", [x, scope.step], [y], size=x.size, **place, rate=self.rate)
