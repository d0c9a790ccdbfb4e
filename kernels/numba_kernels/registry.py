"""How a Python function becomes a kernel: one body, compiled for a dtype when its address is asked for."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from numba import types
from numba.core.ccallback import CFunc

Function = Callable[..., object]

_bodies: dict[str, Function] = {}
# The compiled functions are kept for good: an address outlives every reference to its CFunc.
_compiled: dict[tuple[str, str], CFunc] = {}
_lock = threading.Lock()

# Divisions follow IEEE instead of raising. No fastmath flag is set: NaN and infinities count, and sums keep
# their written order, so a result doesn't depend on how a vectorized loop was cut.
_OPTIONS = {"nopython": True, "error_model": "numpy"}


def kernel(body: Function) -> Function:
    """Register `body(t, n, s, thread, threads)` as the kernel of its name."""
    _bodies[body.__name__] = body
    return body


def kernel_names() -> list[str]:
    """The names of all kernels, sorted."""
    return sorted(_bodies)


def kernel_address(name: str, dtype: str) -> int:
    """The address of kernel `name` for "float32" or "float64", compiled or loaded from the disk's cache.

    The C function is void(real **t, const int64_t *n, const double *s, int64_t thread, int64_t threads).
    KeyError: no such kernel or dtype.
    """
    key = name, dtype
    with _lock:
        if key not in _compiled:
            _compiled[key] = _compile(_bodies[name], _REALS[dtype])
        return _compiled[key].address


_REALS = {"float32": types.float32, "float64": types.float64}


def _compile(body: Function, real: types.Type) -> CFunc:
    operands = types.CPointer(types.CPointer(real))
    signature = types.void(
        operands, types.CPointer(types.int64), types.CPointer(types.float64), types.int64, types.int64
    )
    function = CFunc(body, (signature.args, signature.return_type), locals={}, options=_OPTIONS)
    try:
        function.enable_caching()
    except RuntimeError:  # there is no folder to write to: the kernel is compiled in every process
        pass
    else:
        # Numba's stamp covers the file that the kernel is in; a kernel also is what it calls.
        function._cache._cache_file._source_stamp = _sources_digest()
    function.compile()
    return function


@functools.cache
def _sources_digest() -> bytes:
    """A digest of this package's sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()
