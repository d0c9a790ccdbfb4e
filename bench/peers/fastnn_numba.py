"""fastnn on its Numba backend. The compiled code is cached on disk, so a first call may be a load."""

from __future__ import annotations

from bench.peers.fastnn_cython import FastnnCython


class FastnnNumba(FastnnCython):
    name = "fastnn-numba"
    distribution = "numba"
    import_statement = "import fastnn; fastnn.set_backend('numba')"
    backend = "numba"
