"""Which kernels run, and on how many threads: the backend, its kernels' addresses, calls of one kernel.

Both settings hold for the whole process. The Numba backend is imported when it is first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np

from fastnn.kernels import level, native
from fastnn.kernels.kernel_list import KERNELS

BACKENDS = ("cython", "numba")
current = "cython"  # read where a call of get_backend() would cost too much


class _Checked:
    """Stands for `native` where its direct paths, which are the cython backend's, mustn't be taken."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing


def _nothing(*arguments: Any) -> None:
    """None: what a direct path says of arguments that need the checked one."""


# Straight from Python objects to the kernels: functions named …_direct, None where that can't be.
direct: Any = native


def set_backend(name: str) -> None:
    """Use the "cython" or the "numba" kernels from now on.

    Raises ValueError for another name, ImportError where Numba isn't installed.
    """
    global current, direct
    if name not in BACKENDS:
        raise ValueError(f"name must be one of {', '.join(map(repr, BACKENDS))}, got {name!r}")
    if name == "numba":
        _import_numba_kernels()
    current = name
    direct = native if name == "cython" else _Checked()


def get_backend() -> str:
    """Name the backend in use: "cython" or "numba"."""
    return current


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Use a backend within a `with` block, and the one before it afterwards."""
    before = get_backend()
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def set_num_threads(n: int) -> None:
    """Let large work use n threads; small work always runs on one.

    The default is OpenMP's (OMP_NUM_THREADS, or the number of cores). A limit that is set through OpenMP
    afterwards, as threadpoolctl does, still holds. Raises ValueError for n < 1, TypeError for no integer.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be an integer, got {n!r}")
    if not 1 <= n <= 1024:
        raise ValueError(f"n must be between 1 and 1024, got {n}")
    native.request_threads(int(n))


def get_num_threads() -> int:
    """Return the number of threads that large work uses now."""
    return native.max_threads()


def info() -> dict[str, Any]:
    """Describe this installation: version, backend, instruction set, threads, processors."""
    from fastnn import __version__

    return {
        "version": __version__,
        "backend": get_backend(),
        "instruction_set": level,
        "threads": get_num_threads(),
        "processors": os.cpu_count(),
    }


def _import_numba_kernels() -> Any:
    try:
        from fastnn.kernels import numba_kernels
    except ImportError as error:
        raise ImportError(
            "the numba backend needs Numba: install it, or fastnn with its extra [numba]"
        ) from error
    return numba_kernels


@cache
def _address(backend: str, name: str, dtype: Any) -> int:
    kernels = native if backend == "cython" else _import_numba_kernels()
    return kernels.kernel_address(name, np.dtype(dtype).name)


def kernel_address(name: str, dtype: Any) -> int:
    """Return the address of a kernel's C function in the current backend."""
    return _address(current, name, dtype)


def threads_for(cost: int) -> int:
    """Return the number of threads for a work of `cost` multiply-adds: one where it is small."""
    return native.threads_for(cost)


def call(
    name: str,
    dtype: Any,
    operands: tuple[np.ndarray | None, ...],
    sizes: tuple[int, ...],
    scalars: tuple[float, ...] = (),
) -> None:
    """Run one kernel of the kernel list on C-contiguous operands that the caller has checked."""
    threads = threads_for(kernel_cost(name, sizes))
    native.call(kernel_address(name, dtype), operands, sizes, scalars, threads)


@lru_cache(maxsize=1024)
def kernel_cost(name: str, sizes: tuple[int, ...]) -> int:
    """Estimate the multiply-adds of one call of a kernel with these sizes."""
    kernel = KERNELS[name]
    return kernel.cost(dict(zip(kernel.sizes, sizes, strict=True)))
