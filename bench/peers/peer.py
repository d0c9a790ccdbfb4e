"""What an adapter is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from bench.problems.problem import Problem
from bench.task import Task, Unsupported


class Peer:
    """A library, set to a number of threads. A subclass has one method for each kind of problem it solves.

    Such a method takes the problem and its inputs and returns a Task. `cannot` tells, kind by kind, why there
    is no method; "" stands for all other kinds.
    """

    name: ClassVar[str]
    distribution: ClassVar[str]  # as pip knows it
    import_statement: ClassVar[str]
    cannot: ClassVar[dict[str, str]] = {}
    slack: ClassVar[float] = 1  # widens the tolerances, where its method differs in a known way
    slow_kinds: ClassVar[frozenset[str]] = frozenset()  # left to the full run: they compile for long

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def task(self, problem: Problem, inputs: Any) -> Task:
        """The task of solving `problem`; raises Unsupported where this library cannot."""
        method = getattr(self, problem.kind, None)
        if method is None or problem.kind in self.cannot:
            raise Unsupported(self.cannot.get(problem.kind, self.cannot.get("", "has no such function")))
        return method(problem, inputs)

    def forget(self) -> None:
        """Drop what the library compiled for the last case."""

    @classmethod
    def version(cls) -> str:
        try:
            return version(cls.distribution)
        except PackageNotFoundError:
            return "unknown"
