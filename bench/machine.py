"""What a result depends on: the machine, the versions, the commit; and how a process gets its cores."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def describe() -> dict[str, Any]:
    return {
        "processor": _from_file("/proc/cpuinfo", r"model name\s*:\s*(.+)") or platform.processor(),
        "cores": cores(),
        "caches": _caches(),
        "memory_gb": round(int(_from_file("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20, 1),
        "governor": _from_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", r"(\S+)"),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(threads: int) -> dict[str, str]:
    """The environment of a process in which every library has that many threads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
    return {
        **os.environ,
        **{f"{name}_NUM_THREADS": str(threads) for name in names},
        "NPROC": str(threads),  # JAX's
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # else a second run's compile time would be a lie
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def keep_to_cores(threads: int) -> None:
    """Hold this process to that many cores, so that libraries that size their own pools agree."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _caches() -> dict[str, str]:
    facts = ("level", "type", "size")
    folders = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")
    texts = [[(folder / fact).read_text().strip() for fact in facts] for folder in folders]
    return {f"L{level}": size for level, kind, size in sorted(texts) if kind != "Instruction"}


def _from_file(path: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return None
    return found.group(1) if found else None


def _git(*arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
