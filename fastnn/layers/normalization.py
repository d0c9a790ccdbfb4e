"""Batch normalization."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from fastnn.arguments import real_number
from fastnn.layers.base import Layer, Parameter, Scope, Shape
from fastnn.ops import Tensor


@dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Batch normalization: N = gamma (X − mean) / √(var + eps) + beta, over features or channels.

    X (n, features), or (n, channels, height, width) with one mean and variance a channel. Training takes
    them from the batch and moves the running ones by `momentum` towards them (the variance of the whole from
    n − 1); inference takes the running ones.
    Source: Ioffe and Szegedy, "Batch normalization", 2015, algorithms 1 and 2.
    """

    momentum: float = 0.1
    eps: float = 1e-5

    letter = "N"
    always_needs_dx = True

    def __post_init__(self) -> None:
        real_number("momentum", self.momentum, most=1.0)
        if real_number("eps", self.eps) == 0:
            raise ValueError(f"eps must be above 0, got {self.eps}")

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        channels = (input_shape[0],)
        return {"gamma": Parameter(channels, fill=1.0), "beta": Parameter(channels, fill=0.0)}

    def statistics(self, input_shape: Shape) -> dict[str, Parameter]:
        channels = (input_shape[0],)
        return {"running_mean": Parameter(channels, fill=0.0), "running_var": Parameter(channels, fill=1.0)}

    def buffers(self, input_shape: Shape) -> dict[str, Shape]:
        return {"mean": input_shape[:1], "inv_std": input_shape[:1]}

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        running = [scope["running_mean"], scope["running_var"]]
        affine = [x, scope["gamma"], scope["beta"]]
        sizes = {**self._sizes(x), "eps": self.eps}
        if scope.training:
            if x.size == x.shape[1]:
                raise ValueError(
                    f"{self!r} can't train on 1 row: neither X nor what batch_size leaves may be that"
                )
            written = [scope.output, scope["mean"], scope["inv_std"], *running]
            scope.emit("batch_norm", affine, written, **sizes, momentum=self.momentum)
        else:
            scope.emit("batch_norm_inference", affine + running, [scope.output], **sizes)
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        reads = [dy, x, scope["gamma"], scope["mean"], scope["inv_std"]]
        scope.emit("batch_norm_backward", reads, [dx, scope["dgamma"], scope["dbeta"]], **self._sizes(x))

    def _sizes(self, x: Tensor) -> dict[str, float]:
        rows, channels, *plane = x.shape
        return {"rows": rows, "channels": channels, "inner": prod(plane)}
