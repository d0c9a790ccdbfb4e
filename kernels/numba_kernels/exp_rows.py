"""The exponentials of a matrix's rows, for softmax and the log loss of classes: block after block of rows.

A block of short rows is turned in scratch (turned_rows.py); longer rows stay where they are (wide_rows.py).
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.memory import inlined, like, offset, stack
from fastnn.kernels.numba_kernels.reductions import row_max_number
from fastnn.kernels.numba_kernels.tile import vector_lanes
from fastnn.kernels.numba_kernels.turned_rows import (
    SHORT_ROW,
    exp_turned,
    load_turned,
    scale_turned,
    store_turned,
)
from fastnn.kernels.numba_kernels.wide_rows import exp_wide, scale_wide

# Rows of a block, and elements, unless it is one longer row.
BLOCK_ROWS, _BLOCK_SIZE = 64, 2048
# The rows' maxima, and the next one's.
TOPS = BLOCK_ROWS + 1
# A block of the longest rows that are turned.
SCRATCH = BLOCK_ROWS * SHORT_ROW
_TILE = SHORT_ROW * 16


@inlined
def exp_block_rows(columns):
    """Rows of a block."""
    return BLOCK_ROWS if columns <= SHORT_ROW else max(1, _BLOCK_SIZE // columns)


@inlined
def whole_lanes(rows):
    """Rounded up: what is done to the values of a block's rows is done to whole vectors."""
    return (rows + 15) // 16 * 16


@inlined
def turned_or(block, columns, scratch):
    """Where a block of rows is: in the scratch, if it is turned."""
    return scratch if columns <= SHORT_ROW else block


@inlined
def first_top(x, rows, columns, top):
    """top[0] = the first row's maximum, which exp_rows needs."""
    if rows > 0 and columns > SHORT_ROW:
        top[0] = row_max_number(x, columns)


@inlined
def exp_rows(x, rows, columns, is_last, turned, e, top, total):
    """top[i] = max_j x[i, j], e[i, j] = e^(x[i, j] − top[i]) and total[i] = Σ_j e[i, j], of a block's rows.

    Short rows are turned to `turned` and e. Of longer ones e may be x or null, top[0] is given, and top[rows]
    becomes the maximum of the next block's first row, if this block isn't the last.
    """
    lanes = vector_lanes(x)
    if columns <= SHORT_ROW:
        for i in range(0, rows, lanes):
            tile = offset(turned, i * columns)
            load_turned(offset(x, i * columns), min(lanes, rows - i), columns, tile)
        # After all loads: a tile alone would wait for the results of each step.
        for i in range(0, rows, lanes):
            tile = offset(turned, i * columns)
            exp_turned(tile, offset(e, i * columns), columns, offset(top, i), offset(total, i))
    else:
        exp_wide(x, rows, columns, is_last, e, top, total)


@inlined
def scale_rows(x, rows, columns, subtrahend, factor, addend, y):
    """y[i, j] = factor[i] (x[i, j] − subtrahend[i]) + addend[i], where x is a block as exp_rows leaves it."""
    lanes = vector_lanes(y)
    if columns <= SHORT_ROW:
        tile = stack(y, _TILE)
        for i in range(0, rows, lanes):
            source = offset(x, i * columns)
            scale_turned(source, tile, columns, offset(subtrahend, i), offset(factor, i), offset(addend, i))
            store_turned(tile, offset(y, i * columns), min(lanes, rows - i), columns)
    else:
        scale_wide(x, rows, columns, subtrahend, factor, addend, y)


@inlined
def fill(x, value):
    """x[i] = value, of the values of a block's rows."""
    for i in range(BLOCK_ROWS):
        x[i] = like(x[0], value)
