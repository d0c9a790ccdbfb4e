"""A case: a problem under the name by which reports and `--case` know it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.problems.problem import Problem


@dataclass(frozen=True)
class Sweep:
    """The case is a point of a curve: `axis` is what varies, `value` where this point lies."""

    name: str
    axis: str
    value: float


@dataclass(frozen=True)
class Case:
    """`name` is group/what/options. `quick` puts it into the short run; `serial` keeps it to one thread."""

    name: str
    problem: Problem
    quick: bool = False
    serial: bool = False
    sweep: Sweep | None = None

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]
