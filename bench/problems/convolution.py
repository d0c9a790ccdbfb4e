"""Problems of convolution and pooling. x is (n, c, h, h), weight (filters, c, kernel, kernel)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.problems.kernels import KernelInputs, floats
from bench.problems.problem import COPIES, Problem


@dataclass(frozen=True)
class Conv2D(Problem):
    """y (n, filters, out, out), with a bias; square images, kernels, strides and paddings."""

    kind: ClassVar[str] = "conv2d"
    n: int
    c: int
    h: int
    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def out(self) -> int:
        return (self.h + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def x_shape(self) -> tuple[int, ...]:
        return self.n, self.c, self.h, self.h

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.filters, self.c // self.groups, self.kernel, self.kernel

    @property
    def y_shape(self) -> tuple[int, ...]:
        return self.n, self.filters, self.out, self.out

    @property
    def flops(self) -> int:
        return 2 * int(np.prod(self.y_shape)) * int(np.prod(self.weight_shape[1:]))

    @property
    def bytes_read(self) -> int:
        return 4 * int(np.prod(self.x_shape) + np.prod(self.weight_shape) + self.filters)

    @property
    def bytes_written(self) -> int:
        return 4 * int(np.prod(self.y_shape))

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(7)
        return [
            {
                "x": floats(rng, self.x_shape, dtype),
                "weight": floats(rng, self.weight_shape, dtype),
                "bias": floats(rng, (self.filters,), dtype),
            }
            for _ in range(COPIES)
        ]

    def tolerance(self, result: str) -> float:
        return 1e-4  # room for Winograd's transforms, which some libraries use


@dataclass(frozen=True)
class Conv2DBackward(Conv2D):
    """dx, dweight and dbias from dy (n, filters, out, out)."""

    kind: ClassVar[str] = "conv2d_backward"

    @property
    def flops(self) -> int:
        return 2 * super().flops

    @property
    def bytes_read(self) -> int:
        return 4 * int(np.prod(self.y_shape) + np.prod(self.x_shape) + np.prod(self.weight_shape))

    @property
    def bytes_written(self) -> int:
        return 4 * int(np.prod(self.x_shape) + np.prod(self.weight_shape) + self.filters)

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(8)
        return [
            {
                "dy": floats(rng, self.y_shape, dtype),
                "x": floats(rng, self.x_shape, dtype),
                "weight": floats(rng, self.weight_shape, dtype),
            }
            for _ in range(COPIES)
        ]


@dataclass(frozen=True)
class MaxPool2D(Problem):
    """y from x (n, c, h, h) by windows of `size`, and, with `backward`, dx from dy and x."""

    kind: ClassVar[str] = "max_pool2d"
    n: int
    c: int
    h: int
    size: int = 2
    backward: bool = False

    @property
    def bytes_read(self) -> int:
        pixels = self.n * self.c * self.h * self.h
        return 4 * (pixels + (pixels // self.size**2 if self.backward else 0))

    @property
    def bytes_written(self) -> int:
        pixels = self.n * self.c * self.h * self.h
        return 4 * (pixels if self.backward else pixels // self.size**2)

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(9)
        out = self.h // self.size
        return [
            {
                "x": floats(rng, (self.n, self.c, self.h, self.h), dtype),
                "dy": floats(rng, (self.n, self.c, out, out), dtype),
            }
            for _ in range(COPIES)
        ]
