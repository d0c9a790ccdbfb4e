# Ops: a kernel with its operands, and the team of threads that runs it.

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


cdef struct Plan:
    # A program as the threads see it: its ops and the buffers that a batch fills.
    Op* ops
    int64_t n_ops
    int64_t rows
    bint single  # float32, not float64
    void* x
    void*** x_slots  # the operands that stand for the input, which may point at the caller's array
    int64_t n_x_slots
    void* y
    bint classes  # y is int64
    int64_t y_columns
    void* weight
    void* loss
    double* step


cdef inline void bind_input(Plan* plan, void* x) noexcept nogil:
    """Point the operands that stand for the input at x."""
    cdef int64_t i
    for i in range(plan.n_x_slots):
        plan.x_slots[i][0] = x


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
