# The executor: runs a program's ops on its buffers, for one batch or a whole epoch, without the GIL.

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)
from libc.math cimport isfinite
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cimport numpy as cnp

cnp.import_array()

cdef extern from "team.h":
    int64_t team_size(int64_t cost) noexcept nogil
    int team_max() noexcept nogil
    void team_request(int n) noexcept nogil
    void team_run(
        void (*body)(void*, int64_t, int64_t) noexcept nogil, void* context, int64_t threads
    ) noexcept nogil
    void team_barrier(int64_t threads) noexcept nogil

ctypedef void (*kernel_function)(
    void** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil

cdef enum:
    MAX_OPERANDS = 10
    MAX_SIZES = 20
    MAX_SCALARS = 6
    # Work below this many multiply-adds (a few µs) keeps the GIL: giving it up costs as much.
    RELEASE_MIN_COST = 100_000

# How often a running epoch looks up: for signals (Ctrl-C), with the GIL.
cdef double LOOK_UP_SECONDS = 0.05


cdef struct Op:
    kernel_function kernel
    bint barrier  # whether the team meets before this op
    void* t[MAX_OPERANDS]
    int64_t n[MAX_SIZES]
    double s[MAX_SCALARS]


cdef int fill_op(Op* op, address, operands, sizes, scalars, barrier) except -1:
    """Copy an op's operands' addresses, sizes and scalars into `op`."""
    cdef Py_ssize_t i
    if len(operands) > MAX_OPERANDS or len(sizes) > MAX_SIZES or len(scalars) > MAX_SCALARS:
        raise ValueError("an op has too many operands, sizes or scalars")
    op.kernel = <kernel_function> <uintptr_t> address
    op.barrier = barrier
    for i, operand in enumerate(operands):
        op.t[i] = NULL if operand is None else cnp.PyArray_DATA(<cnp.ndarray?> operand)
    for i, size in enumerate(sizes):
        op.n[i] = size
    for i, scalar in enumerate(scalars):
        op.s[i] = scalar
    return 0


cdef void op_body(void* context, int64_t thread, int64_t threads) noexcept nogil:
    cdef Op* op = <Op*> context
    op.kernel(op.t, op.n, op.s, thread, threads)


def call(address, tuple operands, tuple sizes, tuple scalars, int threads):
    """Run one kernel once, on the operands as they are; the caller has checked them."""
    cdef Op op
    fill_op(&op, address, operands, sizes, scalars, False)
    with nogil:
        team_run(op_body, &op, threads)


def max_threads() -> int:
    """The number of threads that large work gets: as asked for, within OpenMP's limit."""
    return team_max()


def request_threads(int n) -> None:
    """Ask for n threads from now on."""
    team_request(n)


def threads_for(int64_t cost) -> int:
    """The number of threads that a work of `cost` multiply-adds gets: one where it is small."""
    return team_size(cost)


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


cdef struct Plan:
    # A program as the threads see it: its ops and the buffers that a batch fills.
    Op* ops
    int64_t n_ops
    int64_t rows
    bint single  # float32, not float64
    void* x
    void* y
    bint classes  # y is int64
    int64_t y_columns
    void* weight
    void* loss
    double* step


cdef struct Epoch:
    # What the threads of an epoch share; batch `next` is the first not yet run.
    Plan* main
    Plan* tail
    int64_t main_batches
    int64_t batches
    int64_t next
    int64_t look_up_every
    bint stop
    Source x
    const char* y
    const char* weight
    const int64_t* order
    const double* rates
    double deadline
    double loss


cdef void run_ops(const Plan* plan, int64_t thread, int64_t threads) noexcept nogil:
    cdef int64_t i
    cdef Op* op
    for i in range(plan.n_ops):
        op = plan.ops + i
        if op.barrier:
            team_barrier(threads)
        op.kernel(op.t, op.n, op.s, thread, threads)


cdef void plan_body(void* context, int64_t thread, int64_t threads) noexcept nogil:
    run_ops(<const Plan*> context, thread, threads)


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
    """Fill the batch's buffers with rows order[first …]: inputs by every thread, targets by the first."""
    cdef int64_t begin, end, cell_bytes = 4 if plan.single else 8
    cdef const int64_t* order = epoch.order + first
    share(plan.rows, 1, thread, threads, &begin, &end)
    if plan.single:
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


cdef class Executor:
    """Runs the ops of a program in order. It holds the program's arrays alive and allocates nothing to run.

    Parameters
    ----------
    ops : sequence of (address, operands, sizes, scalars, barrier)
        A kernel's address, its operands (arrays or None), sizes and scalars in the kernel list's order,
        and whether the threads must meet before it.
    rows : int
        Rows of a batch.
    x, y, weight, loss, step, output : ndarray or None
        The buffers of a batch's input, targets, sample weights, per-row losses, the (learning rate, step
        number) pair, and the last layer's output.
    cost : int
        Multiply-adds of one run: chooses the number of threads, and whether the GIL is worth releasing.
    """

    cdef Plan plan
    cdef PyThread_type_lock lock
    cdef bint busy  # a run without the GIL is under way; read and written with the GIL
    cdef int64_t cost
    cdef readonly object ops
    cdef cnp.ndarray x, y, weight, loss, step, output
    # The operands that stand for the input and the output, which predict() points at the caller's arrays.
    cdef void*** x_slots
    cdef void*** output_slots
    cdef int64_t n_x_slots, n_output_slots
    cdef bint rebound
    cdef int64_t x_bytes, output_bytes

    def __cinit__(
        self, ops, *, int64_t rows, x=None, y=None, weight=None, loss=None, step=None, output=None, int64_t cost=0
    ):
        cdef int64_t i, j, n_ops
        self.lock = PyThread_allocate_lock()
        self.ops = tuple(ops)
        n_ops = len(self.ops)
        self.x, self.y, self.weight, self.loss, self.step, self.output = x, y, weight, loss, step, output
        self.cost = cost
        self.plan.n_ops = n_ops
        self.plan.rows = rows
        self.plan.ops = <Op*> PyMem_Calloc(max(n_ops, 1), sizeof(Op))
        self.x_slots = <void***> PyMem_Calloc(max(n_ops, 1) * MAX_OPERANDS, sizeof(void**))
        self.output_slots = <void***> PyMem_Calloc(max(n_ops, 1) * MAX_OPERANDS, sizeof(void**))
        if not self.plan.ops or not self.x_slots or not self.output_slots or not self.lock:
            raise MemoryError("no memory for the executor")
        for i, (address, operands, sizes, scalars, barrier) in enumerate(self.ops):
            fill_op(self.plan.ops + i, address, operands, sizes, scalars, barrier)
        if x is not None:
            self.plan.single = self.x.dtype.itemsize == 4
            self.plan.x = cnp.PyArray_DATA(self.x)
            self.x_bytes = self.x.nbytes
        if y is not None:
            self.plan.y = cnp.PyArray_DATA(self.y)
            self.plan.classes = self.y.dtype.kind == "i"
            self.plan.y_columns = self.y.size // rows
        if weight is not None:
            self.plan.weight = cnp.PyArray_DATA(self.weight)
        if loss is not None:
            self.plan.loss = cnp.PyArray_DATA(self.loss)
        if step is not None:
            self.plan.step = <double*> cnp.PyArray_DATA(self.step)
        if output is not None:
            self.output_bytes = self.output.nbytes
        for i in range(n_ops):
            for j in range(MAX_OPERANDS):
                if x is not None and self.plan.ops[i].t[j] == self.plan.x:
                    self.x_slots[self.n_x_slots] = &self.plan.ops[i].t[j]
                    self.n_x_slots += 1
                if output is not None and self.plan.ops[i].t[j] == cnp.PyArray_DATA(self.output):
                    self.output_slots[self.n_output_slots] = &self.plan.ops[i].t[j]
                    self.n_output_slots += 1

    def __dealloc__(self):
        PyMem_Free(self.plan.ops)
        PyMem_Free(self.x_slots)
        PyMem_Free(self.output_slots)
        if self.lock:
            PyThread_free_lock(self.lock)

    cdef void acquire(self):
        """Take the lock, waiting without the GIL for a run that is under way."""
        if PyThread_acquire_lock(self.lock, NOWAIT_LOCK) == 0:
            with nogil:
                PyThread_acquire_lock(self.lock, WAIT_LOCK)
        self.busy = True

    cdef void release(self):
        self.busy = False
        PyThread_release_lock(self.lock)

    cdef inline void bind(self, void* x, void* output) noexcept:
        """Point the input's and the output's operands at these arrays."""
        cdef int64_t i
        for i in range(self.n_x_slots):
            self.x_slots[i][0] = x
        for i in range(self.n_output_slots):
            self.output_slots[i][0] = output

    cdef inline void run_plan(self, int64_t threads):
        """All ops once; the GIL is given up where the work is worth it."""
        if self.cost < RELEASE_MIN_COST and threads <= 1:
            run_ops(&self.plan, 0, 1)
        else:
            with nogil:
                team_run(plan_body, &self.plan, threads)

    def run(self, int threads=1) -> None:
        """Run all ops once, on the buffers as they stand."""
        self.acquire()
        try:
            self.run_plan(threads)
        finally:
            self.release()

    def predict(self, x, out=None):
        """Run the ops directly on x and into out (allocated where None); return out.

        Returns None, and does nothing, where x or out isn't a C-contiguous array of exactly the buffers'
        shape and dtype.
        """
        cdef cnp.ndarray source, target
        cdef char* x_data
        cdef char* out_data
        cdef bint locked
        if not cnp.PyArray_CheckExact(x):
            return None
        source = <cnp.ndarray> x
        if not (
            cnp.PyArray_TYPE(source) == cnp.PyArray_TYPE(self.x)
            and cnp.PyArray_ISCARRAY_RO(source)
            and cnp.PyArray_SAMESHAPE(source, self.x)
        ):
            return None
        if out is None:
            target = cnp.PyArray_EMPTY(
                cnp.PyArray_NDIM(self.output), cnp.PyArray_DIMS(self.output), cnp.PyArray_TYPE(self.output), 0
            )
        elif cnp.PyArray_CheckExact(out):
            target = <cnp.ndarray> out
            if not (
                cnp.PyArray_TYPE(target) == cnp.PyArray_TYPE(self.output)
                and cnp.PyArray_ISCARRAY(target)
                and cnp.PyArray_SAMESHAPE(target, self.output)
            ):
                return None
        else:
            return None
        x_data = <char*> cnp.PyArray_DATA(source)
        out_data = <char*> cnp.PyArray_DATA(target)
        if x_data < out_data + self.output_bytes and out_data < x_data + self.x_bytes:
            return None  # they overlap: an op could overwrite what another still reads
        # With the GIL kept throughout, no other run can come between: the lock is needed only otherwise.
        locked = self.busy or self.cost >= RELEASE_MIN_COST
        if locked:
            self.acquire()
        self.bind(x_data, out_data)
        self.run_plan(team_size(self.cost))
        self.bind(self.plan.x, cnp.PyArray_DATA(self.output))
        if locked:
            self.release()
        return target

    def run_epoch(
        self,
        Executor tail,
        cnp.ndarray x,
        cnp.ndarray y,
        cnp.ndarray weight,
        cnp.ndarray order,
        cnp.ndarray rates,
        double scale,
        shuffle_seed,
        int threads,
    ) -> float:
        """One epoch: every row once, in batches; return the sum of the rows' losses.

        Parameters
        ----------
        tail : Executor or None
            The program of the rows that remain after whole batches.
        x : (n, …) array of float32, float64 or uint8, at most 4 axes, any strides
            The inputs; a batch sees scale · x[row].
        y, weight : (n, …) C-contiguous arrays of the buffers' dtypes; weight may be None
        order : (n,) int64
            Filled with the order of the rows.
        rates : (steps,) float64
            Each step's learning rate.
        shuffle_seed : int or None
            Seed of the order; None keeps the rows' own.
        threads : int

        Stops after the first batch whose loss isn't finite (the step number tells which). Raises
        KeyboardInterrupt, between two batches, on Ctrl-C.
        """
        cdef Epoch epoch
        cdef int64_t n = x.shape[0], rows = self.plan.rows
        epoch.main = &self.plan
        epoch.tail = &tail.plan if tail is not None else &self.plan
        epoch.main_batches = n // rows
        epoch.batches = epoch.main_batches + (tail is not None)
        if epoch.main_batches * rows + (tail.plan.rows if tail is not None else 0) != n:
            raise ValueError(f"tail must have the {n % rows} rows that remain after batches of {rows}")
        if rates.shape[0] != epoch.batches or order.shape[0] != n:
            raise ValueError("rates needs one value a step, order one a row")
        epoch.next = 0
        epoch.loss = 0
        epoch.stop = False
        epoch.look_up_every = max(1, 1_000_000 // max(self.cost, 1))
        epoch.x = describe_source(x, scale)
        epoch.y = <const char*> cnp.PyArray_DATA(y)
        epoch.weight = <const char*> cnp.PyArray_DATA(weight) if weight is not None else NULL
        if (weight is None) != (self.plan.weight is NULL):
            raise ValueError("weight must be given where, and only where, the program has it")
        epoch.order = <const int64_t*> cnp.PyArray_DATA(order)
        epoch.rates = <const double*> cnp.PyArray_DATA(rates)
        draw_order(<int64_t*> epoch.order, n, shuffle_seed)
        self.acquire()
        if tail is not None:
            tail.acquire()
        try:
            while epoch.next < epoch.batches:
                epoch.stop = False
                with nogil:
                    epoch.deadline = seconds() + LOOK_UP_SECONDS
                    team_run(epoch_body, &epoch, threads)
                PyErr_CheckSignals()
        finally:
            if tail is not None:
                tail.release()
            self.release()
        return epoch.loss


cdef Source describe_source(cnp.ndarray x, double scale):
    cdef Source source
    cdef int64_t i, axes = x.ndim
    source.data = <const char*> cnp.PyArray_DATA(x)
    if x.dtype == "float32":
        source.dtype = SOURCE_F32
    elif x.dtype == "float64":
        source.dtype = SOURCE_F64
    elif x.dtype == "uint8":
        source.dtype = SOURCE_U8
    else:
        raise ValueError(f"x must be float32, float64 or uint8, got {x.dtype}")
    if not 1 <= axes <= 4:
        raise ValueError(f"x must have 1 to 4 axes, got {axes}")
    source.row_stride = x.strides[0]
    source.width = 1
    for i in range(3):
        source.shape[i] = x.shape[i + 1] if i + 1 < axes else 1
        source.stride[i] = x.strides[i + 1] if i + 1 < axes else 0
        source.width *= source.shape[i]
    source.contiguous = x[:1].flags.c_contiguous
    source.scale = scale
    return source
