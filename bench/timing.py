"""The clock: the peers of a case take turns, round after round, in one process.

What disturbs the machine for a while then disturbs all of them. In a turn a peer first gets its state back
and warms up, then gives a few samples, each of as many calls as make it long against the clock's own cost.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from bench import verify
from bench.results import FAILED
from bench.spread import Rounds
from bench.task import Task

SAMPLES = 3  # in a turn
LATENCIES = 500  # calls, clocked one by one, of a turn


@dataclass(frozen=True)
class Effort:
    """How long to measure. A case of slow calls gets fewer rounds, to keep within `budget` seconds."""

    rounds: int
    fewest_rounds: int
    sample_seconds: float
    budget: float


THOROUGH = Effort(rounds=9, fewest_rounds=3, sample_seconds=0.01, budget=10)
QUICK = Effort(rounds=5, fewest_rounds=3, sample_seconds=0.005, budget=5)


@dataclass
class Measurement:
    """Nanoseconds: `samples` a unit of the problem, round by round; `latencies` (p50, p99) round by round."""

    samples: Rounds
    latencies: list[tuple[float, float]]


# One loop an arity: call(*arguments) alone would add a tenth to the fastest peers.
def _loop_0(call: Callable[..., Any], arguments: Any) -> Any:
    for _ in arguments:
        outcome = call()
    return outcome


def _loop_1(call: Callable[..., Any], arguments: Any) -> Any:
    for (a,) in arguments:
        outcome = call(a)
    return outcome


def _loop_2(call: Callable[..., Any], arguments: Any) -> Any:
    for a, b in arguments:
        outcome = call(a, b)
    return outcome


def _loop_any(call: Callable[..., Any], arguments: Any) -> Any:
    for a in arguments:
        outcome = call(*a)
    return outcome


_LOOPS = {0: _loop_0, 1: _loop_1, 2: _loop_2}


def _run(task: Task, repeats: int) -> tuple[int, Any]:
    """The nanoseconds of that many calls, and what the last one returned."""
    loop = _LOOPS.get(len(task.arguments[0]), _loop_any)
    arguments = islice(cycle(task.arguments), repeats)
    start = time.perf_counter_ns()
    outcome = loop(task.call, arguments)
    return time.perf_counter_ns() - start, outcome


@dataclass(frozen=True)
class _Plan:
    """A turn: so many samples of so many calls, each sample about `seconds` long. `warm_up` is the share of a
    sample that goes before. A sample of a second or more is warm and says enough by itself."""

    repeats: int
    seconds: float

    @property
    def samples(self) -> int:
        return 1 if self.seconds > 1 else SAMPLES

    @property
    def warm_up(self) -> float:
        return 0 if self.seconds > 1 else 0.25


def _plan(task: Task, seconds: float) -> _Plan:
    """As many calls a sample as take that many seconds; one, if a call takes longer."""
    task.begin()
    repeats = 1
    while True:
        elapsed = _run(task, repeats)[0] * 1e-9
        if elapsed >= seconds / 2:
            repeats = max(1, round(repeats * seconds / elapsed))
            return _Plan(repeats, max(seconds, elapsed))
        repeats = max(2 * repeats, round(repeats * 0.5 * seconds / max(elapsed, 1e-9)))


def _latencies(task: Task) -> tuple[float, float]:
    """p50 and p99 of calls clocked one by one; a reading of the clock is in each."""
    clock, call = time.perf_counter_ns, task.call
    stamps = [clock()]
    for arguments in islice(cycle(task.arguments), LATENCIES):
        call(*arguments)
        stamps.append(clock())
    p50, p99 = np.percentile(np.diff(stamps), (50, 99))
    return float(p50), float(p99)


def measure(
    tasks: Mapping[str, Task], effort: Effort, settle_seconds: float, with_latencies: bool
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Time verified tasks in turn.

    `settle_seconds` go by before every turn: the threads of the peer before spin on for a while, and would
    take the next peer's cores.

    Returns:
        The measurements, and the reasons of the peers that failed under way.
    """
    plans: dict[str, _Plan] = {}
    failures: dict[str, str] = {}
    for name, task in tasks.items():
        time.sleep(settle_seconds)
        try:
            plans[name] = _plan(task, effort.sample_seconds)
        except Exception as error:
            failures[name] = _failure(error)
    longest = sum(plan.seconds * (plan.samples + plan.warm_up) for plan in plans.values())
    rounds = int(np.clip(effort.budget / max(longest, 1e-9), effort.fewest_rounds, effort.rounds))
    measurements = {name: Measurement([], []) for name in plans}
    names = list(plans)
    for number in range(rounds):
        first = number % len(names)  # no peer always follows the same one
        for name in names[first:] + names[:first]:
            if name in failures:
                continue
            time.sleep(settle_seconds)
            try:
                samples, latencies = _turn(tasks[name], plans[name], with_latencies)
            except Exception as error:
                failures[name] = _failure(error)
                continue
            measurements[name].samples.append(samples)
            measurements[name].latencies += latencies
    return {name: m for name, m in measurements.items() if name not in failures}, failures


def _turn(task: Task, plan: _Plan, with_latencies: bool) -> tuple[list[float], list[tuple[float, float]]]:
    """A turn's samples and latencies. The garbage collector waits, as timeit lets it."""
    gc.collect()
    gc.disable()
    try:
        task.begin()
        if plan.warm_up:
            _run(task, max(1, round(plan.repeats * plan.warm_up)))
        turn = [_run(task, plan.repeats) for _ in range(plan.samples)]
        latencies = [_latencies(task)] if with_latencies else []
    finally:
        gc.enable()
    verify.check_timed(task, turn[-1][1])
    return [elapsed / (plan.repeats * task.steps) for elapsed, _ in turn], latencies


def _failure(error: Exception) -> str:
    return f"{FAILED} while timed: {type(error).__name__}: {error}"
