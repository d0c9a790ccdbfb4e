"""Run by `bench.run` in a process of its own: all chosen cases at one number of threads.

    python -m bench.worker OPTIONS.json

It is held to as many cores as it has threads before any library is imported, measures the limits, then
appends to the records file a line a case, so that a crash loses only the case that it is in.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import limits, machine, peers, startup, timing, verify
from bench.case import Case
from bench.cases import CASES
from bench.peers.peer import Peer
from bench.problems.problem import Problem
from bench.problems.startup import FirstStep, Import, InstalledSize
from bench.report import record_text
from bench.results import FAILED, WRONG, Record, facts
from bench.task import Arrays, Task, Unsupported

_REFERENCES = ("numpy", "pytorch-eager", "fastnn-cython")  # the first that can, in float64, is the reference
_SPINNING_SECONDS = 0.03  # how long the threads of one library may spin after its last call


@dataclass(frozen=True)
class Options:
    cases: list[str]
    peers: list[str]
    threads: int
    quick: bool
    records: str  # the file that gets a line a case; its first line is the limits and the peers

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def main(path: str) -> None:
    options = Options(**json.loads(Path(path).read_text()))
    machine.keep_to_cores(options.threads)
    with open(options.records, "a") as records:

        def write(record: Any) -> None:
            records.write(json.dumps(record) + "\n")
            records.flush()

        measured = limits.measure(options.threads)
        loaded, absent = _load(options.peers, options.threads)
        present = {name: {"version": peer.version()} for name, peer in loaded.items()}
        missing = {name: {"absent": reason} for name, reason in absent.items()}
        write({"limits": measured, "peers": present | missing})
        by_name = {case.name: case for case in CASES}
        effort = timing.QUICK if options.quick else timing.THOROUGH
        with _progress([by_name[name] for name in options.cases]) as (cases, say):
            for case in cases:
                record = run(case, loaded, options.threads, effort)
                write(record)
                say(record_text(Record(record, measured)))


def _load(names: Iterable[str], threads: int) -> tuple[dict[str, Peer], dict[str, str]]:
    loaded: dict[str, Peer] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            loaded[name] = peers.load(name, threads)
        except ImportError as error:
            absent[name] = f"{type(error).__name__}: {error}"
    return loaded, absent


def run(case: Case, loaded: dict[str, Peer], threads: int, effort: timing.Effort) -> dict[str, Any]:
    """Verify, then time, one case; the record of it."""
    problem = case.problem
    asked, left_out = _asked(problem, loaded, quick=effort is timing.QUICK)
    if isinstance(problem, Import | FirstStep | InstalledSize):
        entries: dict[str, dict[str, Any]] = {name: {} for name in asked}
        measurements, reasons = startup.measure(problem, asked, effort)
    else:
        tasks, entries, reasons = _verified_tasks(problem, asked, threads)
        settle = _SPINNING_SECONDS if threads > 1 else 0.001
        with _everything_kept():
            measurements, failures = timing.measure(tasks, effort, settle, problem.wants_latency)
        reasons |= failures
        for peer in asked.values():
            peer.forget()
    for name, measurement in measurements.items():
        entries[name]["samples"] = measurement.samples
        if measurement.latencies:
            entries[name]["latencies"] = measurement.latencies
    entries |= {name: {"reason": reason} for name, reason in (reasons | left_out).items()}
    return facts(case, threads) | {"peers": {name: entries[name] for name in loaded}}


def _asked(problem: Problem, loaded: dict[str, Peer], quick: bool) -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers to try, and why a quick run leaves others out."""
    left_out = {
        name: "takes long to compile: left to the full run"
        for name, peer in loaded.items()
        if quick and problem.kind in peer.slow_kinds
    }
    return {name: peer for name, peer in loaded.items() if name not in left_out}, left_out


def _verified_tasks(
    problem: Problem, loaded: dict[str, Peer], threads: int
) -> tuple[dict[str, Task], dict[str, dict[str, Any]], dict[str, str]]:
    """The tasks whose results are right, their errors and first calls, and why the others are out."""
    want = _reference(problem, threads)
    inputs = problem.inputs(problem.dtype)
    tasks: dict[str, Task] = {}
    entries: dict[str, dict[str, Any]] = {name: {} for name in loaded}
    reasons: dict[str, str] = {}
    for name, peer in loaded.items():
        try:
            start = time.perf_counter()
            task = peer.task(problem, inputs)
            task.begin()
            outcome = task.call(*task.arguments[0])
            entries[name]["first_call"] = time.perf_counter() - start
            entries[name]["errors"] = verify.check(problem, verify.results(task, outcome), want, peer.slack)
            tasks[name] = task
        except Unsupported as reason:
            reasons[name] = str(reason)
        except verify.WrongResult as reason:
            reasons[name] = f"{WRONG}: {reason}"
        except Exception as error:
            reasons[name] = f"{FAILED}: {type(error).__name__}: {error}"
    return tasks, entries, reasons


@contextmanager
def _everything_kept() -> Iterator[None]:
    """What is in memory now isn't gone through by the garbage collections within: the libraries hold so much
    that one takes a tenth of a second, and there is one before every turn."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _reference(problem: Problem, threads: int) -> Arrays:
    """The results in float64, of the same inputs, by the first library that can."""
    inputs = problem.inputs("float64")
    for name in _REFERENCES:
        try:
            task = peers.load(name, threads).task(problem, inputs)
        except (ImportError, Unsupported):
            continue
        task.begin()
        outcome = task.call(*task.arguments[0]) if task.results is None else None
        return verify.results(task, outcome)
    raise RuntimeError(f"no library is installed that can give the reference of {problem}")


@contextmanager
def _progress(cases: list[Case]) -> Iterator[tuple[Iterable[Case], Callable[[str], None]]]:
    """The cases, with a progress bar where tqdm is installed; and how to print without tearing it."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield cases, lambda text: print(text, flush=True)
        return
    with tqdm(cases, unit="case", leave=False) as bar:
        yield bar, lambda text: bar.write(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:  # the parent process says so
        sys.exit(130)
