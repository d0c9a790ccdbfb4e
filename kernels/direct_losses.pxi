# Log losses straight from Python: the labels' check, the kernel and the mean, chunk by chunk, so that what one
# leaves in the L1 cache the next finds there.

from libc.stdlib cimport free, malloc

cdef enum:
    CHUNK = 2048  # elements of the predictions, or one row

    VALUE = 0  # the forms of a loss
    GRADIENT = 1
    LOGITS = 2  # value or gradient

# [form][over classes][float32]; native.pxi fills it
cdef kernel_function loss_kernels[3][2][2]


cdef void fill_loss_kernels():
    for form, suffix in enumerate(("", "_backward", "_with_logits")):
        for over_classes, labels in enumerate(("binary", "classes")):
            for single, dtype in enumerate(("float64", "float32")):
                loss_kernels[<int> form][<int> over_classes][<int> single] = (
                    <kernel_function> <uintptr_t> _addresses[f"log_loss_{labels}{suffix}", dtype]
                )


cdef struct LossJob:
    kernel_function kernel
    bint single  # float32, not float64
    bint over_classes  # y is int64, a number a row
    bint with_logits
    int64_t rows, columns
    int64_t chunk_rows
    char* p
    char* y
    char* gradient  # NULL: the losses are wanted, and their sums
    double* sums  # one a chunk
    double scale
    bint checked  # the labels are right
    bint wrong  # a label is


cdef inline bint right_labels(const LossJob* job, int64_t first, int64_t count) noexcept nogil:
    """Whether the labels of the rows [first, first + count) are."""
    if job.over_classes:
        return all_classes(<const int64_t*> job.y + first, count, job.columns)
    if job.single:
        return all_probabilities[float](<const float*> job.y + first * job.columns, count * job.columns)
    return all_probabilities[double](<const double*> job.y + first * job.columns, count * job.columns)


cdef inline double sum_of(const real* x, int64_t count) noexcept nogil:
    """Σ x in double: eight partial sums, an order that depends on `count` alone."""
    cdef double partial[8]
    cdef double total = 0
    cdef int64_t i, lane, whole = count // 8 * 8
    for lane in range(8):
        partial[lane] = 0
    for i from 0 <= i < whole by 8:
        for lane in range(8):
            partial[lane] += x[i + lane]
    for i in range(whole, count):
        total += x[i]
    for lane in range(8):
        total += partial[lane]
    return total


cdef inline int64_t rows_of_chunk(int64_t columns) noexcept nogil:
    return max(1, CHUNK // columns)


cdef inline double chunk_sum(const void* losses, int64_t count, bint single) noexcept nogil:
    return sum_of[float](<const float*> losses, count) if single else sum_of[double](<const double*> losses, count)


def mean_loss(cnp.ndarray losses, int64_t columns) -> float:
    """The mean of contiguous losses, one a row of `columns` predictions, summed as log_loss_direct does."""
    cdef int64_t rows = cnp.PyArray_SIZE(losses), chunk = rows_of_chunk(columns), first
    cdef bint single = cnp.PyArray_TYPE(losses) == cnp.NPY_FLOAT
    cdef char* data = <char*> cnp.PyArray_DATA(losses)
    cdef double total = 0
    for first from 0 <= first < rows by chunk:
        total += chunk_sum(data + first * cnp.PyArray_ITEMSIZE(losses), min(chunk, rows - first), single)
    return total / rows


cdef void loss_chunks(void* context, int64_t thread, int64_t threads) noexcept nogil:
    """This thread's chunks: each has its own sum, whoever computes it."""
    cdef LossJob* job = <LossJob*> context
    cdef int64_t item = sizeof(float) if job.single else sizeof(double)
    cdef int64_t label_bytes = sizeof(int64_t) if job.over_classes else item * job.columns
    cdef int64_t chunk, begin, end, first, count
    cdef double losses[CHUNK]  # of either dtype
    cdef void* t[6]
    cdef int64_t n[2]
    cdef void* result
    share((job.rows + job.chunk_rows - 1) // job.chunk_rows, 1, thread, threads, &begin, &end)
    for chunk in range(begin, end):
        first = chunk * job.chunk_rows
        count = min(job.chunk_rows, job.rows - first)
        if not job.checked and not right_labels(job, first, count):
            job.wrong = True
            return
        result = losses if job.gradient is NULL else <void*> (job.gradient + first * job.columns * item)
        t[0], t[1] = job.p + first * job.columns * item, job.y + first * label_bytes
        t[2], t[3], t[4], t[5] = NULL, NULL, NULL, NULL
        if not job.with_logits:
            t[2] = result
        elif job.gradient is NULL:
            t[3] = result
        else:
            t[5] = result
        n[0], n[1] = count, job.columns
        job.kernel(t, n, &job.scale, 0, 1)
        if job.gradient is NULL:
            job.sums[chunk] = chunk_sum(losses, count, job.single)


cdef inline bint is_column(cnp.ndarray array):
    """Whether the shape is (n,) or (n, 1)."""
    return cnp.PyArray_NDIM(array) == 1 or (cnp.PyArray_NDIM(array) == 2 and cnp.PyArray_DIMS(array)[1] == 1)


cdef inline bint fill_loss(LossJob* job, p, y):
    """Set the job's operands from predictions p and labels y; False where these need the checked path."""
    cdef cnp.ndarray predictions, labels
    cdef cnp.npy_intp* shape
    cdef int axes, label_axes
    if not (is_floats(p) and cnp.PyArray_CheckExact(y)):
        return False
    predictions, labels = <cnp.ndarray> p, <cnp.ndarray> y
    axes, label_axes = cnp.PyArray_NDIM(predictions), cnp.PyArray_NDIM(labels)
    shape = cnp.PyArray_DIMS(predictions)
    if axes == 0 or cnp.PyArray_SIZE(predictions) == 0 or not cnp.PyArray_ISCARRAY_RO(labels):
        return False
    job.p, job.y = <char*> cnp.PyArray_DATA(predictions), <char*> cnp.PyArray_DATA(labels)
    job.single = cnp.PyArray_TYPE(predictions) == cnp.NPY_FLOAT
    job.over_classes = axes == 2 and shape[1] > 1 and cnp.PyArray_TYPE(labels) == cnp.NPY_INT64
    if job.over_classes:
        job.rows, job.columns = shape[0], shape[1]
        if label_axes != 1 or cnp.PyArray_DIMS(labels)[0] != job.rows:
            return False
    else:
        job.rows, job.columns = cnp.PyArray_SIZE(predictions), 1
        if cnp.PyArray_TYPE(labels) != cnp.PyArray_TYPE(predictions) or not (
            cnp.PyArray_SAMESHAPE(labels, predictions)
            or (is_column(labels) and is_column(predictions) and cnp.PyArray_SIZE(labels) == job.rows)
        ):
            return False
    job.chunk_rows = rows_of_chunk(job.columns)
    job.checked = job.wrong = False
    return True


cdef inline void run_loss(LossJob* job):
    cdef int64_t cost = 4 * job.rows * job.columns
    if cost < RELEASE_MIN_COST:
        loss_chunks(job, 0, 1)
    else:
        with nogil:
            team_run(loss_chunks, job, team_size(cost))


def log_loss_direct(p, y, bint with_logits):
    """Return the mean log loss of predictions p, probabilities or logits, and labels y.

    Returns None unless p is a C-contiguous array of floats, y such an array of its dtype and shape, or of
    int64 (rows,) for p (rows, classes), and the labels are right.
    """
    cdef LossJob job
    cdef int64_t chunk, chunks
    cdef double total = 0
    if not fill_loss(&job, p, y):
        return None
    job.kernel = loss_kernels[LOGITS if with_logits else VALUE][job.over_classes][job.single]
    job.with_logits, job.gradient, job.scale = with_logits, NULL, 1
    chunks = (job.rows + job.chunk_rows - 1) // job.chunk_rows
    job.sums = <double*> malloc(chunks * sizeof(double))
    if job.sums is NULL:
        raise MemoryError("no memory for the sums of a loss")
    run_loss(&job)
    if not job.wrong:
        for chunk in range(chunks):
            total += job.sums[chunk]
    free(job.sums)
    return None if job.wrong else total / job.rows


def log_loss_backward_direct(p, y, bint with_logits, out):
    """Return the gradient of log_loss_direct by p, in `out` where given.

    Returns None, and does nothing, where log_loss_direct returns None, or out isn't a C-contiguous array of
    p's dtype and shape apart from p and y.
    """
    cdef LossJob job
    cdef cnp.ndarray predictions, result
    if not fill_loss(&job, p, y):
        return None
    predictions = <cnp.ndarray> p
    if out is None:
        result = cnp.PyArray_EMPTY(
            cnp.PyArray_NDIM(predictions), cnp.PyArray_DIMS(predictions), cnp.PyArray_TYPE(predictions), 0
        )
    else:
        if not fits(out, predictions):
            return None
        result = <cnp.ndarray> out
        if not (
            cnp.PyArray_ISWRITEABLE(result)
            and not overlap(result, predictions)
            and not overlap(result, <cnp.ndarray> y)
            and right_labels(&job, 0, job.rows)  # before anything is written
        ):
            return None
        job.checked = True
    job.kernel = loss_kernels[LOGITS if with_logits else GRADIENT][job.over_classes][job.single]
    job.with_logits, job.gradient, job.sums = with_logits, <char*> cnp.PyArray_DATA(result), NULL
    job.scale = 1.0 / job.rows
    run_loss(&job)
    return None if job.wrong else result

