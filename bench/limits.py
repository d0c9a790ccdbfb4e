"""The machine's own limits: multiply-adds a second, and bytes a second from each level of memory.

They are measured at the start of every run, by a small C program (limits.c) compiled for this processor.
Where there is no C compiler they are not measured, and no share of a limit is printed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

_SOURCE = Path(__file__).with_suffix(".c")
_FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-fopenmp"]

Limits = dict[str, Any]  # peak: precision → GFLOP/s; copy, read: working set in bytes → GB/s


def measure(threads: int) -> Limits | str:
    """The limits at that many threads, or why they aren't measured."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return "not measured: there is no C compiler"
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "limits")
        try:
            compilation = [*compiler.split(), *_FLAGS, str(_SOURCE), "-o", str(program)]
            subprocess.run(compilation, check=True, capture_output=True)
            output = subprocess.run(
                [program, str(threads)], check=True, capture_output=True, text=True, timeout=120
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            return f"not measured: {error}"
    return json.loads(output)


def _bandwidth(curve: dict[str, float], working_set: float) -> float:
    """GB/s at a working set between the measured ones, as bytes a nanosecond."""
    sizes, rates = np.array([float(size) for size in curve]), np.array(list(curve.values()))
    return float(np.interp(np.log(max(working_set, 1)), np.log(sizes), rates))


def shortest_time(limits: Limits, record: dict[str, Any]) -> float | None:
    """The nanoseconds below which a record's case cannot go, or None where nothing bounds it usefully.

    Arithmetic takes flops / peak. Memory traffic takes as long as copying what is both read and written, and
    then reading (or, counted as copying, writing) the rest. The two can overlap, so the longer one counts.
    """
    arithmetic = record["flops"] / limits["peak"][record["dtype"]]
    read, written = record["bytes_read"], record["bytes_written"]
    copied = 2 * min(read, written) + max(written - read, 0)
    memory = copied / _bandwidth(limits["copy"], record["working_set"])
    memory += max(read - written, 0) / _bandwidth(limits["read"], record["working_set"])
    return max(arithmetic, memory) or None
