"""Run by `bench.startup` in a fresh process: one peer's first training step."""

from __future__ import annotations

import sys

from bench import machine, peers
from bench.problems.networks import dense
from bench.problems.training import Training


def main() -> None:
    problem = Training(dense(30, 16, 8, 1), batch=32, optimizer="sgd", batches=1)
    task = peers.load(sys.argv[1], machine.cores()).task(problem, problem.inputs("float32"))
    task.begin()
    task.call(*task.arguments[0])


if __name__ == "__main__":
    main()
