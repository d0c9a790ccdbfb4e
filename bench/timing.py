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


THOROUGH = Effort(rounds=9, fewest_rounds=5, sample_seconds=0.02, budget=60)
QUICK = Effort(rounds=5, fewest_rounds=3, sample_seconds=0.01, budget=6)


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


def _calibrate(task: Task, seconds: float) -> tuple[int, float]:
    """How many calls a sample takes, and about how many seconds that will be."""
    task.begin()
    repeats = 1
    while True:
        elapsed = _run(task, repeats)[0] * 1e-9
        if elapsed >= seconds / 2:
            repeats = max(1, round(repeats * seconds / elapsed))
            return repeats, elapsed * max(1.0, seconds / elapsed)
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
    plans: dict[str, tuple[int, float]] = {}
    failures: dict[str, str] = {}
    for name, task in tasks.items():
        time.sleep(settle_seconds)
        plans[name] = _calibrate(task, effort.sample_seconds)
    longest = sum(seconds for _, seconds in plans.values()) * (SAMPLES + 1)
    rounds = int(np.clip(effort.budget / max(longest, 1e-9), effort.fewest_rounds, effort.rounds))
    # A sample of a second or more says enough by itself.
    samples = {name: 1 if seconds > 1 else SAMPLES for name, (_, seconds) in plans.items()}
    measurements = {name: Measurement([], []) for name in tasks}
    names = list(tasks)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if name in failures:
                continue
            task, (repeats, seconds) = tasks[name], plans[name]
            time.sleep(settle_seconds)
            gc.collect()
            gc.disable()
            try:
                task.begin()
                if seconds < 1:
                    _run(task, max(1, repeats // 4))
                turn = [_run(task, repeats) for _ in range(samples[name])]
                if with_latencies:
                    measurements[name].latencies.append(_latencies(task))
                verify.check_timed(task, turn[-1][1])
            except Exception as error:
                failures[name] = f"{FAILED} while timed: {type(error).__name__}: {error}"
                continue
            finally:
                gc.enable()
            per_unit = [elapsed / (repeats * task.steps) for elapsed, _ in turn]
            measurements[name].samples.append(per_unit)
    return {name: m for name, m in measurements.items() if name not in failures}, failures


def clock_nanoseconds() -> float:
    """What a reading of the clock costs."""
    clock = time.perf_counter_ns
    return float(np.median(np.diff([clock() for _ in range(10_000)])))
