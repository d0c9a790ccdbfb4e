"""A whole run: one process a number of threads, then the JSON, the Markdown and the plots."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.case import Case
from bench.results import Results, facts
from bench.worker import Options

_IDLE_LOAD = 0.5
# A quick run measures less work than this on one thread alone: several seldom gain by it.
_QUICK_FLOPS = 10e6


def run(cases: list[Case], peers: list[str], thread_counts: list[int], quick: bool, output: Path) -> None:
    """Run the cases, print what comes out, and write results.json, results.md and plots into `output`.

    Ctrl-C ends the run; what was measured until then is written.
    """
    json_results: dict[str, Any] = {
        "machine": machine.describe(),
        "effort": "quick" if quick else "thorough",
        "limits": {},
        "peers": {},
        "records": [],
    }
    if (load := json_results["machine"]["load_before"]) and load > _IDLE_LOAD:
        print(f"The machine is busy (load {load}): these figures will not be worth much.", file=sys.stderr)
    try:
        for threads in thread_counts:
            chosen = [
                case
                for case in cases
                if threads == thread_counts[0]
                or not (case.serial or (quick and case.problem.flops < _QUICK_FLOPS))
            ]
            _run_at(chosen, peers, threads, quick, json_results)
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    results = Results(json_results)
    results.save(output / "results.json")
    results = Results.load(output / "results.json")
    (output / "results.md").write_text(report.markdown(results))
    print(report.summary(results))
    _plot(results, output)
    print(f"{'interrupted; ' if interrupted else ''}written to {output}")
    if interrupted:
        sys.exit(130)


def _run_at(
    cases: list[Case], peers: list[str], threads: int, quick: bool, json_results: dict[str, Any]
) -> None:
    """Add the records at one number of threads. If the process dies, the case it was in is lost, and another
    goes on with the next."""
    remaining = cases
    while remaining:
        with tempfile.TemporaryDirectory() as folder:
            lines, options = Path(folder, "records"), Path(folder, "options.json")
            lines.touch()
            Options([case.name for case in remaining], peers, threads, quick, str(lines)).save(options)
            command = [sys.executable, "-m", "bench.worker", str(options)]
            environment = machine.environment(threads)
            try:
                status = subprocess.run(command, env=environment, cwd=machine.ROOT, check=False).returncode
            finally:  # on Ctrl-C too
                head, *records = [json.loads(line) for line in lines.read_text().splitlines()] or [None]
                if head is not None:
                    json_results["limits"][str(threads)] = head["limits"]
                    json_results["peers"] |= head["peers"]
                    json_results["records"] += records
        if head is None:
            raise RuntimeError(f"the measuring process ended with status {status} before its first case")
        remaining = remaining[len(records) :]
        if remaining:
            reason = f"the process ended with status {status}"
            print(f"{remaining[0].name}: {reason}", file=sys.stderr)
            entries = {name: {"reason": reason} for name, peer in head["peers"].items() if "version" in peer}
            json_results["records"].append(facts(remaining[0], threads) | {"peers": entries})
            remaining = remaining[1:]


def _plot(results: Results, output: Path) -> None:
    try:
        from bench import plots
    except ImportError as error:
        print(f"no plots: {error}")
        return
    plots.draw_all(results, output)
