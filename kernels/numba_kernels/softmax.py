"""Softmax over the rows of (rows, columns); the threads divide the rows. All may be done in place."""

from __future__ import annotations

from fastnn.kernels.numba_kernels import vector_math
from fastnn.kernels.numba_kernels.exp_rows import (
    BLOCK_ROWS,
    BLOCK_SIZE,
    SCRATCH,
    exp_block_rows,
    exp_rows,
    scale_rows,
    whole_lanes,
)
from fastnn.kernels.numba_kernels.memory import free, heap, like, offset, share, stack
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.rows import BLOCK, add_row_sums, block_rows

_GRAIN = 16


@kernel
def softmax(t, n, s, thread, threads):
    """y[i, j] = e^x[i, j] / Σ_j e^x[i, j], the row's maximum taken off x first."""
    columns = n[1]
    step = exp_block_rows(columns)
    top, total, zeros = stack(t[0], BLOCK_ROWS), stack(t[0], BLOCK_ROWS), stack(t[0], BLOCK_ROWS)
    e = heap(t[0], 2 * columns) if columns > BLOCK_SIZE else stack(t[0], SCRATCH)
    centred = offset(e, max(columns, BLOCK_SIZE))
    begin, end = share(n[0], _GRAIN, thread, threads)
    for k in range(BLOCK_ROWS):
        zeros[k] = like(zeros[0], 0)
    for i in range(begin, end, step):
        count = min(step, end - i)
        exp_rows(offset(t[0], i * columns), count, columns, centred, e, top, total)
        for k in range(whole_lanes(count)):
            total[k] = like(total[k], 1) / total[k]
        scale_rows(e, count, columns, total, zeros, offset(t[1], i * columns))
    if columns > BLOCK_SIZE:
        free(e)


@kernel
def softmax_backward(t, n, s, thread, threads):
    """dx[i, j] = y[i, j] (dy[i, j] − Σ_j dy[i, j] y[i, j]), y the output of softmax."""
    columns = n[1]
    step = block_rows(columns)
    block, dot = stack(t[0], BLOCK), stack(t[0], BLOCK)
    begin, end = share(n[0], _GRAIN, thread, threads)
    for i in range(begin, end, step):
        count = min(step, end - i)
        for k in range(count):
            dot[k] = like(dot[k], 0)
        for j in range(0, columns, BLOCK):
            width = min(BLOCK, columns - j)
            dy, y = offset(t[0], i * columns + j), offset(t[1], i * columns + j)
            for k in range(count * width):
                block[k] = dy[k] * y[k]
            add_row_sums(block, dot, count, width)
        for j in range(0, columns, BLOCK):
            width = min(BLOCK, columns - j)
            first = i * columns + j
            dy, y, dx = offset(t[0], first), offset(t[1], first), offset(t[2], first)
            for row in range(count):
                for k in range(row * width, (row + 1) * width):
                    block[k] = y[k] * (dy[k] - dot[row])
            for k in range(count * width):
                dx[k] = block[k]


@kernel
def log_softmax(t, n, s, thread, threads):
    """y[i, j] = x[i, j] − log Σ_j e^x[i, j], the row's maximum taken off x first."""
    columns = n[1]
    step = exp_block_rows(columns)
    top, total, ones = stack(t[0], BLOCK_ROWS), stack(t[0], BLOCK_ROWS), stack(t[0], BLOCK_ROWS)
    e = heap(t[0], 2 * columns) if columns > BLOCK_SIZE else stack(t[0], SCRATCH)
    centred = offset(e, max(columns, BLOCK_SIZE))
    begin, end = share(n[0], _GRAIN, thread, threads)
    for k in range(BLOCK_ROWS):
        ones[k] = like(ones[0], 1)
    for i in range(begin, end, step):
        count = min(step, end - i)
        exp_rows(offset(t[0], i * columns), count, columns, centred, e, top, total)
        for k in range(whole_lanes(count)):
            total[k] = -vector_math.log(total[k])
        scale_rows(centred, count, columns, ones, total, offset(t[1], i * columns))
    if columns > BLOCK_SIZE:
        free(e)
