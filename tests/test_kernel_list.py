"""The kernel list binds both backends: the same kernels, each of them as its row says."""

import numpy as np
import pytest
from arrays import wide
from compare import assert_close, assert_same_bits
from examples import Example, examples

from fastnn.backend import kernel_address
from fastnn.kernels import native
from fastnn.kernels.kernel_list import KERNELS, Kernel

TOLERANCE = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-14}
UNTOUCHED = {"f": np.nan, "u": 171}
GUARD = 1024  # elements on each side of what a kernel writes, which it must leave alone


def test_both_backends_hold_exactly_the_listed_kernels():
    numba_kernels = pytest.importorskip("fastnn.kernels.numba_kernels", reason="numba isn't installed")
    assert sorted(native.kernel_names()) == sorted(KERNELS)
    assert sorted(numba_kernels.kernel_names()) == sorted(KERNELS)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_rows_are_complete(kernel):
    """Operands have names of their own, and an example gives each, with every size and scalar."""
    names = [operand.name for operand in kernel.operands]
    assert len(set(names)) == len(names)
    for example in examples(kernel.name):
        assert tuple(example.reads) == tuple(operand.name for operand in kernel.reads)
        assert set(example.sizes) == set(kernel.sizes)
        assert set(example.scalars) == set(kernel.scalars)
        assert kernel.cost(example.sizes) >= 0


class Run:
    """One call of a kernel on an example's operands, with guards around what it writes."""

    def __init__(self, kernel: Kernel, example: Example, dtype: np.dtype) -> None:
        dtypes = {operand.name: operand.dtype or dtype for operand in kernel.operands}

        def rounded(operands):
            return {
                name: None if array is None else array.astype(dtypes[name])
                for name, array in operands.items()
            }

        self.kernel, self.example, self.dtype = kernel, example, dtype
        self.reads, self.updates = rounded(example.reads), rounded(example.updates)
        before = [*self.reads.values(), *self.updates.values()]
        self.expected = example.expected(*(x if x is None or x.dtype != dtype else wide(x) for x in before))

    def __call__(self, threads: int) -> dict[str, np.ndarray | None]:
        guarded = {}
        for operand in self.kernel.writes:
            if (right := self.expected[operand.name]) is not None:
                dtype = np.dtype(operand.dtype or self.dtype)
                guarded[operand.name] = np.full(right.size + 2 * GUARD, UNTOUCHED[dtype.kind], dtype)
        written = {
            name: whole[GUARD : whole.size - GUARD].reshape(self.expected[name].shape)
            for name, whole in guarded.items()
        }
        for name, array in self.updates.items():
            if array is not None:
                written[name][...] = array
        reads = {name: None if x is None else x.copy() for name, x in self.reads.items()}
        native.call(
            kernel_address(self.kernel.name, self.dtype),
            (*reads.values(), *(written.get(operand.name) for operand in self.kernel.writes)),
            tuple(self.example.sizes[name] for name in self.kernel.sizes),
            tuple(self.example.scalars[name] for name in self.kernel.scalars),
            threads,
        )
        for name, whole in guarded.items():
            untouched = np.full(GUARD, UNTOUCHED[whole.dtype.kind], whole.dtype)
            assert_same_bits(whole[:GUARD], untouched, f"{name} in front of its start")
            assert_same_bits(whole[whole.size - GUARD :], untouched, f"{name} beyond its end")
        for name, x in reads.items():
            if x is not None:
                assert_same_bits(x, self.reads[name], f"{name}, which is only read,")
        for name, unused in self.example.unused.items():
            if written.get(name) is not None:
                written[name][unused] = self.expected[name][unused]
        return written


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_kernel_is_the_reference(backend, dtype, kernel):
    for number, example in enumerate(examples(kernel.name)):
        run = Run(kernel, example, dtype)
        for name, array in run(threads=1).items():
            assert_close(array, run.expected[name], TOLERANCE[dtype], f"{name} of example {number}")


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_threads_share_the_outputs_to_the_bit(backend, dtype, kernel):
    """However many threads: every output is written, with the same bits, and nothing else is."""
    for number, example in enumerate(examples(kernel.name)):
        run = Run(kernel, example, dtype)
        alone = run(threads=1)
        for threads in (2, 3, 4):
            for name, array in run(threads).items():
                assert_same_bits(array, alone[name], f"{name} of example {number} on {threads} threads")


IN_PLACE = [kernel for kernel in KERNELS.values() if "in place" in kernel.formula]


@pytest.mark.parametrize("kernel", IN_PLACE, ids=[kernel.name for kernel in IN_PLACE])
def test_in_place(backend, dtype, kernel):
    (output,) = kernel.writes
    for number, example in enumerate(examples(kernel.name)):
        run = Run(kernel, example, dtype)
        right = run(threads=1)[output.name]
        for operand in kernel.reads:
            if operand.dtype is not None:
                continue
            reads = {name: array.copy() for name, array in run.reads.items()}
            native.call(
                kernel_address(kernel.name, dtype),
                (*reads.values(), reads[operand.name]),
                tuple(example.sizes[name] for name in kernel.sizes),
                tuple(example.scalars[name] for name in kernel.scalars),
                2,
            )
            assert_same_bits(reads[operand.name], right, f"{operand.name} of example {number}")
