"""Problems of one kernel each. Their inputs are a list of COPIES dictionaries of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.problems.problem import COPIES, Problem

KernelInputs = list[dict[str, np.ndarray]]


def floats(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Normal values that float32 holds exactly, so that the reference starts from the same ones."""
    return rng.standard_normal(shape, dtype=np.float32).astype(dtype)


def _size(dtype: str) -> int:
    return np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Matmul(Problem):
    """c (m, n) = op(a) op(b), op the transpose where asked."""

    kind: ClassVar[str] = "matmul"
    m: int
    k: int
    n: int
    transpose_a: bool = False
    transpose_b: bool = False
    precision: str = "float32"

    @property
    def dtype(self) -> str:
        return self.precision

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n

    @property
    def bytes_read(self) -> int:
        return _size(self.precision) * (self.m * self.k + self.k * self.n)

    @property
    def bytes_written(self) -> int:
        return _size(self.precision) * self.m * self.n

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(1)
        a = (self.k, self.m) if self.transpose_a else (self.m, self.k)
        b = (self.n, self.k) if self.transpose_b else (self.k, self.n)
        return [{"a": floats(rng, a, dtype), "b": floats(rng, b, dtype)} for _ in range(COPIES)]


@dataclass(frozen=True)
class LinearReLU(Problem):
    """y (m, n) = max(x (m, k) weight (k, n) + bias, 0)."""

    kind: ClassVar[str] = "linear_relu"
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n

    @property
    def bytes_read(self) -> int:
        return 4 * (self.m * self.k + self.k * self.n + self.n)

    @property
    def bytes_written(self) -> int:
        return 4 * self.m * self.n

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(2)
        return [
            {
                "x": floats(rng, (self.m, self.k), dtype),
                "weight": floats(rng, (self.k, self.n), dtype),
                "bias": floats(rng, (self.n,), dtype),
            }
            for _ in range(COPIES)
        ]


@dataclass(frozen=True)
class LinearBackward(Problem):
    """dx (m, k), dweight (k, n) and dbias (n,) from dy (m, n)."""

    kind: ClassVar[str] = "linear_backward"
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        return 4 * self.m * self.k * self.n

    @property
    def bytes_read(self) -> int:
        return 4 * (self.m * self.n + self.m * self.k + self.k * self.n)

    @property
    def bytes_written(self) -> int:
        return 4 * (self.m * self.k + self.k * self.n + self.n)

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(3)
        return [
            {
                "dy": floats(rng, (self.m, self.n), dtype),
                "x": floats(rng, (self.m, self.k), dtype),
                "weight": floats(rng, (self.k, self.n), dtype),
            }
            for _ in range(COPIES)
        ]


@dataclass(frozen=True)
class Elementwise(Problem):
    """One of relu, sigmoid, tanh or its backward pass (dx from dy and y), over `size` elements."""

    kind: ClassVar[str] = "elementwise"
    function: str
    size: int

    @property
    def is_backward(self) -> bool:
        return self.function.endswith("_backward")

    @property
    def bytes_read(self) -> int:
        return 4 * self.size * (2 if self.is_backward else 1)

    @property
    def bytes_written(self) -> int:
        return 4 * self.size

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(4)
        if not self.is_backward:
            return [{"x": floats(rng, (self.size,), dtype)} for _ in range(COPIES)]
        # y is an output of the function: below 1 in size, and zero half the time for relu
        return [
            {
                "dy": floats(rng, (self.size,), dtype),
                "y": np.clip(floats(rng, (self.size,), dtype), 0, 1),
            }
            for _ in range(COPIES)
        ]


@dataclass(frozen=True)
class Softmax(Problem):
    """softmax or log_softmax over the columns of x (rows, columns)."""

    kind: ClassVar[str] = "softmax"
    function: str
    rows: int
    columns: int

    @property
    def bytes_read(self) -> int:
        return 4 * self.rows * self.columns

    @property
    def bytes_written(self) -> int:
        return self.bytes_read

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(5)
        return [{"x": floats(rng, (self.rows, self.columns), dtype)} for _ in range(COPIES)]


@dataclass(frozen=True)
class LogLoss(Problem):
    """The mean log loss of logits and its gradient: binary (classes = 1), or over classes."""

    kind: ClassVar[str] = "log_loss"
    rows: int
    classes: int = 1

    @property
    def bytes_read(self) -> int:
        labels = 4 if self.classes == 1 else 8
        return self.rows * (4 * self.classes + labels)

    @property
    def bytes_written(self) -> int:
        return 4 * self.rows * self.classes

    def inputs(self, dtype: str) -> KernelInputs:
        rng = np.random.default_rng(6)
        return [self._input(rng, dtype) for _ in range(COPIES)]

    def _input(self, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        if self.classes == 1:
            labels = rng.integers(0, 2, self.rows).astype(dtype)
            return {"z": 3 * floats(rng, (self.rows,), dtype), "y": labels}
        return {
            "z": 3 * floats(rng, (self.rows, self.classes), dtype),
            "y": rng.integers(0, self.classes, self.rows),
        }
