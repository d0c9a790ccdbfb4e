"""The one list of cases, and the choice among them."""

from __future__ import annotations

from fnmatch import fnmatchcase

from bench.case import Case
from bench.cases import convolution, inference, kernels, startup, sweeps, training

CASES: tuple[Case, ...] = (
    *startup.CASES,
    *kernels.CASES,
    *convolution.CASES,
    *inference.CASES,
    *training.CASES,
    *sweeps.CASES,
)


def select(pattern: str | None, quick: bool) -> list[Case]:
    """The cases whose names match any of the comma-separated globs; without, those of the run's length."""
    if pattern is None:
        return [case for case in CASES if case.quick or not quick]
    chosen = [case for case in CASES if any(fnmatchcase(case.name, glob) for glob in pattern.split(","))]
    if not chosen:
        groups = ", ".join(sorted({case.group for case in CASES}))
        raise ValueError(f"--case must match a case (groups: {groups}), got {pattern!r}")
    return chosen
