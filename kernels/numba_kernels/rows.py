"""What softmax and the losses do to the rows of a matrix.

Most networks have few classes, so most rows are short. Rows are worked on in blocks, so that what is done to
every element is one long loop over the block; a row wider than a block is worked on in pieces. Either way a
block is a range of adjacent elements, and its copies on the stack stay in L1.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels import vector_math
from fastnn.kernels.numba_kernels.memory import inlined, like, offset
from fastnn.kernels.numba_kernels.reductions import row_max, row_sum

# Elements of a block.
BLOCK = 512


@inlined
def block_rows(columns):
    """Rows of a block: as many as fit, at least one."""
    return max(1, BLOCK // max(1, columns))


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
def exp_block(x, top, e, rows, width):
    """e[i, j] = e^(x[i, j] − top[i]), of a block (rows, width)."""
    for i in range(rows):
        for k in range(i * width, (i + 1) * width):
            e[k] = x[k] - top[i]
    for k in range(rows * width):
        e[k] = vector_math.exp(e[k])


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
