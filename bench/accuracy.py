"""`python -m bench accuracy`: how far each backend's results are from the exact ones.

Functions of one number are scanned over all bit patterns of float32 (every STRIDE-th: 1 for all of them) and
compared with float64, in units of the last place (ULP) of the exact result. exp has no function of its own:
softmax of the row (0, x) holds e^x exactly rounded as exp gave it, as long as 1 + e^x rounds to 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np

import fastnn as fn

F = fn.functional

_CHUNK = 1 << 22
_LARGEST_EXP = -17.5  # 1 + e^x is 1 in float32 below it
_PRODUCTS = ((64, 64, 64), (33, 1000, 17), (5, 4096, 3), (257, 129, 255))


def _exp(x: np.ndarray) -> np.ndarray:
    rows = np.zeros((x.size, 2), np.float32)
    rows[:, 1] = x
    return F.softmax(rows)[:, 1]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^−x), in the form that doesn't lose its digits for negative x."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


# name → the function, the exact one in float64, the largest x of the scan, the goal in ULP
SCANS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray], float, float]] = {
    "exp": (_exp, np.exp, _LARGEST_EXP, 2),
    "sigmoid": (F.sigmoid, _sigmoid, np.inf, 3),
    "tanh": (F.tanh, np.tanh, np.inf, 2),
}


def ulp_errors(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|got − exact| in ULP of the exact value as float32: 2^−149 below the smallest normal number.

    NaN is right where NaN is wanted, infinity where the exact value rounds to it; else they are wrong by ∞.
    """
    _, exponent = np.frexp(exact)
    ulp = np.ldexp(1.0, np.where(exact == 0, -149, np.maximum(exponent - 24, -149)))
    errors = np.abs(got.astype(np.float64) - exact) / ulp
    wanted = exact.astype(np.float32)
    errors[~np.isfinite(errors)] = np.inf
    errors[(got == wanted) & np.isinf(got) | np.isnan(got) & np.isnan(wanted)] = 0
    return errors


def _bit_patterns(stride: int) -> Iterator[np.ndarray]:
    """float32's values by their bit patterns, in chunks."""
    for start in range(0, 1 << 32, _CHUNK * stride):
        bits = np.arange(start, min(start + _CHUNK * stride, 1 << 32), stride, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


def scan(name: str, stride: int) -> tuple[float, float, int]:
    """The largest error in ULP, the x at which it is, and how many x were tried."""
    function, exact, largest_x, _ = SCANS[name]
    worst, place, count = 0.0, float("nan"), 0
    for x in _bit_patterns(stride):
        x = x if largest_x == np.inf else x[x <= largest_x]
        if not x.size:
            continue
        with np.errstate(all="ignore"):
            errors = ulp_errors(function(x), exact(x.astype(np.float64)))
        count += x.size
        if errors.max() > worst:
            worst, place = float(errors.max()), float(x[errors.argmax()])
    return worst, place, count


def softmax_error() -> float:
    """The largest absolute error of a probability, over rows of 2 to 1000 logits of all scales."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for columns in (2, 3, 10, 100, 1000):
        for scale in (1e-3, 1, 10, 100):
            x = (scale * rng.standard_normal((200, columns))).astype(np.float32)
            e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
            exact = e / e.sum(axis=1, keepdims=True)
            worst = max(worst, float(np.abs(F.softmax(x) - exact).max()))
    return worst


def matmul_error(dtype: str) -> float:
    """The largest |c − a b| / (K u |a| |b|), element by element: 1 is the bound of any order of summing."""
    rng = np.random.default_rng(0)
    unit_roundoff = float(np.finfo(dtype).eps) / 2
    exact_dtype = np.float64 if dtype == "float32" else np.longdouble
    worst = 0.0
    for m, k, n in _PRODUCTS:
        a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n)))
        exact = a.astype(exact_dtype) @ b.astype(exact_dtype)
        bound = k * unit_roundoff * (np.abs(a).astype(exact_dtype) @ np.abs(b).astype(exact_dtype))
        worst = max(worst, float((np.abs(F.matmul(a, b) - exact) / bound).max()))
    return worst


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench accuracy", description=__doc__)
    parser.add_argument("--stride", type=int, default=4099, help="1 scans all 2^32 (default: %(default)s)")
    parser.add_argument("--backends", default="cython,numba", metavar="NAME,…")
    options = parser.parse_args(arguments)
    for backend in options.backends.split(","):
        try:
            fn.set_backend(backend)
        except ImportError as error:
            print(f"{backend}: absent: {error}")
            continue
        print(f"{backend}, {fn.info()}")
        for name, (_, _, _, goal) in SCANS.items():
            worst, place, count = scan(name, options.stride)
            print(f"  {name:<8} {worst:.3f} ULP at {place:.9g}, of {count:,} numbers (goal: {goal})")
        print(f"  softmax  {softmax_error():.2e} absolute (goal: 5e-7)")
        for dtype in ("float32", "float64"):
            print(f"  matmul   {matmul_error(dtype):.3f} of K·u·|A||B|, {dtype} (goal: 1)")
