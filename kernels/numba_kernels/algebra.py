"""Matrix products: every kernel is a thin name over one product, which matmul.h describes.

Every element of c is one chain of multiply-adds over k in ascending order, begun at the bias or at zero.
Blocks of k continue the chain from c, and threads and tiles only divide c. So an element has the same bits
whatever the tile, the block, the number of threads or the other rows of its batch. (Products of few columns
have one chain for each lane of a vector: dots.py.)
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.dots import DOT_MAX_COLUMNS, DOT_MAX_K, DOT_MIN_K, dots
from fastnn.kernels.numba_kernels.memory import free, heap, helper, is_null, like, null, offset, share, stack
from fastnn.kernels.numba_kernels.packing import pack_panel
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.tile import TILE_ROWS, element_bytes, tile, tile_columns, wide_columns
from fastnn.kernels.numba_kernels.vector_ir import VECTOR_BYTES

# A panel of a packed b, tile_columns wide, that fits the stack and half of a 32 KiB L1.
PANEL_K = 128
PANEL_SIZE = PANEL_K * 32
# Blocks of a packed b: the whole block stays in half of a 1 MiB L2, a panel of it in L1.
_BLOCK_K = 256
_BLOCK_COLUMNS = 256
# An a of so few bytes meets one panel of b after the other, in blocks of PANEL_K, which never leave L1.
_PANELS_MAX_A_BYTES = 128 * 1024
# A b with adjacent columns is read from where it lies where packing, a write and a read of b, wouldn't pay:
# with few rows; where b lies in L1; or, if a panel's row is whole cache lines, where a, which every panel
# goes over, is within reach.
_PACK_MIN_ROWS = (5 if VECTOR_BYTES == 64 else 3) * TILE_ROWS
_PACK_MIN_BYTES = 8192
_PACK_MIN_A_BYTES = 1536 * 1024 if VECTOR_BYTES == 64 else 0
_PACK_MIN_K = 2048


@helper
def _shift(matrix, i, j):
    """The matrix (pointer, row stride) from row i and column j on; null stays null."""
    pointer, row = matrix
    return (pointer if is_null(pointer) else offset(pointer, i * row + j)), row


@helper
def _multiply_in_place(m, n, k, a, b, b_row, c, start, mask, relu):
    """b read where it lies: all of k in one pass, panel after panel. One or two rows take wide panels."""
    j = 0
    wide = wide_columns(b)
    if m <= 2:
        while j + wide <= n:
            panel = offset(b, j), b_row
            tile(m, wide, k, a, panel, _shift(c, 0, j), _shift(start, 0, j), _shift(mask, 0, j), relu)
            j += wide
    while j < n:
        columns = min(tile_columns(b), n - j)
        panel = offset(b, j), b_row
        tile(m, columns, k, a, panel, _shift(c, 0, j), _shift(start, 0, j), _shift(mask, 0, j), relu)
        j += columns


@helper
def _multiply_packed(m, n, k, a, b, b_row, b_column, c, start, mask, relu):
    """b packed block by block, so that the tile reads it in one run however far apart its rows lie."""
    width = tile_columns(b)
    pointer, a_row, a_column = a
    if m * k * element_bytes(b) <= _PANELS_MAX_A_BYTES:
        block_rows, block_columns, block_depth = m, width, PANEL_K
    else:
        block_rows, block_columns, block_depth = TILE_ROWS, _BLOCK_COLUMNS, _BLOCK_K
    block_columns, block_depth = min(block_columns, (n + width - 1) // width * width), min(block_depth, k)
    is_small = block_columns * block_depth <= PANEL_SIZE
    packed = stack(b, PANEL_SIZE) if is_small else heap(b, block_columns * block_depth)
    for first in range(0, n, block_columns):
        columns = min(block_columns, n - first)
        c_block = _shift(c, 0, first)
        for p in range(0, k, block_depth):
            depth = min(block_depth, k - p)
            for j in range(0, columns, width):
                b_panel = offset(b, p * b_row + (first + j) * b_column)
                pack_panel(
                    depth, min(width, columns - j), b_panel, b_row, b_column, offset(packed, j * depth)
                )
            # The blocks after the first continue from c; the last alone has the epilogue.
            is_last = p + depth == k
            start_block = c_block if p > 0 else _shift(start, 0, first)
            mask_block = _shift(mask, 0, first) if is_last else (null(b), 0)
            for i in range(0, m, block_rows):
                rows = min(block_rows, m - i)
                a_tile = offset(pointer, i * a_row + p * a_column), a_row, a_column
                for j in range(0, columns, width):
                    panel = offset(packed, j * depth), width
                    tile(
                        rows, min(width, columns - j), depth, a_tile, panel, _shift(c_block, i, j),
                        _shift(start_block, i, j), _shift(mask_block, i, j), relu and is_last,
                    )  # fmt: skip
    if not is_small:
        free(packed)


@helper
def _multiply_dots(m, n, k, a, a_row, b, b_row, b_column, c, start, mask, relu):
    """Few columns, of b made contiguous."""
    if b_row == 1:
        dots(m, n, k, a, a_row, b, b_column, c, start, mask, relu)
        return
    is_small = n * k <= PANEL_SIZE
    columns = stack(b, PANEL_SIZE) if is_small else heap(b, n * k)
    for p in range(k):
        for j in range(n):
            columns[j * k + p] = b[p * b_row + j]
    dots(m, n, k, a, a_row, columns, k, c, start, mask, relu)
    if not is_small:
        free(columns)


@helper
def product(m, n, k, a, b, c, bias, mask, relu, thread, threads):
    """c (m, n) = relu?(bias (n,) + a (m, k) b (k, n)) · 1[mask (m, n) > 0]?; absent operands are null.

    a and b are (pointer, row stride, column stride). The threads divide the rows or the columns, whichever
    have more tiles.
    """
    width = tile_columns(c)
    a_pointer, a_row, a_column = a
    b_pointer, b_row, b_column = b
    c_row, row_end, column, column_end = n, m, 0, n
    row = 0
    if (n + width - 1) // width >= min(2 * threads, (m + TILE_ROWS - 1) // TILE_ROWS + 1):
        column, column_end = share(n, width, thread, threads)
    else:
        row, row_end = share(m, TILE_ROWS, thread, threads)
    rows, columns = row_end - row, column_end - column
    if rows <= 0 or columns <= 0:
        return
    a_part = offset(a_pointer, row * a_row), a_row, a_column
    b_part = offset(b_pointer, column * b_column)
    c_part = _shift((c, c_row), row, column)
    start = _shift((bias, 0), row, column)
    mask_part = _shift((mask, c_row), row, column)
    # Chosen by the shape of b, and by how a lies: a row has the same bits in any batch.
    if 1 <= n <= DOT_MAX_COLUMNS and DOT_MIN_K <= k <= DOT_MAX_K and a_column == 1:
        _multiply_dots(
            rows, n, k, a_part[0], a_row, b_pointer, b_row, b_column, c_part[0], bias, mask_part[0], relu
        )
        return
    is_near = rows * k * element_bytes(c) <= _PACK_MIN_A_BYTES and k <= _PACK_MIN_K
    is_tiny = k * columns * element_bytes(c) <= _PACK_MIN_BYTES
    if k == 0 or (b_column == 1 and (rows < _PACK_MIN_ROWS or is_tiny or is_near)):
        _multiply_in_place(rows, columns, k, a_part, b_part, b_row, c_part, start, mask_part, relu)
    else:
        _multiply_packed(rows, columns, k, a_part, b_part, b_row, b_column, c_part, start, mask_part, relu)


@kernel
def matmul(t, n, s, thread, threads):
    """c (m, n) = a (m, k) b (k, n), with any strides of a; one of b's strides is 1."""
    a, b, none = (t[0], n[3], n[4]), (t[1], n[5], n[6]), null(t[0])
    product(n[0], n[1], n[2], a, b, t[2], none, none, False, thread, threads)


@kernel
def linear(t, n, s, thread, threads):
    """y (m, n) = x (m, k) weight (k, n) + bias (n,); max(y, 0) if relu."""
    m, k, columns = n[0], n[1], n[2]
    x, weight = (t[0], k, 1), (t[1], columns, 1)
    product(m, columns, k, x, weight, t[3], t[2], null(t[0]), n[3] != 0, thread, threads)


@kernel
def linear_backward_input(t, n, s, thread, threads):
    """dx (m, k) = dy (m, n) weight (k, n)ᵀ, times 1[mask > 0] (m, k)."""
    m, k, columns = n[0], n[1], n[2]
    dy, weight = (t[0], columns, 1), (t[1], 1, columns)
    product(m, k, columns, dy, weight, t[3], null(t[0]), t[2], False, thread, threads)


@kernel
def linear_backward_weight(t, n, s, thread, threads):
    """dweight (k, n) = x (m, k)ᵀ dy (m, n); dbias (n,) = Σ over rows of dy."""
    m, k, columns = n[0], n[1], n[2]
    dy, dbias, none = (t[1], columns, 1), t[3], null(t[0])
    rows, width, a, b = k, columns, (t[0], 1, k), dy
    if columns == 1:
        # Of one column a vector would hold one element; the transposed product has it as a row.
        rows, width, a, b = 1, k, dy, (t[0], k, 1)
    product(rows, width, m, a, b, t[2], none, none, False, thread, threads)
    if not is_null(dbias):
        one = stack(t[0], 1)
        one[0] = like(one[0], 1)
        product(1, columns, m, (one, 0, 0), dy, dbias, none, none, False, thread, threads)
