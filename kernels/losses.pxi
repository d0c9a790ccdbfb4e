# Losses and their gradients. `loss` holds one value a row; the threads divide the rows. Rows are worked on in
# blocks, which activations.pxi describes.


cdef inline void weighted_means(
    const real* total, const real* weight, real* loss, int64_t first, int64_t rows, int64_t columns
) noexcept nogil:
    """loss[first + i] = weight[first + i] total[i] / columns; no weight is 1."""
    cdef real factor = <real> (1 / <double> columns)
    cdef int64_t i
    if weight is NULL:
        for i in range(rows):
            loss[first + i] = factor * total[i]
    else:
        for i in range(rows):
            loss[first + i] = weight[first + i] * (factor * total[i])


cdef inline void spread_weights(
    const real* weight, real scale, real* factor, int64_t rows, int64_t width
) noexcept nogil:
    """factor[i, j] = scale weight[i], of a block (rows, width)."""
    cdef int64_t i, j
    if width == 1:
        for i in range(rows):
            factor[i] = scale * weight[i]
    else:
        for i in range(rows):
            for j in range(width):
                factor[i * width + j] = scale * weight[i]


# --- binary: p, z, y, a, dp, dz (rows, columns); y in [0, 1] ------------------------------------------


cdef void log_loss_binary(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """loss[i] = mean over j of −y log p − (1 − y) log(1 − p), with 0 log 0 = 0. Overwrites loss."""
    cdef int64_t rows = n[0], columns = n[1], step = block_rows(columns)
    cdef int64_t i, j, k, count, width, begin, end
    cdef const real* p
    cdef const real* y
    cdef real* loss = t[2]
    cdef real terms[BLOCK]
    cdef real total[BLOCK]
    cdef real log_p, log_q, one = 1
    share(rows, 16, thread, threads, &begin, &end)
    for i from begin <= i < end by step:
        count = min(step, end - i)
        for j from 0 <= j < columns by BLOCK:
            width = min(BLOCK, columns - j)
            p = t[0] + i * columns + j
            y = t[1] + i * columns + j
            for k in range(count * width):
                log_p = log_of(p[k])
                log_q = log1p_of(-p[k])
                terms[k] = (0 if y[k] == 0 else -y[k] * log_p) - (0 if y[k] == 1 else (one - y[k]) * log_q)
            if columns > 1:
                add_row_sums(terms, total, count, width, j == 0)
        weighted_means[real](&terms[0] if columns == 1 else &total[0], NULL, loss, i, count, columns)


cdef void log_loss_binary_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dp = scale (−y / p + (1 − y) / (1 − p)), a term with a zero numerator being 0. Overwrites dp."""
    cdef const real* p = t[0]
    cdef const real* y = t[1]
    cdef real* dp = t[2]
    cdef real scale = <real> s[0], one = 1
    cdef int64_t i, begin, end
    share(n[0] * n[1], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        dp[i] = scale * (
            (0 if y[i] == 1 else (one - y[i]) / (one - p[i])) - (0 if y[i] == 0 else y[i] / p[i])
        )


cdef inline real logit_loss(real z, real y, real e) noexcept nogil:
    """max(z, 0) − z y + log(1 + e), e being e^−|z|."""
    return (z if z >= 0 else 0) - z * y + log1p_unit_of(e)


cdef void log_loss_binary_with_logits(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """a = sigmoid(z); loss[i] = weight[i] · mean over j of max(z, 0) − z y + log(1 + e^−|z|);
    dz = scale weight[i] (a − y).

    weight (rows,) may be absent: 1. Overwrites those of loss, a and dz that are not absent.
    """
    cdef int64_t rows = n[0], columns = n[1], step = block_rows(columns)
    cdef int64_t i, j, k, at, count, width, begin, end
    cdef const real* z
    cdef const real* y
    cdef const real* weight = t[2]
    cdef real* loss = t[3]
    cdef real* a
    cdef real* dz
    # An absent a or dz is computed all the same, into spare memory, where the other one is wanted.
    cdef real spare_a[BLOCK]
    cdef real spare_dz[BLOCK]
    cdef real terms[BLOCK]
    cdef real total[BLOCK]
    cdef real factor[BLOCK]
    cdef real e, one = 1
    share(rows, 16, thread, threads, &begin, &end)
    for k in range(min(BLOCK, (end - begin) * columns)):
        factor[k] = <real> s[0]
    for i from begin <= i < end by step:
        count = min(step, end - i)
        for j from 0 <= j < columns by BLOCK:
            width = min(BLOCK, columns - j)
            at = i * columns + j
            z = t[0] + at
            y = t[1] + at
            a = &spare_a[0] if t[4] is NULL else t[4] + at
            dz = &spare_dz[0] if t[5] is NULL else t[5] + at
            if weight is not NULL:
                spread_weights(weight + i, <real> s[0], factor, count, width)
            if loss is NULL:
                for k in range(count * width):
                    a[k] = sigmoid_of(z[k])
                    dz[k] = factor[k] * (a[k] - y[k])
                continue
            if t[4] is NULL and t[5] is NULL:
                for k in range(count * width):
                    terms[k] = logit_loss(z[k], y[k], exp_minus_abs_of(z[k]))
            else:
                for k in range(count * width):
                    e = exp_minus_abs_of(z[k])
                    terms[k] = logit_loss(z[k], y[k], e)
                    e = (one if z[k] >= 0 else e) / (one + e)
                    a[k] = e
                    dz[k] = factor[k] * (e - y[k])
            if columns > 1:
                add_row_sums(terms, total, count, width, j == 0)
        if loss is not NULL:
            weighted_means(&terms[0] if columns == 1 else &total[0], weight, loss, i, count, columns)


cdef extern from "short_rows.h" nogil:
    void log_loss_short_f32(
        const float* z, const int64_t* classes, const float* weight, float* loss, float* a, float* dz,
        float scale, int64_t rows, int columns,
    )
    void log_loss_short_f64(
        const double* z, const int64_t* classes, const double* weight, double* loss, double* a, double* dz,
        double scale, int64_t rows, int columns,
    )


# --- classes: p, z, a, dp, dz (rows, columns); classes (rows,) in 0 … columns − 1 -----------------------


cdef void log_loss_classes(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """loss[i] = −log p[i, classes[i]]. Overwrites loss."""
    cdef const real* p = t[0]
    cdef const int64_t* classes = <const int64_t*> t[1]
    cdef real* loss = t[2]
    cdef int64_t columns = n[1], i, k, count, begin, end
    cdef real of_class[BLOCK]
    share(n[0], 16, thread, threads, &begin, &end)
    for i from begin <= i < end by BLOCK:
        count = min(BLOCK, end - i)
        for k in range(count):
            of_class[k] = p[(i + k) * columns + classes[i + k]]
        for k in range(count):
            loss[i + k] = -log_of(of_class[k])


cdef void log_loss_classes_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dp[i, j] = −scale / p[i, j] where j = classes[i], else 0. Overwrites dp."""
    cdef const real* p = t[0]
    cdef const int64_t* classes = <const int64_t*> t[1]
    cdef real* dp = t[2]
    cdef real scale = <real> s[0]
    cdef int64_t columns = n[1], i, j, begin, end
    share(n[0], 16, thread, threads, &begin, &end)
    for j in range(begin * columns, end * columns):
        dp[j] = 0
    for i in range(begin, end):
        j = i * columns + classes[i]
        dp[j] = -scale / p[j]


cdef void log_loss_classes_with_logits(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """a = softmax(z); loss[i] = weight[i] (log Σ_j e^z[i, j] − z[i, classes[i]]);
    dz = scale weight[i] (a − 1[j = classes[i]]). The row's maximum is taken off z first.

    weight (rows,) may be absent: 1. Overwrites those of loss, a and dz that are not absent.
    """
    cdef const real* z = t[0]
    cdef const int64_t* classes = <const int64_t*> t[1]
    cdef real* weight = t[2]
    cdef real* loss = t[3]
    cdef real* a = t[4]
    cdef real* dz = t[5]
    cdef int64_t columns = n[1], i, j, of_class, begin, end
    cdef real* e
    cdef real top, next_top, total, factor, scale, one = 1
    share(n[0] if columns else 0, 16, thread, threads, &begin, &end)
    if columns <= SHORT_ROW:
        z += begin * columns
        classes += begin
        weight = NULL if weight is NULL else weight + begin
        loss = NULL if loss is NULL else loss + begin
        a = NULL if a is NULL else a + begin * columns
        dz = NULL if dz is NULL else dz + begin * columns
        if real is float:
            log_loss_short_f32(z, classes, weight, loss, a, dz, <real> s[0], end - begin, <int> columns)
        else:
            log_loss_short_f64(z, classes, weight, loss, a, dz, s[0], end - begin, <int> columns)
        return
    next_top = first_row_max(z, columns, begin, end)
    for i in range(begin, end):
        of_class = i * columns + classes[i]
        top = next_top
        e = NULL
        if dz is not NULL:
            e = dz + i * columns
        elif a is not NULL:
            e = a + i * columns
        total = exp_row[real](z + i * columns, columns, &next_top, e, i == end - 1)
        if loss is not NULL:
            loss[i] = (one if weight is NULL else weight[i]) * (log_of(total) + (top - z[of_class]))
        factor = one / total
        if dz is NULL:
            if a is not NULL:
                scale_row(e, factor, columns)
            continue
        if a is not NULL:
            for j in range(columns):
                a[i * columns + j] = factor * e[j]
        scale = <real> s[0] if weight is NULL else <real> s[0] * weight[i]
        scale_row(e, scale * factor, columns)
        dz[of_class] -= scale


# --- squared error: a, y, da (rows, columns) ------------------------------------------------------------


cdef void squared_error(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """loss[i] = weight[i] · mean over j of (a − y)²; da = scale · 2 weight[i] (a − y).

    weight (rows,) may be absent: 1. Overwrites those of loss and da that are not absent.
    """
    cdef int64_t rows = n[0], columns = n[1], step = block_rows(columns)
    cdef int64_t i, j, k, at, count, width, begin, end
    cdef const real* a
    cdef const real* y
    cdef const real* weight = t[2]
    cdef real* loss = t[3]
    cdef real* da
    cdef real spare_da[BLOCK]
    cdef real terms[BLOCK]
    cdef real total[BLOCK]
    cdef real factor[BLOCK]
    cdef real error
    share(rows, 16, thread, threads, &begin, &end)
    for k in range(min(BLOCK, (end - begin) * columns)):
        factor[k] = <real> (2 * s[0])
    for i from begin <= i < end by step:
        count = min(step, end - i)
        for j from 0 <= j < columns by BLOCK:
            width = min(BLOCK, columns - j)
            at = i * columns + j
            a = t[0] + at
            y = t[1] + at
            da = &spare_da[0] if t[4] is NULL else t[4] + at
            if weight is not NULL:
                spread_weights(weight + i, <real> (2 * s[0]), factor, count, width)
            for k in range(count * width):
                error = a[k] - y[k]
                terms[k] = error * error
                da[k] = factor[k] * error
            if columns > 1:
                add_row_sums(terms, total, count, width, j == 0)
        if loss is not NULL:
            weighted_means(&terms[0] if columns == 1 else &total[0], weight, loss, i, count, columns)
