"""The command `fastnn`: `fastnn demo` trains the demonstration's networks, `fastnn info` tells what runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import fastnn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, or else with the process's; return its exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "info":
        return _info()
    return _demo(options.output, options.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastnn", description="Small neural networks on a CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="version, backend, instruction set and threads")
    demo = commands.add_parser(
        "demo",
        help="train the demonstration's networks, compare with PyTorch where it is installed, draw pictures",
        epilog="The environment variable FASTNN_DATA names the folder of Fashion-MNIST's IDX files.",
    )
    demo.add_argument(
        "--output", type=Path, default=Path("pictures"), help="folder of the pictures (./pictures)"
    )
    demo.add_argument("--seed", type=int, default=0, help="of the first weights and the shuffling (0)")
    return parser


def _info() -> int:
    for name, value in fastnn.info().items():
        print(f"{name}: {value}")
    return 0


def _demo(output: Path, seed: int) -> int:
    missing = [module for module in ("matplotlib", "sklearn") if find_spec(module) is None]
    if missing:
        sys.exit(f"fastnn demo needs {' and '.join(missing)}, which fastnn's extra `demo` installs")
    from fastnn.demo import run

    # One thread here and in PyTorch: networks as small as these mostly make several wait for each other.
    fastnn.set_num_threads(1)
    return 0 if run(output, seed) else 1
