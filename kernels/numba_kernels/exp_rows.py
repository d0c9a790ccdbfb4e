"""The exponentials of a matrix's rows, for softmax and the log loss of classes: blocks of rows in scratch.

A block of short rows is turned (turned_rows.py). Longer rows lie there as they are, so many that their
exponentials are one long loop.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels import vector_math
from fastnn.kernels.numba_kernels.memory import inlined, offset, stack
from fastnn.kernels.numba_kernels.reductions import row_max_number, row_sum
from fastnn.kernels.numba_kernels.tile import vector_lanes
from fastnn.kernels.numba_kernels.turned_rows import (
    SHORT_ROW,
    exp_turned,
    load_turned,
    scale_turned,
    store_turned,
)

# Rows of a block, and elements, unless it is one longer row.
BLOCK_ROWS, BLOCK_SIZE = 64, 2048
# Of e and centred, beside each other.
SCRATCH = 2 * BLOCK_SIZE
_TILE = SHORT_ROW * 16
# From so many columns on a row is a loop of its own: its last elements, no whole vector, hardly count.
_LONG_ROW = 512


@inlined
def exp_block_rows(columns):
    """Rows of a block."""
    return BLOCK_ROWS if columns <= SHORT_ROW else max(1, BLOCK_SIZE // columns)


@inlined
def whole_lanes(rows):
    """Rounded up: what is done to the values of a block's rows is done to whole vectors."""
    return (rows + 15) // 16 * 16


@inlined
def exp_rows(x, rows, columns, centred, e, top, total):
    """top[i] = max_j x[i, j], centred[i, j] = x[i, j] − top[i], e = e^centred and total[i] = Σ_j e[i, j].

    Of a block's rows. Short rows are turned in centred and e.
    """
    lanes = vector_lanes(x)
    if columns <= SHORT_ROW:
        for i in range(0, rows, lanes):
            tile = offset(centred, i * columns)
            load_turned(offset(x, i * columns), min(lanes, rows - i), columns, tile)
        for i in range(0, rows, lanes):
            tile = offset(centred, i * columns)
            exp_turned(tile, offset(e, i * columns), columns, offset(top, i), offset(total, i))
    else:
        for i in range(rows):
            top[i] = row_max_number(offset(x, i * columns), columns)
        if columns >= _LONG_ROW:
            for i in range(rows):
                for k in range(i * columns, (i + 1) * columns):
                    x_k = x[k] - top[i]
                    centred[k] = x_k
                    e[k] = vector_math.exp(x_k)
        else:
            for i in range(rows):
                for k in range(i * columns, (i + 1) * columns):
                    centred[k] = x[k] - top[i]
            for k in range(rows * columns):
                e[k] = vector_math.exp(centred[k])
        for i in range(rows):
            total[i] = row_sum(offset(e, i * columns), columns)


@inlined
def scale_rows(e, rows, columns, factor, addend, y):
    """y[i, j] = factor[i] e[i, j] + addend[i], where e is a block that exp_rows gave."""
    lanes = vector_lanes(y)
    if columns <= SHORT_ROW:
        tile = stack(y, _TILE)
        for i in range(0, rows, lanes):
            scale_turned(offset(e, i * columns), tile, columns, offset(factor, i), offset(addend, i))
            store_turned(tile, offset(y, i * columns), min(lanes, rows - i), columns)
    else:
        for i in range(rows):
            for k in range(i * columns, (i + 1) * columns):
                y[k] = factor[i] * e[k] + addend[i]
