# The executor: runs a program's ops on its buffers, for one batch or a whole epoch, without the GIL.

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)


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
    # The operands that stand for the output, which predict() points at the caller's array.
    cdef void*** output_slots
    cdef int64_t n_output_slots
    cdef bint rebound

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
        self.plan.x_slots = <void***> PyMem_Calloc(max(n_ops, 1) * MAX_OPERANDS, sizeof(void**))
        self.output_slots = <void***> PyMem_Calloc(max(n_ops, 1) * MAX_OPERANDS, sizeof(void**))
        if not self.plan.ops or not self.plan.x_slots or not self.output_slots or not self.lock:
            raise MemoryError("no memory for the executor")
        for i, (address, operands, sizes, scalars, barrier) in enumerate(self.ops):
            fill_op(self.plan.ops + i, address, operands, sizes, scalars, barrier)
        if x is not None:
            self.plan.single = self.x.dtype.itemsize == 4
            self.plan.x = cnp.PyArray_DATA(self.x)
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
        for i in range(n_ops):
            for j in range(MAX_OPERANDS):
                if x is not None and self.plan.ops[i].t[j] == self.plan.x:
                    self.plan.x_slots[self.plan.n_x_slots] = &self.plan.ops[i].t[j]
                    self.plan.n_x_slots += 1
                if output is not None and self.plan.ops[i].t[j] == cnp.PyArray_DATA(self.output):
                    self.output_slots[self.n_output_slots] = &self.plan.ops[i].t[j]
                    self.n_output_slots += 1

    def __dealloc__(self):
        PyMem_Free(self.plan.ops)
        PyMem_Free(self.plan.x_slots)
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
        bind_input(&self.plan, x)
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
        if overlap(source, target):
            return None  # an op could overwrite what another still reads
        # With the GIL kept throughout, no other run can come between: the lock is needed only otherwise.
        locked = self.busy or self.cost >= RELEASE_MIN_COST
        if locked:
            self.acquire()
        self.bind(cnp.PyArray_DATA(source), cnp.PyArray_DATA(target))
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
            The inputs; a batch sees scale · x[row]. Read where they lie, if a batch is a part of x as it is.
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
        epoch.in_place = (
            shuffle_seed is None and scale == 1 and cnp.PyArray_ISCARRAY_RO(x)
            and cnp.PyArray_TYPE(x) == (cnp.NPY_FLOAT if self.plan.single else cnp.NPY_DOUBLE)
        )
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
            bind_input(epoch.main, epoch.main.x)
            bind_input(epoch.tail, epoch.tail.x)
            if tail is not None:
                tail.release()
            self.release()
        return epoch.loss
