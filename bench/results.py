"""A run's results as they are saved: one JSON file, read by the reports, the plots and the comparison.

    machine, limits (threads → limits), peers (name → version or why absent), effort, records

A record is one case at one number of threads: its case's facts, and for every peer either `samples` (rounds
of nanoseconds a unit, or bytes), `first_call` (seconds), `errors` and `latencies`, or `reason`, why not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench import BASELINE
from bench.case import Case
from bench.limits import shortest_time
from bench.spread import Ratio, median, paired_ratio, relative_spread

Json = dict[str, Any]
WRONG, FAILED = "WRONG RESULT", "FAILED"  # how the reasons begin that no peer should give


def facts(case: Case, threads: int) -> Json:
    """What a record says of its case."""
    problem = case.problem
    return {
        "case": case.name,
        "group": case.group,
        "threads": threads,
        "unit": problem.unit,
        "dtype": problem.dtype,
        "flops": problem.flops,
        "bytes_read": problem.bytes_read,
        "bytes_written": problem.bytes_written,
        "working_set": problem.working_set,
        "sweep": vars(case.sweep) if case.sweep else None,
    }


class Record:
    """One case at one number of threads, as the reports look at it."""

    def __init__(self, record: Json, limits: Json | str | None) -> None:
        self.json = record
        self.case: str = record["case"]
        self.group: str = record["group"]
        self.threads: int = record["threads"]
        self.unit: str = record["unit"]
        self._limits = limits if isinstance(limits, dict) else None

    @property
    def timed(self) -> list[str]:
        return [name for name, entry in self.json["peers"].items() if "samples" in entry]

    @property
    def reasons(self) -> dict[str, str]:
        return {name: entry["reason"] for name, entry in self.json["peers"].items() if "reason" in entry}

    @property
    def failures(self) -> dict[str, str]:
        """Of the reasons, those that are wrong results and errors."""
        return {name: reason for name, reason in self.reasons.items() if reason.startswith((WRONG, FAILED))}

    def time(self, peer: str) -> float | None:
        """The median, in nanoseconds a unit."""
        return median(self.json["peers"][peer]["samples"]) if peer in self.timed else None

    def spread(self, peer: str) -> float:
        return relative_spread(self.json["peers"][peer]["samples"])

    def ratio(self, peer: str, base: str = BASELINE) -> Ratio | None:
        """How much longer `peer` took than `base`."""
        if peer not in self.timed or base not in self.timed or peer == base:
            return None
        return paired_ratio(self.json["peers"][peer]["samples"], self.json["peers"][base]["samples"])

    def best_rival(self) -> str | None:
        """The fastest peer that isn't fastnn."""
        rivals = [name for name in self.timed if not name.startswith("fastnn")]
        return min(rivals, key=lambda name: self.time(name) or 0.0, default=None)

    def share_of_limit(self, peer: str) -> float | None:
        """The time that the machine's limits leave possible over the time taken."""
        taken = self.time(peer)
        if self._limits is None or not taken or self.unit == "byte":
            return None
        possible = shortest_time(self._limits, self.json)
        return possible / taken if possible else None


class Results:
    def __init__(self, json: Json) -> None:
        self.json = json
        self.records = [Record(r, json["limits"].get(str(r["threads"]))) for r in json["records"]]

    @classmethod
    def load(cls, path: str | Path) -> Results:
        return cls(json.loads(Path(path).read_text()))

    def save(self, path: Path) -> None:
        """Samples rounded to four digits: the clock gives no more."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_rounded(self.json), ensure_ascii=False, separators=(",", ":")) + "\n")

    @property
    def peers(self) -> list[str]:
        """The peers that were there, in the reports' order."""
        return [name for name, entry in self.json["peers"].items() if "version" in entry]

    def groups(self) -> Iterator[tuple[str, int, list[Record]]]:
        """The records of every group at every number of threads."""
        keys = dict.fromkeys((record.group, record.threads) for record in self.records)
        for group, threads in keys:
            yield group, threads, [r for r in self.records if (r.group, r.threads) == (group, threads)]

    def find(self, case: str, threads: int) -> Record | None:
        return next((r for r in self.records if (r.case, r.threads) == (case, threads)), None)

    def sweeps(self) -> Iterator[tuple[str, str, int, list[tuple[float, Record]]]]:
        """Every sweep's name, axis, threads and points (value, record)."""
        swept = [record for record in self.records if record.json["sweep"]]
        keys = dict.fromkeys((r.json["sweep"]["name"], r.json["sweep"]["axis"], r.threads) for r in swept)
        for name, axis, threads in keys:
            points = [
                (r.json["sweep"]["value"], r)
                for r in swept
                if (r.json["sweep"]["name"], r.threads) == (name, threads)
            ]
            yield name, axis, threads, sorted(points, key=lambda point: point[0])


def peers_of(records: Iterable[Record], order: list[str]) -> list[str]:
    """The peers that solved any of the records' cases."""
    timed = {name for record in records for name in record.timed}
    return [name for name in order if name in timed]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
