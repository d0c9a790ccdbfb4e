"""The costs before the first computation: imports and first steps in fresh processes, and size on disk."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from bench import machine
from bench.peers.peer import Peer
from bench.problems.problem import Problem
from bench.problems.startup import FirstStep, Import, InstalledSize
from bench.results import FAILED
from bench.timing import Effort, Measurement

_SOURCES = {".pyx", ".pxi", ".pxd", ".h", ".c"}  # which a wheel of fastnn doesn't carry
_NAME = re.compile(r"[\w.-]+")  # with which a requirement begins
_TIMED_IMPORT = """\
import time
{before}
start = time.perf_counter_ns()
{statement}
print(time.perf_counter_ns() - start)
"""


def measure(
    problem: Problem, peers: dict[str, Peer], effort: Effort
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Every peer's start-up cost, the fresh processes of the peers taking turns; and why some give none."""
    reasons = {name: peer.cannot[problem.kind] for name, peer in peers.items() if problem.kind in peer.cannot}
    functions = {name: _function(problem, peer) for name, peer in peers.items() if name not in reasons}
    rounds = {"import": effort.rounds, "installed_size": 1}.get(problem.kind, effort.fewest_rounds)
    measurements = {name: Measurement([], []) for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            try:
                measurements[name].samples.append([function()])
            except subprocess.CalledProcessError as error:
                reasons[name] = f"{FAILED}: {error.stderr.strip().splitlines()[-1:]}"
    return {name: m for name, m in measurements.items() if name not in reasons}, reasons


def _function(problem: Problem, peer: Peer) -> Callable[[], float]:
    if isinstance(problem, InstalledSize):
        packages = distributions(peer.distribution) | ({"fastnn"} if "fastnn" in peer.name else set())
        return lambda: float(sum(map(_size, packages)))
    if isinstance(problem, Import):
        before = "import numpy" if problem.after_numpy else ""
        program = _TIMED_IMPORT.format(before=before, statement=peer.import_statement)
        return lambda: float(_python(["-c", program]))
    assert isinstance(problem, FirstStep)
    return lambda: _first_step(peer.name)


def _first_step(peer: str) -> float:
    """With no compiled code cached from before: a new machine's first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter_ns()
        _python(["-m", "bench.first_step", peer], NUMBA_CACHE_DIR=folder)
        return float(time.perf_counter_ns() - start)


def _python(arguments: list[str], **variables: str) -> str:
    environment = machine.environment(machine.cores()) | variables
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode beside it
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=machine.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def distributions(name: str) -> set[str]:
    """The distribution and all that it requires, optional extras apart, as far as they are installed."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop().lower().replace("_", "-")
        if current in found:
            continue
        try:
            requirements = distribution(current).requires or []
        except PackageNotFoundError:
            continue
        found.add(current)
        waiting += [_NAME.match(r)[0] for r in requirements if "extra ==" not in r]  # type: ignore[index]
    return found


def _size(name: str) -> int:
    """The bytes of a distribution's files; fastnn's from its folders, as it may be installed in place."""
    if name == "fastnn":
        folders = [*_folders("fastnn"), *_folders("fastnn.kernels")]
        files = {file for folder in folders for file in folder.rglob("*") if file.suffix not in _SOURCES}
    else:
        files = {Path(str(file.locate())) for file in distribution(name).files or []}
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts)


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in spec.submodule_search_locations or []] if spec else []
