"""Max and average pooling, over windows and over the whole plane."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.checks import pair
from fastnn.layers.base import IntOrPair, Layer, Scope, Shape, check_planes, int_or_pair, window_steps
from fastnn.ops import Tensor


@dataclass(frozen=True, repr=False)
class _Pool2D(Layer):
    """Windows of `size`, `stride` apart (None: side by side), over planes with `padding` around them."""

    size: IntOrPair
    stride: IntOrPair | None = None
    padding: IntOrPair = 0

    letter = "P"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", int_or_pair("size", self.size, 1))
        if self.stride is not None:
            object.__setattr__(self, "stride", int_or_pair("stride", self.stride, 1))
        object.__setattr__(self, "padding", int_or_pair("padding", self.padding, 0))
        sizes, paddings = pair("size", self.size, 1), pair("padding", self.padding, 0)
        if any(2 * padding > size for size, padding in zip(sizes, paddings, strict=True)):
            raise ValueError(f"padding must be at most half of size, {self.size}, got {self.padding}")

    def output_shape(self, input_shape: Shape) -> Shape:
        channels, *plane = check_planes(self, input_shape)
        return (channels, *window_steps(self, plane, self.size, self.stride or self.size, self.padding))

    def _sizes(self, x: Tensor, y: Tensor) -> dict[str, float]:
        n, c, h, w = x.shape
        r, s = pair("size", self.size, 1)
        stride_h, stride_w = pair("stride", self.stride or self.size, 1)
        pad_top, pad_left = pair("padding", self.padding, 0)
        return {
            **{"planes": n * c, "h": h, "w": w, "r": r, "s": s, "stride_h": stride_h, "stride_w": stride_w},
            **{"pad_top": pad_top, "pad_left": pad_left, "out_h": y.shape[2], "out_w": y.shape[3]},
        }


@dataclass(frozen=True, repr=False)
class MaxPool2D(_Pool2D):
    """The maximum of every window: P (n, channels, out height, out width) of X (n, channels, height, width).

    The gradient goes to the maximum, the first of several. Padding never is the maximum.
    Source: Ranzato et al., "Unsupervised learning of invariant feature hierarchies", 2007.
    """

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        scope.emit("max_pool2d", [x], [scope.output], **self._sizes(x, scope.output))
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        if dx is not None:
            scope.emit("max_pool2d_backward", [dy, x], [dx], **self._sizes(x, y), relu=0)


@dataclass(frozen=True, repr=False)
class AvgPool2D(_Pool2D):
    """The mean of every window: P (n, channels, out height, out width) of X (n, channels, height, width).

    Padding counts as zeros. Source: LeCun et al., "Gradient-based learning applied to document recognition",
    1998, section II.
    """

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        scope.emit("avg_pool2d", [x], [scope.output], **self._sizes(x, scope.output))
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        if dx is not None:
            scope.emit("avg_pool2d_backward", [dy], [dx], **self._sizes(x, y))


@dataclass(frozen=True, repr=False)
class GlobalAvgPool2D(Layer):
    """The mean of every plane: P (n, channels) of X (n, channels, height, width).

    Source: Lin, Chen and Yan, "Network in network", 2013, section 3.2.
    """

    letter = "P"

    def output_shape(self, input_shape: Shape) -> Shape:
        return check_planes(self, input_shape)[:1]

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        scope.emit("avg_pool2d", [x], [scope.output], **self._sizes(x))
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        if dx is not None:
            scope.emit("avg_pool2d_backward", [dy], [dx], **self._sizes(x))

    def _sizes(self, x: Tensor) -> dict[str, float]:
        n, c, h, w = x.shape
        window = {"planes": n * c, "h": h, "w": w, "r": h, "s": w, "stride_h": 1, "stride_w": 1}
        return {**window, "pad_top": 0, "pad_left": 0, "out_h": 1, "out_w": 1}
