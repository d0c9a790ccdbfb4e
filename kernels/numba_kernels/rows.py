"""What softmax and the losses do to the rows of a matrix.

Most networks have few classes, so most rows are short. Rows are worked on in blocks, so that what is done to
every element is one long loop over the block; a row wider than a block is worked on in pieces. Either way a
block is a range of adjacent elements, and its copies on the stack stay in L1.
"""

from __future__ import annotations

import math

from fastnn.kernels.numba_kernels import vector_math
from fastnn.kernels.numba_kernels.memory import inlined, like, offset, stack

# Elements of a block.
BLOCK = 512
# Partial results of a row: the order of a sum depends on the row's length alone.
_LANES = 16


@inlined
def block_rows(columns):
    """Rows of a block: as many as fit, at least one."""
    return max(1, BLOCK // max(1, columns))


@inlined
def row_max(x, columns):
    """The maximum of a row, −∞ if it is empty. A NaN may be passed over."""
    lanes = stack(x, _LANES)
    top = like(x[0], -math.inf)
    whole = columns - columns % _LANES
    if whole > 0:
        for k in range(_LANES):
            lanes[k] = x[k]
        for j in range(_LANES, whole, _LANES):
            for k in range(_LANES):
                lanes[k] = x[j + k] if x[j + k] > lanes[k] else lanes[k]
        for k in range(_LANES):
            top = lanes[k] if lanes[k] > top else top
    for j in range(whole, columns):
        top = x[j] if x[j] > top else top
    return top


@inlined
def row_sum(x, columns):
    """Σ of a row: 16 partial sums, then the last elements."""
    lanes = stack(x, _LANES)
    total = like(x[0], 0)
    whole = columns - columns % _LANES
    if whole > 0:
        for k in range(_LANES):
            lanes[k] = x[k]
        for j in range(_LANES, whole, _LANES):
            for k in range(_LANES):
                lanes[k] += x[j + k]
        for k in range(_LANES):
            total += lanes[k]
    for j in range(whole, columns):
        total += x[j]
    return total


@inlined
def add_row_sums(x, total, rows, width):
    """total[i] += Σ_j x[i, j], of a block (rows, width)."""
    if width == 1:
        for i in range(rows):
            total[i] += x[i]
    else:
        for i in range(rows):
            total[i] += row_sum(offset(x, i * width), width)


@inlined
def subtract_of_row(x, value, y, rows, width):
    """y[i, j] = x[i, j] − value[i], of a block (rows, width)."""
    for i in range(rows):
        for j in range(width):
            y[i * width + j] = x[i * width + j] - value[i]


@inlined
def exp_block(x, top, e, rows, width):
    """e[i, j] = e^(x[i, j] − top[i]), of a block (rows, width)."""
    subtract_of_row(x, top, e, rows, width)
    for i in range(rows * width):
        e[i] = vector_math.exp(e[i])


@inlined
def exp_rows(x, top, total, e, rows, columns):
    """top[i] = max_j x[i, j] and total[i] = Σ_j e^(x[i, j] − top[i]), of a block's rows.

    e holds the exponentials of the block afterwards, or of the last piece of a row wider than that.
    """
    for i in range(rows):
        top[i] = row_max(offset(x, i * columns), columns)
        total[i] = like(top[i], 0)
    for j in range(0, columns, BLOCK):
        width = min(BLOCK, columns - j)
        exp_block(offset(x, j), top, e, rows, width)
        add_row_sums(e, total, rows, width)


@inlined
def scale_row(x, factor, y, columns):
    """y[j] = factor x[j]."""
    for j in range(columns):
        y[j] = factor * x[j]
