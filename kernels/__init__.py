"""The compiled kernels: `native` is the module built for the best instruction set that the processor has.

Each instruction-set level is one extension module of the same sources. The environment variable
FASTNN_ISA names another level (`x86-64-v2`, `-v3`, `-v4`; `portable` where the processor isn't x86-64).
"""

from __future__ import annotations

import importlib
import os
import sys

from fastnn.kernels import cpu


def _choose() -> str:
    """Name the level to load; ImportError where FASTNN_ISA asks for what isn't there."""
    supported = cpu.supported() or ["portable"]
    level = os.environ.get("FASTNN_ISA") or supported[0]
    if level not in supported:
        raise ImportError(
            f"FASTNN_ISA={level!r} is no instruction set of this processor; it has {', '.join(supported)}"
        )
    return level


level: str = _choose()
native = importlib.import_module("fastnn.kernels." + level.replace("-", "_"))
sys.modules["fastnn.kernels.native"] = native
