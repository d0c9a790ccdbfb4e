"""What a program is made of: named tensors, and ops, each one kernel with its operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from fastnn.kernels.kernel_list import KERNELS


@dataclass(frozen=True)
class Tensor:
    """An array of a program: its name, the shape in which an op sees it, and its dtype.

    Two tensors of one name are the same memory, whatever their shapes: Flatten is only another shape.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return prod(self.shape)

    def reshape(self, *shape: int) -> Tensor:
        return Tensor(self.name, shape, self.dtype)

    def __str__(self) -> str:
        return f"{self.name} {self.shape}"


@dataclass(frozen=True)
class Op:
    """One kernel call: the operands in the order of the kernel's row, its sizes and scalars by name."""

    kernel: str
    reads: tuple[Tensor | None, ...]
    writes: tuple[Tensor | None, ...]
    sizes: dict[str, int]
    scalars: dict[str, float]

    @property
    def operands(self) -> tuple[Tensor | None, ...]:
        return self.reads + self.writes

    @cached_property
    def names_read(self) -> frozenset[str]:
        return frozenset(each.name for each in self.reads if each is not None)

    @cached_property
    def names_written(self) -> frozenset[str]:
        return frozenset(each.name for each in self.writes if each is not None)

    @property
    def cost(self) -> int:
        """The kernel list's estimate of the multiply-adds."""
        return KERNELS[self.kernel].cost(self.sizes)


def make_op(
    kernel: str,
    reads: Sequence[Tensor | None],
    writes: Sequence[Tensor | None],
    numbers: dict[str, float],
) -> Op:
    """An op whose sizes and scalars are `numbers`, put into the order of the kernel's row."""
    row = KERNELS[kernel]
    sizes = {name: int(numbers[name]) for name in row.sizes}
    scalars = {name: float(numbers[name]) for name in row.scalars}
    return Op(kernel, tuple(reads), tuple(writes), sizes, scalars)
