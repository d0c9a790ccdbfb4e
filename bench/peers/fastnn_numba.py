"""fastnn on its Numba backend. The compiled code is cached on disk, so a first call may be a load."""

from __future__ import annotations

from importlib.metadata import version

from bench.peers.fastnn_cython import FastnnCython


class FastnnNumba(FastnnCython):
    name = "fastnn-numba"
    distribution = "numba"
    import_statement = "import fastnn; fastnn.set_backend('numba')"
    slow_kinds = frozenset({"first_step"})
    backend = "numba"

    @classmethod
    def version(cls) -> str:
        return f"{version('fastnn')}, Numba {version('numba')}"
