"""The compiled kernels of the chosen instruction set, and the executor that runs programs of them."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

Operands = tuple[NDArray[Any] | None, ...]
Op = tuple[int, Operands, tuple[int, ...], tuple[float, ...], bool]

def kernel_names() -> list[str]: ...
def kernel_address(name: str, dtype: str) -> int: ...
def call(
    address: int, operands: Operands, sizes: tuple[int, ...], scalars: tuple[float, ...], threads: int
) -> None: ...
def matmul_direct(
    a: Any, b: Any, transpose_a: bool, transpose_b: bool, out: NDArray[Any] | None
) -> NDArray[Any] | None: ...
def max_threads() -> int: ...
def request_threads(n: int) -> None: ...
def threads_for(cost: int) -> int: ...
def row_order(order: NDArray[Any], seed: int | None) -> None: ...
def scratch_allocations() -> int: ...

class Executor:
    ops: tuple[Op, ...]
    def __init__(
        self,
        ops: Sequence[Op],
        *,
        rows: int,
        x: NDArray[Any] | None = None,
        y: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        loss: NDArray[Any] | None = None,
        step: NDArray[Any] | None = None,
        output: NDArray[Any] | None = None,
        cost: int = 0,
    ) -> None: ...
    def run(self, threads: int = 1) -> None: ...
    def predict(self, x: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any] | None: ...
    def run_epoch(
        self,
        tail: Executor | None,
        x: NDArray[Any],
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        order: NDArray[Any],
        rates: NDArray[Any],
        scale: float,
        shuffle_seed: int | None,
        threads: int,
    ) -> float: ...
