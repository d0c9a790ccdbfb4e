"""Losses and their gradients: `loss` holds one value a row. The threads divide the rows.

Rows are worked on in blocks, which rows.py describes.
"""

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
from fastnn.kernels.numba_kernels.memory import (
    as_int64,
    inlined,
    is_null,
    like,
    null,
    offset,
    share,
    stack,
)
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.rows import BLOCK, add_row_sums, block_rows

_GRAIN = 16


@inlined
def _fill(x, value, count):
    for k in range(count):
        x[k] = value


@inlined
def _from(output, first, spare):
    """The output from element `first` on; where it is absent, the spare memory."""
    return spare if is_null(output) else offset(output, first)


@inlined
def _weighted_means(total, weight, loss, first, count, columns):
    """loss[first + i] = weight[first + i] total[i] / columns; no weight is 1."""
    factor = like(total[0], 1) / like(total[0], columns)
    if is_null(weight):
        for i in range(count):
            loss[first + i] = factor * total[i]
    else:
        for i in range(count):
            loss[first + i] = weight[first + i] * (factor * total[i])


@inlined
def _spread_weights(weight, scale, factor, count, width):
    """factor[i, j] = scale weight[i], of a block (count, width)."""
    if width == 1:
        for i in range(count):
            factor[i] = scale * weight[i]
    else:
        for i in range(count):
            _fill(offset(factor, i * width), scale * weight[i], width)


# --- binary: p, z, y, a, dp, dz (rows, columns); y in [0, 1]
# --------------------------------------------------


@inlined
def _binary_term(p, y):
    zero, one = like(p, 0), like(p, 1)
    log_p, log_rest = vector_math.log(p), vector_math.log1p(-p)  # here, in no branch, for the vectorizer
    return (zero if y == zero else -y * log_p) - (zero if y == one else (one - y) * log_rest)


@kernel
def log_loss_binary(t, n, s, thread, threads):
    """loss[i] = mean over j of −y log p − (1 − y) log(1 − p), with 0 log 0 = 0."""
    columns = n[1]
    step = block_rows(columns)
    terms, total = stack(t[0], BLOCK), stack(t[0], BLOCK)
    begin, end = share(n[0], _GRAIN, thread, threads)
    for i in range(begin, end, step):
        count = min(step, end - i)
        if columns > 1:
            _fill(total, like(total[0], 0), count)
        for j in range(0, columns, BLOCK):
            width = min(BLOCK, columns - j)
            p, y = offset(t[0], i * columns + j), offset(t[1], i * columns + j)
            for k in range(count * width):
                terms[k] = _binary_term(p[k], y[k])
            if columns > 1:
                add_row_sums(terms, total, count, width)
        _weighted_means(terms if columns == 1 else total, null(t[0]), t[2], i, count, columns)


@inlined
def _binary_term_backward(p, y):
    zero, one = like(p, 0), like(p, 1)
    of_y, of_rest = y / p, (one - y) / (one - p)
    return (zero if y == one else of_rest) - (zero if y == zero else of_y)


@kernel
def log_loss_binary_backward(t, n, s, thread, threads):
    """dp = scale (−y / p + (1 − y) / (1 − p)), a term with a zero numerator being 0."""
    p, y, dp = t[0], t[1], t[2]
    scale = like(p[0], s[0])  # here: in the loop a double would halve the vectors
    begin, end = share(n[0] * n[1], _GRAIN, thread, threads)
    for i in range(begin, end):
        dp[i] = scale * _binary_term_backward(p[i], y[i])


@inlined
def _logit_term(z, y, e):
    """max(z, 0) − z y + log(1 + e), e being e^−|z|."""
    return ((like(z, 0) if z < like(z, 0) else z) - z * y) + vector_math.log1p_unit(e)


@kernel
def log_loss_binary_with_logits(t, n, s, thread, threads):
    """a = sigmoid(z); loss[i] = weight[i] · mean over j of max(z, 0) − z y + log(1 + e^−|z|);
    dz = scale weight[i] (a − y).
    """
    weight, loss, a, dz = t[2], t[3], t[4], t[5]
    columns = n[1]
    step = block_rows(columns)
    # An absent a or dz is computed all the same, into spare memory, where the other one is wanted.
    spare_a, spare_dz, terms = stack(t[0], BLOCK), stack(t[0], BLOCK), stack(t[0], BLOCK)
    total, factor = stack(t[0], BLOCK), stack(t[0], BLOCK)
    zero, one, scale = like(terms[0], 0), like(terms[0], 1), like(terms[0], s[0])
    begin, end = share(n[0], _GRAIN, thread, threads)
    _fill(factor, scale, min(BLOCK, (end - begin) * columns))
    for i in range(begin, end, step):
        count = min(step, end - i)
        if columns > 1:
            _fill(total, zero, count)
        for j in range(0, columns, BLOCK):
            width = min(BLOCK, columns - j)
            first = i * columns + j
            z, y = offset(t[0], first), offset(t[1], first)
            p, gradient = _from(a, first, spare_a), _from(dz, first, spare_dz)
            if not is_null(weight):
                _spread_weights(offset(weight, i), scale, factor, count, width)
            if is_null(loss):
                for k in range(count * width):
                    p_k = vector_math.sigmoid(z[k])
                    p[k] = p_k
                    gradient[k] = factor[k] * (p_k - y[k])
            elif is_null(a) and is_null(dz):
                for k in range(count * width):
                    terms[k] = _logit_term(z[k], y[k], vector_math.exp(-abs(z[k])))
            else:
                for k in range(count * width):
                    e = vector_math.exp(-abs(z[k]))
                    terms[k] = _logit_term(z[k], y[k], e)
                    p_k = (e if z[k] < zero else one) / (one + e)
                    p[k] = p_k
                    gradient[k] = factor[k] * (p_k - y[k])
            if columns > 1:
                add_row_sums(terms, total, count, width)
        if not is_null(loss):
            _weighted_means(terms if columns == 1 else total, weight, loss, i, count, columns)


# --- classes: p, z, a, dp, dz (rows, columns); classes (rows,) in 0 … columns − 1
# ------------------------------


@kernel
def log_loss_classes(t, n, s, thread, threads):
    """loss[i] = −log p[i, classes[i]]."""
    p, classes, loss = t[0], as_int64(t[1]), t[2]
    terms = stack(p, BLOCK)
    begin, end = share(n[0], _GRAIN, thread, threads)
    for i in range(begin, end, BLOCK):
        count = min(BLOCK, end - i)
        for k in range(count):
            terms[k] = p[(i + k) * n[1] + classes[i + k]]
        for k in range(count):
            loss[i + k] = -vector_math.log(terms[k])


@kernel
def log_loss_classes_backward(t, n, s, thread, threads):
    """dp[i, j] = −scale / p[i, j] where j = classes[i], else 0."""
    p, classes, dp = t[0], as_int64(t[1]), t[2]
    begin, end = share(n[0], _GRAIN, thread, threads)
    for i in range(begin * n[1], end * n[1]):
        dp[i] = like(p[i], 0)
    for i in range(begin, end):
        j = i * n[1] + classes[i]
        dp[j] = like(p[j], -s[0]) / p[j]


@kernel
def log_loss_classes_with_logits(t, n, s, thread, threads):
    """a = softmax(z); loss[i] = weight[i] (log Σ_j e^z[i, j] − z[i, classes[i]]);
    dz = scale weight[i] (a − 1[j = classes[i]]). The row's maximum is taken off z first.
    """
    z, classes, weight, loss, a, dz = t[0], as_int64(t[1]), t[2], t[3], t[4], t[5]
    columns = n[1]
    step = exp_block_rows(columns)
    top, total, terms = stack(z, TOPS), stack(z, BLOCK_ROWS), stack(z, BLOCK_ROWS)
    factor, zeros, of_class = stack(z, BLOCK_ROWS), stack(z, BLOCK_ROWS), stack(z, BLOCK_ROWS)
    turned, turned_e = stack(z, SCRATCH), stack(z, SCRATCH)
    one, scale = like(total[0], 1), like(total[0], s[0])
    begin, end = share(n[0], _GRAIN, thread, threads)
    fill(factor, s[0])
    fill(zeros, 0)
    first_top(offset(z, begin * columns), end - begin, columns, top)
    for i in range(begin, end, step):
        count, first = min(step, end - i), i * columns
        # The exponentials of wide rows go to an output, to be scaled there.
        e = turned_or(_from(dz, first, _from(a, first, null(z))), columns, turned_e)
        exp_rows(offset(z, first), count, columns, i + count == end, turned, e, top, total)
        for k in range(count):
            of_class[k] = z[(i + k) * columns + classes[i + k]] - top[k]
        top[0] = top[count]
        whole = whole_lanes(count)
        if not is_null(loss):
            for k in range(whole):
                terms[k] = vector_math.log(total[k]) - of_class[k]
            for k in range(count):
                loss[i + k] = terms[k] if is_null(weight) else weight[i + k] * terms[k]
        for k in range(whole):
            total[k] = one / total[k]
        if not is_null(a):
            scale_rows(e, count, columns, zeros, total, zeros, offset(a, first))
        if not is_null(dz):
            if not is_null(weight):
                _spread_weights(offset(weight, i), scale, factor, count, 1)
            for k in range(whole):
                total[k] *= factor[k]
                # Computed anew: what has just been stored as a vector is slow to load.
                of_class[k] = total[k] * vector_math.exp(of_class[k]) - factor[k]
            scale_rows(e, count, columns, zeros, total, zeros, offset(dz, first))
            for k in range(count):
                dz[(i + k) * columns + classes[i + k]] = of_class[k]


# --- squared error: a, y, da (rows, columns)
# --------------------------------------------------------------------


@kernel
def squared_error(t, n, s, thread, threads):
    """loss[i] = weight[i] · mean over j of (a − y)²; da = scale · 2 weight[i] (a − y)."""
    weight, loss, da = t[2], t[3], t[4]
    columns = n[1]
    step = block_rows(columns)
    spare_da, terms = stack(t[0], BLOCK), stack(t[0], BLOCK)
    total, factor = stack(t[0], BLOCK), stack(t[0], BLOCK)
    scale = like(terms[0], 2 * s[0])
    begin, end = share(n[0], _GRAIN, thread, threads)
    _fill(factor, scale, min(BLOCK, (end - begin) * columns))
    for i in range(begin, end, step):
        count = min(step, end - i)
        if columns > 1:
            _fill(total, like(scale, 0), count)
        for j in range(0, columns, BLOCK):
            width = min(BLOCK, columns - j)
            first = i * columns + j
            a, y, gradient = offset(t[0], first), offset(t[1], first), _from(da, first, spare_da)
            if not is_null(weight):
                _spread_weights(offset(weight, i), scale, factor, count, width)
            for k in range(count * width):
                error = a[k] - y[k]
                terms[k] = error * error
                gradient[k] = factor[k] * error
            if columns > 1:
                add_row_sums(terms, total, count, width)
        if not is_null(loss):
            _weighted_means(terms if columns == 1 else total, weight, loss, i, count, columns)
