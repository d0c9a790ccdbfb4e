"""Matrix products, elementwise functions and losses, one call each."""

from __future__ import annotations

import numpy as np

from bench.case import Case
from bench.problems.kernels import Elementwise, LinearBackward, LinearReLU, LogLoss, Matmul, Softmax

# (m, k, n, options): layers of small networks, squares, a row, and a tall thin product
_PRODUCTS: tuple[tuple[int, int, int, dict[str, bool]], ...] = (
    (32, 30, 16, {}),
    (64, 64, 64, {}),
    (128, 784, 128, {}),
    (784, 128, 128, {"transpose_a": True}),
    (128, 128, 784, {"transpose_b": True}),
    (256, 256, 256, {}),
    (512, 512, 512, {}),
    (1024, 1024, 1024, {}),
    (1, 784, 128, {}),
    (60000, 9, 16, {}),
)
_ELEMENTWISE = ("relu", "relu_backward", "sigmoid", "sigmoid_backward", "tanh", "tanh_backward")
_QUICK_ELEMENTWISE = ("relu", "relu_backward", "sigmoid")
_ELEMENT_COUNTS = (1024, 1_000_000)
_SWEEP_SHAPES = 60


def _name(problem: Matmul) -> str:
    marks = ("/transpose-a" if problem.transpose_a else "") + ("/transpose-b" if problem.transpose_b else "")
    return f"{problem.m}x{problem.k}x{problem.n}{marks}"


def _products() -> list[Case]:
    problems = [Matmul(m, k, n, **options) for m, k, n, options in _PRODUCTS]
    return [Case(f"matmul/{_name(problem)}", problem, quick=True) for problem in problems]


def _float64_products() -> list[Case]:
    problems = [Matmul(m, k, n, **options, precision="float64") for m, k, n, options in _PRODUCTS]
    return [Case(f"matmul-float64/{_name(problem)}", problem) for problem in problems]


def _sweep_products() -> list[Case]:
    """Odd sizes, tall, wide and flat, each of the four transposes in turn; drawn once, the same each run."""
    rng = np.random.default_rng(60)
    cases = []
    for number in range(_SWEEP_SHAPES):
        m, k, n = (int(size) for size in np.exp(rng.uniform(np.log(4), np.log(1000), 3)))
        problem = Matmul(m, k, n, transpose_a=bool(number & 1), transpose_b=bool(number & 2))
        cases.append(Case(f"matmul-sweep/{number:02}/{_name(problem)}", problem))
    return cases


CASES: tuple[Case, ...] = (
    *_products(),
    *_float64_products(),
    *_sweep_products(),
    *(Case(f"linear-relu/{m}x{k}x{n}", LinearReLU(m, k, n)) for m, k, n, options in _PRODUCTS if not options),
    *(
        Case(f"linear-backward/{m}x{k}x{n}", LinearBackward(m, k, n))
        for m, k, n, options in _PRODUCTS
        if not options
    ),
    *(
        Case(f"elementwise/{function}/{size}", Elementwise(function, size), function in _QUICK_ELEMENTWISE)
        for function in _ELEMENTWISE
        for size in _ELEMENT_COUNTS
    ),
    *(
        Case(f"softmax/{function}/{rows}x{columns}", Softmax(function, rows, columns), quick=columns == 10)
        for function in ("softmax", "log_softmax")
        for rows, columns in ((128, 10), (60000, 10), (1000, 1000))
    ),
    *(Case(f"log-loss/binary/{rows}", LogLoss(rows), quick=True) for rows in _ELEMENT_COUNTS),
    *(Case(f"log-loss/10-classes/{rows}", LogLoss(rows, 10), quick=True) for rows in (128, 100_000)),
)
