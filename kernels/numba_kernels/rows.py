"""What softmax and the losses do to the rows of a matrix.

Most networks have few classes, so most rows are short. Rows are worked on in blocks, so that what is done to
every element is one long loop over the block; a row wider than a block is worked on in pieces. Either way a
block is a range of adjacent elements, and its copies on the stack stay in L1.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.memory import inlined, offset
from fastnn.kernels.numba_kernels.reductions import row_sum

# Elements of a block.
BLOCK = 1024


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
