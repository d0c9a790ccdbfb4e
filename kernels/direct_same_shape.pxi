# Elementwise kernels, and those over rows, straight from Python: one or two arrays into one of the same shape.


cdef class SameShape:
    """What is known of such a kernel: its two functions, how many arrays it reads, its sizes and cost."""

    cdef kernel_function single, double_
    cdef bint binary  # two arrays are read
    cdef bint by_rows  # its sizes are (rows, columns), not (size,)
    cdef int64_t unit_cost  # multiply-adds an element

    def __cinit__(self, row, uintptr_t single, uintptr_t double_):
        self.single, self.double_ = <kernel_function> single, <kernel_function> double_
        self.binary = len(row.reads) == 2
        self.by_rows = row.sizes == ("rows", "columns")
        self.unit_cost = row.cost(dict.fromkeys(row.sizes, 1))


# name → SameShape; native.pxi fills it
cdef dict _same_shape = {}


cdef void fill_same_shape():
    for name in (
        "relu", "relu_backward", "sigmoid", "sigmoid_backward", "tanh", "tanh_backward",
        "softmax", "softmax_backward", "log_softmax",
    ):
        _same_shape[name] = SameShape(KERNELS[name], _addresses[name, "float32"], _addresses[name, "float64"])


cdef inline bint fits(object array, cnp.ndarray first):
    """Whether `array` is a C-contiguous ndarray of the dtype and shape of `first`."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(<cnp.ndarray> array) == cnp.PyArray_TYPE(first)
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> array)
        and cnp.PyArray_SAMESHAPE(<cnp.ndarray> array, first)
    )


cdef inline bint is_floats(object array):
    """Whether `array` is a C-contiguous ndarray of float32 or float64."""
    return float_type(array) != -1 and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> array)


cdef inline bint tangled(cnp.ndarray out, cnp.ndarray array):
    """Whether out overlaps an input otherwise than exactly, which is allowed: in place."""
    return cnp.PyArray_DATA(out) != cnp.PyArray_DATA(array) and overlap(out, array)


def same_shape_direct(str name, a, b, out):
    """Return what the kernel `name` makes of a, or of a and b (else None), in `out` where given.

    Returns None, and does nothing, unless all are C-contiguous arrays of one float dtype and shape, and out is
    apart from the inputs or is one of them: then the checked path says what is wrong, or makes copies.
    """
    cdef SameShape kernel = <SameShape> _same_shape[name]
    cdef cnp.ndarray first, result
    cdef int64_t size, columns, cost
    cdef Op op
    if not is_floats(a):
        return None
    first = <cnp.ndarray> a
    if kernel.binary and not fits(b, first):
        return None
    size = cnp.PyArray_SIZE(first)
    if kernel.by_rows and (cnp.PyArray_NDIM(first) == 0 or size == 0):
        return None
    if out is None:
        result = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(first), cnp.PyArray_DIMS(first), cnp.PyArray_TYPE(first), 0)
    else:
        if not fits(out, first):
            return None
        result = <cnp.ndarray> out
        if not cnp.PyArray_ISWRITEABLE(result) or tangled(result, first):
            return None
        if kernel.binary and tangled(result, <cnp.ndarray> b):
            return None
    op.kernel = kernel.single if cnp.PyArray_TYPE(first) == cnp.NPY_FLOAT else kernel.double_
    op.t[0] = cnp.PyArray_DATA(first)
    if kernel.binary:
        op.t[1], op.t[2] = cnp.PyArray_DATA(<cnp.ndarray> b), cnp.PyArray_DATA(result)
    else:
        op.t[1] = cnp.PyArray_DATA(result)
    if kernel.by_rows:
        columns = cnp.PyArray_DIMS(first)[cnp.PyArray_NDIM(first) - 1]
        op.n[0], op.n[1] = size // columns, columns
    else:
        op.n[0] = size
    run_once(&op, kernel.unit_cost * size)
    return result
