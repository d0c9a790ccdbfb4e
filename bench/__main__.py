"""The command line: `python -m bench`, and `compare`, `readme` and `accuracy` after it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import accuracy, compare, machine, readme
from bench.cases import CASES, select
from bench.peers import ADAPTERS
from bench.run import run

_COMMANDS = {"compare": compare.main, "readme": readme.main, "accuracy": accuracy.main}


def main(arguments: list[str]) -> None:
    if arguments and arguments[0] in _COMMANDS:
        _COMMANDS[arguments[0]](arguments[1:])
        return
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--case", metavar="GLOB,…", help="the cases whose names match (default: all)")
    parser.add_argument("--peers", metavar="NAME,…", help=f"among {', '.join(ADAPTERS)} (default: all)")
    parser.add_argument("--threads", default="1,all", metavar="N,…", help="default: 1,all")
    parser.add_argument("--quick", action="store_true", help="fewer cases, rounds and calls: some minutes")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        cases = select(options.case, options.quick)
        peers = _peers(options.peers)
        threads = _threads(options.threads)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print(f"{len(cases)} of {len(CASES)} cases", *(case.name for case in cases), sep="\n")
        return
    run(cases, peers, threads, options.quick, options.output)


def _peers(text: str | None) -> list[str]:
    names = list(ADAPTERS) if text is None else text.split(",")
    if unknown := set(names) - set(ADAPTERS):
        raise ValueError(f"--peers must be among {', '.join(ADAPTERS)}, got {', '.join(sorted(unknown))}")
    return [name for name in ADAPTERS if name in names]


def _threads(text: str) -> list[int]:
    """The numbers of threads, each once; "all" stands for all the cores."""
    cores = machine.cores()
    try:
        counts = [cores if item == "all" else int(item) for item in text.split(",")]
    except ValueError:
        raise ValueError(f'--threads must be numbers or "all", got {text!r}') from None
    if not all(1 <= count <= cores for count in counts):
        raise ValueError(f"--threads must be from 1 to {cores}, the cores here, got {text!r}")
    return list(dict.fromkeys(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
