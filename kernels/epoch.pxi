# An epoch: batch after batch, each gathered, run and its loss summed, by a team of threads without the GIL.

from libc.math cimport isfinite
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

# How often a running epoch looks up: for signals (Ctrl-C), with the GIL.
cdef double LOOK_UP_SECONDS = 0.05


cdef double seconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + 1e-9 * now.tv_nsec


cdef void draw_order(int64_t* order, int64_t count, object seed):
    """Fill `order` with 0 … count − 1, shuffled where a seed is given.

    Fisher-Yates over the counter-based generator: draw i is mix64(seed + i · golden ratio).
    """
    cdef int64_t i, j
    cdef uint64_t draw, start
    for i in range(count):
        order[i] = i
    if seed is None:
        return
    start = seed
    for i in range(count - 1, 0, -1):
        draw = mix64(start + <uint64_t> i * <uint64_t> 0x9E3779B97F4A7C15)
        # The high half of draw (32 bits) times (i + 1): unbiased to 2^-32, without a division.
        j = <int64_t> (((draw >> 32) * <uint64_t> (i + 1)) >> 32)
        order[i], order[j] = order[j], order[i]


def row_order(cnp.ndarray order, seed) -> None:
    """Fill `order` (n,) int64 with the order of an epoch's rows, as run_epoch draws it from this seed."""
    draw_order(<int64_t*> cnp.PyArray_DATA(order), order.shape[0], seed)


cdef struct Epoch:
    # What the threads of an epoch share; batch `next` is the first not yet run.
    Plan* main
    Plan* tail
    int64_t main_batches
    int64_t batches
    int64_t next
    int64_t look_up_every
    bint stop
    bint in_place  # a batch's rows lie one after the other in x, in the buffer's dtype
    Source x
    const char* y
    const char* weight
    const int64_t* order
    const double* rates
    double deadline
    double loss


cdef inline void gather_cells(
    const char* data, const int64_t* order, int64_t count, int64_t width, int64_t cell_bytes, char* out
) noexcept nogil:
    """out[i] = data[order[i]], rows of `width` cells of 4 or 8 bytes."""
    cdef int64_t i
    if width == 1 and cell_bytes == 4:
        for i in range(count):
            (<uint32_t*> out)[i] = (<const uint32_t*> data)[order[i]]
    elif width == 1:
        for i in range(count):
            (<uint64_t*> out)[i] = (<const uint64_t*> data)[order[i]]
    else:
        for i in range(count):
            memcpy(out + i * width * cell_bytes, data + order[i] * width * cell_bytes, width * cell_bytes)


cdef void load_batch(Epoch* epoch, Plan* plan, int64_t first, int64_t thread, int64_t threads) noexcept nogil:
    """Fill the batch's buffers with rows order[first …]: inputs by every thread, targets by the first.

    Inputs that can be read in place are: the ops are pointed at them.
    """
    cdef int64_t begin, end, cell_bytes = 4 if plan.single else 8
    cdef const int64_t* order = epoch.order + first
    share(plan.rows, 1, thread, threads, &begin, &end)
    if epoch.in_place:
        if thread == 0:
            bind_input(plan, <void*> (epoch.x.data + first * epoch.x.row_stride))
    elif plan.single:
        gather[float](&epoch.x, order, begin, end, <float*> plan.x)
    else:
        gather[double](&epoch.x, order, begin, end, <double*> plan.x)
    if thread == 0:
        gather_cells(
            epoch.y, order, plan.rows, plan.y_columns, 8 if plan.classes else cell_bytes, <char*> plan.y
        )
        if plan.weight is not NULL:
            gather_cells(epoch.weight, order, plan.rows, 1, cell_bytes, <char*> plan.weight)


cdef double loss_sum(const Plan* plan) noexcept nogil:
    cdef double total = 0
    cdef int64_t i
    for i in range(plan.rows):
        total += (<float*> plan.loss)[i] if plan.single else (<double*> plan.loss)[i]
    return total


cdef void epoch_body(void* context, int64_t thread, int64_t threads) noexcept nogil:
    """Batches from epoch.next on, until all are done, or it is time to look up, or the loss isn't finite."""
    cdef Epoch* epoch = <Epoch*> context
    cdef Plan* plan
    cdef int64_t batch = epoch.next
    cdef double loss
    while batch < epoch.batches:
        plan = epoch.main if batch < epoch.main_batches else epoch.tail
        if thread == 0:
            plan.step[0] = epoch.rates[batch]
            plan.step[1] += 1
        load_batch(epoch, plan, batch * epoch.main.rows, thread, threads)
        team_barrier(threads)
        run_ops(plan, thread, threads)
        batch += 1
        if thread == 0:
            # The loss is whole: the ops that read its gradient met after it was written.
            loss = loss_sum(plan)
            epoch.loss += loss
            epoch.next = batch
            if not isfinite(loss):
                epoch.batches = batch
            if batch % epoch.look_up_every == 0 and seconds() > epoch.deadline:
                epoch.stop = True
        team_barrier(threads)  # the ops are done and thread 0 has decided; the buffers may be filled again
        if epoch.stop:
            return
