"""Convolution and pooling kernels: layers of LeNet-5, of small image networks and of ResNet."""

from __future__ import annotations

from bench.case import Case
from bench.problems.convolution import Conv2D, Conv2DBackward, MaxPool2D

# n, c, h = w, filters, kernel, stride, padding
_SHAPES = (
    (64, 1, 28, 6, 5, 1, 0),
    (64, 6, 12, 16, 5, 1, 0),
    (64, 1, 28, 32, 3, 1, 1),
    (64, 32, 14, 64, 3, 1, 1),
    (32, 3, 32, 16, 3, 1, 1),
    (8, 64, 56, 64, 3, 1, 1),
    (8, 128, 28, 128, 3, 1, 1),
    (8, 128, 56, 128, 3, 2, 1),
    (1, 3, 224, 64, 7, 2, 3),
)
_QUICK_SHAPES = _SHAPES[:5]
_DEPTHWISE = (8, 64, 56, 64, 3, 1, 1, 64)
_POINTWISE = (8, 64, 56, 64, 1, 1, 0)
_POOLED = ((64, 32, 28), (64, 6, 24))


def _name(problem: Conv2D) -> str:
    groups = f",groups={problem.groups}" if problem.groups > 1 else ""
    return (
        f"{problem.n}x{problem.c}x{problem.h}x{problem.h}/{problem.filters}@{problem.kernel}"
        f",stride={problem.stride},padding={problem.padding}{groups}"
    )


def _cases(group: str, kind: type[Conv2D]) -> list[Case]:
    shapes = (*_SHAPES, _POINTWISE, _DEPTHWISE)
    return [Case(f"{group}/{_name(kind(*shape))}", kind(*shape), shape in _QUICK_SHAPES) for shape in shapes]


CASES: tuple[Case, ...] = (
    *_cases("conv2d", Conv2D),
    *_cases("conv2d-backward", Conv2DBackward),
    *(Case(f"max-pool2d/{n}x{c}x{h}x{h}", MaxPool2D(n, c, h)) for n, c, h in _POOLED),
    *(Case(f"max-pool2d/{n}x{c}x{h}x{h}/backward", MaxPool2D(n, c, h, backward=True)) for n, c, h in _POOLED),
)
