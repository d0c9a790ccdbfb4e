"""The demonstration, `fastnn demo`: real data, the derivation's networks, a table, and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fastnn.backend import get_num_threads
from fastnn.datasets import Dataset
from fastnn.demo.cases import CASES, Case
from fastnn.demo.pictures import draw_histories, draw_network
from fastnn.network import History, Network


@dataclass(frozen=True)
class Result:
    """What came of one case; `pytorch` is the seconds and the accuracy there, if it is installed."""

    case: Case
    data: Dataset
    untrained: Network
    trained: Network
    history: History
    seconds: float
    accuracy: float
    pytorch: tuple[float, float] | None


def run(output: Path, seed: int = 0) -> bool:
    """Train every case, print the table, write the pictures into `output`.

    Returns whether every network reached its accuracy. Fashion-MNIST is left out where there is none.
    """
    results, notes = [], []
    for case in CASES:
        try:
            data = case.data()
        except FileNotFoundError as error:
            notes.append(f"{case.title} left out: {error}")
            continue
        results.append(_train(case, data, seed))
    print()
    print(_table(results))
    threads = get_num_threads()
    print(f"Seconds are those of the training loop alone, on {threads} thread{'s' if threads > 1 else ''}.")
    if not find_spec("torch"):
        notes.append("PyTorch isn't installed in this environment: no comparison.")
    for note in notes:
        print(note)
    print(f"Pictures in {output}/: {', '.join(path.name for path in _draw(results, output))}")
    missed = [result for result in results if result.accuracy < result.case.accuracy]
    for result in missed:
        print(f"MISSED: {result.data.name}, {result.case.title}: accuracy below {result.case.accuracy}")
    return not missed


def _train(case: Case, data: Dataset, seed: int) -> Result:
    untrained, net = case.network(data, seed), case.network(data, seed)
    print(f"{data.name}, {case.title}: {case.epochs} epochs", flush=True)
    history = net.fit(
        data.x_train,
        data.y_train,
        epochs=case.epochs,
        batch_size=case.batch_size,
        optimizer=case.optimizer,
        progress=True,
    )
    accuracy = net.evaluate(data.x_test, data.y_test)["accuracy"]
    pytorch = None
    if find_spec("torch"):
        print("the same in PyTorch", flush=True)
        from fastnn.demo.pytorch import train_in_pytorch

        pytorch = train_in_pytorch(case, data, untrained)
    return Result(case, data, untrained, net, history, sum(history.seconds), accuracy, pytorch)


def _table(results: list[Result]) -> str:
    header = ["data", "network", "parameters", "accuracy", "seconds", "PyTorch: accuracy", "seconds", "ratio"]
    rows = [header]
    for result in results:
        row = [result.data.name, result.case.title, f"{result.trained.theta.size}"]
        row += [f"{result.accuracy:.4f}", f"{result.seconds:.3f}"]
        if result.pytorch:
            seconds, accuracy = result.pytorch
            row += [f"{accuracy:.4f}", f"{seconds:.3f}", f"{seconds / result.seconds:.1f}"]
        rows.append(row)
    columns = max(map(len, rows[1:]), default=len(header))
    widths = [max(map(len, column)) for column in zip(*(row[:columns] for row in rows), strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(_aligned, row, range(columns), widths)) for row in rows)


def _aligned(cell: str, column: int, width: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)


def _draw(results: list[Result], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "loss.png"]
    draw_histories(
        {f"{result.data.name}, {result.case.title}": result.history for result in results}, paths[0]
    )
    for result in results:
        paths += draw_network(result.case, result.data, result.untrained, result.trained, folder)
    return paths
