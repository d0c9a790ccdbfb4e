"""`python -m bench readme RESULTS.json`: rewrites the table between the README's two benchmark marks."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.machine import ROOT
from bench.results import Results
from bench.tables import amount, cell, cores, markdown_table

START, END = "<!-- benchmarks: start -->", "<!-- benchmarks: end -->"
README = ROOT / "README.md"

# What the table's rows say, and which case each is.
ROWS = {
    "train 30-16-8-1, batch 32, SGD, a step": "training/30-16-8-1/sgd/B=32",
    "train 30-16-8-1, batch 1, SGD, a step": "training/30-16-8-1/sgd/B=1",
    "train 64-32-32-10, batch 64, Adam, a step": "training/64-32-32-10/adam/B=64",
    "train 784-128-64-10, batch 128, Adam, a step": "training/784-128-64-10/adam/B=128",
    "train 784-512-512-10, batch 256, Adam, a step": "training/784-512-512-10/adam/B=256",
    "train LeNet-5, batch 64, Adam, a step": "training/LeNet-5/adam/B=64",
    "train CNN-32-64, batch 64, Adam, a step": "training/CNN-32-64/adam/B=64",
    "predict 30-16-8-1, one row": "inference/30-16-8-1/B=1",
    "predict 784-128-64-10, one row": "inference/784-128-64-10/B=1",
    "predict LeNet-5, one image": "inference/LeNet-5/B=1",
    "predict CNN-32-64, 64 images": "inference/CNN-32-64/B=64",
    "import": "startup/import",
    "first training step, from starting Python": "startup/first-step",
    "installed, with all that it needs": "startup/installed-size",
}
COLUMNS = {
    "fastnn": "fastnn-cython",
    "PyTorch": "pytorch-eager",
    "torch.compile": "pytorch-compile",
    "JAX, an epoch a call": "jax-scan",
    "ONNX Runtime": "onnxruntime",
    "scikit-learn": "scikit-learn",
}


def table(results: Results, path: str) -> str:
    """The README's table: 1 thread's figures, with what they were measured on above, and a link to `path`."""
    machine = results.json["machine"]
    rows = []
    for title, case in ROWS.items():
        record = results.find(case, 1)
        if record is None:
            continue
        own, *others = COLUMNS.values()
        value = record.time(own)
        own_cell = "–" if value is None else f"**{amount(value, record.unit)}**"
        rows.append((title, own_cell, *(cell(record, peer) for peer in others)))
    measured = (
        f"{machine['processor']}, {cores(1)}, float32, {machine['date'][:10]}; all figures: [{path}]({path})"
    )
    return f"{measured}\n\n{markdown_table(('', *COLUMNS), rows)}"


def rewritten(text: str, results: Results, path: str) -> str:
    """The README's text with the table of these results, which are at `path`, between its marks."""
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"README must hold the marks {START} and {END}, once each and in this order")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n{table(results, path)}\n{END}{after}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench readme", description=__doc__)
    parser.add_argument("results", type=Path)
    options = parser.parse_args(arguments)
    path = options.results.resolve().relative_to(ROOT).as_posix()
    README.write_text(rewritten(README.read_text(), Results.load(options.results), path))
    print(f"{README.name} shows the figures of {options.results}")
