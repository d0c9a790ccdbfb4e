"""Two-dimensional convolution."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from fastnn.arguments import whole_number
from fastnn.checks import paddings, pair
from fastnn.layers.base import (
    IntOrPair,
    Layer,
    Parameter,
    Scope,
    Shape,
    check_planes,
    int_or_pair,
    window_steps,
)
from fastnn.ops import Tensor


@dataclass(frozen=True, repr=False)
class Conv2D(Layer):
    """A convolution: Z[i, f, p, q] = b[f] + Σ X[i, c, p·stride + u·dilation − padding, …] W[f, c, u, v].

    X (n, channels, height, width), W (filters, channels / groups, kernel height, kernel width), b (filters,),
    Z (n, filters, out height, out width), out = ⌊(in + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1.
    As in every network library it is a cross-correlation: the kernel isn't flipped. Padding "same" gives Z
    the height and width of X (it needs stride 1), the odd row and column of zeros at the bottom and on the
    right.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.
    """

    filters: int
    kernel_size: IntOrPair
    stride: IntOrPair = 1
    padding: IntOrPair | str = 0
    dilation: IntOrPair = 1
    groups: int = 1

    letter = "Z"

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", whole_number("filters", self.filters, 1))
        object.__setattr__(self, "groups", whole_number("groups", self.groups, 1))
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(self, name)
            if not isinstance(value, str) or name != "padding":
                object.__setattr__(self, name, int_or_pair(name, value, least))
        self._paddings()  # which refuses another word than "same", and that with a stride
        if self.filters % self.groups:
            raise ValueError(f"filters must be a multiple of groups, {self.groups}, got {self.filters}")

    def output_shape(self, input_shape: Shape) -> Shape:
        channels, *plane = check_planes(self, input_shape)
        if channels % self.groups:
            raise ValueError(f"{self!r} needs channels that its groups divide, got an input of {input_shape}")
        if isinstance(self.padding, str):
            return (self.filters, *plane)
        steps = window_steps(self, plane, self.kernel_size, self.stride, self.padding, self.dilation)
        return (self.filters, *steps)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        r, s = pair("kernel_size", self.kernel_size, 1)
        shape = (self.filters, input_shape[0] // self.groups, r, s)
        weight = Parameter(shape, fan_in=prod(shape[1:]), fan_out=self.filters // self.groups * r * s)
        return {"W": weight, "b": Parameter((self.filters,), fill=0.0)}

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        sizes = self._sizes(x, scope.output)
        scope.emit("conv2d", [x, scope["W"], scope["b"]], [scope.output], **sizes, relu=0)
        return scope.output

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        sizes = self._sizes(x, y)
        scope.emit("conv2d_backward_weight", [x, dy], [scope["dW"], scope["db"]], **sizes)
        if dx is not None:
            scope.emit("conv2d_backward_input", [dy, scope["W"], None], [dx], **sizes)

    def _paddings(self) -> tuple[int, int]:
        """The rows of zeros above an image, and the columns to the left of it."""
        kernel, dilation = pair("kernel_size", self.kernel_size, 1), pair("dilation", self.dilation, 1)
        reach = dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1)
        before, _ = paddings(self.padding, pair("stride", self.stride, 1), reach)
        return before

    def _sizes(self, x: Tensor, y: Tensor) -> dict[str, float]:
        n, c, h, w = x.shape
        r, s = pair("kernel_size", self.kernel_size, 1)
        stride_h, stride_w = pair("stride", self.stride, 1)
        pad_top, pad_left = self._paddings()
        dilation_h, dilation_w = pair("dilation", self.dilation, 1)
        return {
            **{"n": n, "c": c, "h": h, "w": w, "filters": self.filters, "r": r, "s": s},
            **{"stride_h": stride_h, "stride_w": stride_w, "pad_top": pad_top, "pad_left": pad_left},
            **{"dilation_h": dilation_h, "dilation_w": dilation_w, "groups": self.groups},
            **{"out_h": y.shape[2], "out_w": y.shape[3]},
        }
