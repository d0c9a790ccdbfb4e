"""Softmax over the rows of (rows, columns); the threads divide the rows. All may be done in place."""

from __future__ import annotations

from fastnn.kernels.numba_kernels import vector_math
from fastnn.kernels.numba_kernels.exp_rows import (
    BLOCK_ROWS,
    SCRATCH,
    TOPS,
    exp_block_rows,
    exp_rows,
    fill,
    first_top,
    scale_rows,
    turned_or,
    whole_lanes,
)
from fastnn.kernels.numba_kernels.memory import like, null, offset, share, stack
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.rows import BLOCK, add_row_sums, block_rows
from fastnn.kernels.numba_kernels.turned_rows import SHORT_ROW
from fastnn.kernels.numba_kernels.wide_rows import softmax_backward_wide

_GRAIN = 16


@kernel
def softmax(t, n, s, thread, threads):
    """y[i, j] = e^x[i, j] / Σ_j e^x[i, j], the row's maximum taken off x first."""
    columns = n[1]
    step = exp_block_rows(columns)
    top, total, zeros = stack(t[0], TOPS), stack(t[0], BLOCK_ROWS), stack(t[0], BLOCK_ROWS)
    turned, turned_e = stack(t[0], SCRATCH), stack(t[0], SCRATCH)
    begin, end = share(n[0], _GRAIN, thread, threads)
    fill(zeros, 0)
    first_top(offset(t[0], begin * columns), end - begin, columns, top)
    for i in range(begin, end, step):
        count = min(step, end - i)
        x, y = offset(t[0], i * columns), offset(t[1], i * columns)
        e = turned_or(y, columns, turned_e)
        exp_rows(x, count, columns, i + count == end, turned, e, top, total)
        for k in range(whole_lanes(count)):
            total[k] = like(total[k], 1) / total[k]
        scale_rows(e, count, columns, zeros, total, zeros, y)
        top[0] = top[count]


@kernel
def softmax_backward(t, n, s, thread, threads):
    """dx[i, j] = y[i, j] (dy[i, j] − Σ_j dy[i, j] y[i, j]), y the output of softmax."""
    columns = n[1]
    begin, end = share(n[0], _GRAIN, thread, threads)
    if columns > SHORT_ROW:
        first = begin * columns
        dy, y, dx = offset(t[0], first), offset(t[1], first), offset(t[2], first)
        softmax_backward_wide(dy, y, end - begin, columns, dx)
        return
    step = block_rows(columns)
    block, dot = stack(t[0], BLOCK), stack(t[0], BLOCK)
    for i in range(begin, end, step):
        count, first = min(step, end - i), i * columns
        dy, y, dx = offset(t[0], first), offset(t[1], first), offset(t[2], first)
        for k in range(count * columns):
            block[k] = dy[k] * y[k]
        for k in range(count):
            dot[k] = like(dot[k], 0)
        add_row_sums(block, dot, count, columns)
        for row in range(count):
            for k in range(row * columns, (row + 1) * columns):
                block[k] = y[k] * (dy[k] - dot[row])
        for k in range(count * columns):
            dx[k] = block[k]


@kernel
def log_softmax(t, n, s, thread, threads):
    """y[i, j] = x[i, j] − log Σ_j e^x[i, j], the row's maximum taken off x first."""
    columns = n[1]
    step = exp_block_rows(columns)
    top, total, ones = stack(t[0], TOPS), stack(t[0], BLOCK_ROWS), stack(t[0], BLOCK_ROWS)
    turned, turned_e = stack(t[0], SCRATCH), stack(t[0], SCRATCH)
    begin, end = share(n[0], _GRAIN, thread, threads)
    fill(ones, 1)
    first_top(offset(t[0], begin * columns), end - begin, columns, top)
    for i in range(begin, end, step):
        count = min(step, end - i)
        x, y = offset(t[0], i * columns), offset(t[1], i * columns)
        e = turned_or(null(y), columns, turned_e)
        exp_rows(x, count, columns, i + count == end, turned, e, top, total)
        for k in range(whole_lanes(count)):
            total[k] = -vector_math.log(total[k])
        scale_rows(turned_or(x, columns, turned), count, columns, top, ones, total, y)
        top[0] = top[count]
