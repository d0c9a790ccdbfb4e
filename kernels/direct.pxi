# Matrix products straight from Python: for small ones the call costs more than the arithmetic.


cdef inline bint is_matrix(object array, int dtype):
    """Whether `array` is an ndarray of two axes and this dtype, contiguous in either order."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_NDIM(<cnp.ndarray> array) == 2
        and cnp.PyArray_TYPE(<cnp.ndarray> array) == dtype
        and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray> array)
        and (
            cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray> array)
            or cnp.PyArray_IS_F_CONTIGUOUS(<cnp.ndarray> array)
        )
    )


cdef inline int float_type(object array):
    """NPY_FLOAT or NPY_DOUBLE, if `array` is an ndarray of it, else -1."""
    cdef int dtype
    if not cnp.PyArray_CheckExact(array):
        return -1
    dtype = cnp.PyArray_TYPE(<cnp.ndarray> array)
    return dtype if dtype == cnp.NPY_FLOAT or dtype == cnp.NPY_DOUBLE else -1


cdef inline bint overlap(cnp.ndarray x, cnp.ndarray y):
    cdef char* x_data = <char*> cnp.PyArray_DATA(x)
    cdef char* y_data = <char*> cnp.PyArray_DATA(y)
    return x_data < y_data + cnp.PyArray_NBYTES(y) and y_data < x_data + cnp.PyArray_NBYTES(x)


cdef inline bint is_c_array(object array, int dtype, int axes):
    """Whether `array` is a C-contiguous ndarray of this dtype and so many axes."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(<cnp.ndarray> array) == dtype
        and cnp.PyArray_NDIM(<cnp.ndarray> array) == axes
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> array)
    )


cdef inline bint has_shape(object array, int axes, const cnp.npy_intp* shape):
    """Whether the lengths of the axes of `array`, so many, are those."""
    cdef const cnp.npy_intp* own = cnp.PyArray_DIMS(<cnp.ndarray> array)
    cdef int axis
    for axis in range(axes):
        if own[axis] != shape[axis]:
            return False
    return True


cdef inline object array_result(object out, int dtype, int axes, const cnp.npy_intp* shape):
    """`out` if it is a writable C-contiguous array of this shape and dtype, a new one if it is None, else None."""
    if out is None:
        return cnp.PyArray_EMPTY(axes, <cnp.npy_intp*> shape, dtype, 0)
    if not (is_c_array(out, dtype, axes) and cnp.PyArray_ISCARRAY(<cnp.ndarray> out)):
        return None
    return out if has_shape(out, axes, shape) else None


cdef inline object matrix_result(object out, int dtype, int64_t m, int64_t n):
    """The same of a matrix (m, n)."""
    cdef cnp.npy_intp shape[2]
    shape[0], shape[1] = m, n
    return array_result(out, dtype, 2, shape)


cdef inline void run_once(Op* op, int64_t cost):
    """Run an op of `cost` multiply-adds; the GIL is given up where the work is worth it."""
    if cost < RELEASE_MIN_COST:
        op.kernel(op.t, op.n, op.s, 0, 1)
    else:
        with nogil:
            team_run(op_body, op, team_size(cost))


def matmul_direct(a, b, bint transpose_a, bint transpose_b, out):
    """Return a b (either transposed), in `out` where given.

    Returns None, and does nothing, unless a, b and out are contiguous matrices of one dtype whose shapes
    agree and out overlaps neither: then the checked path says what is wrong, or makes copies.
    """
    cdef int dtype = float_type(a)
    cdef cnp.ndarray left, right, result
    cdef int64_t m, n, k, k_b, a_row, a_column, b_row, b_column
    cdef Op op
    if dtype == -1 or not (is_matrix(a, dtype) and is_matrix(b, dtype)):
        return None
    left, right = <cnp.ndarray> a, <cnp.ndarray> b
    m, k = cnp.PyArray_DIMS(left)[0], cnp.PyArray_DIMS(left)[1]
    a_row, a_column = k, 1
    if not cnp.PyArray_IS_C_CONTIGUOUS(left):
        a_row, a_column = 1, m
    if transpose_a:
        m, k, a_row, a_column = k, m, a_column, a_row
    k_b, n = cnp.PyArray_DIMS(right)[0], cnp.PyArray_DIMS(right)[1]
    b_row, b_column = n, 1
    if not cnp.PyArray_IS_C_CONTIGUOUS(right):
        b_row, b_column = 1, k_b
    if transpose_b:
        k_b, n, b_row, b_column = n, k_b, b_column, b_row
    if k != k_b:
        return None
    result = matrix_result(out, dtype, m, n)
    if result is None or overlap(result, left) or overlap(result, right):
        return None
    op.kernel = <kernel_function> (
        <void*> matmul[float] if dtype == cnp.NPY_FLOAT else <void*> matmul[double]
    )
    op.t[0], op.t[1], op.t[2] = (
        cnp.PyArray_DATA(left), cnp.PyArray_DATA(right), cnp.PyArray_DATA(result)
    )
    op.n[0], op.n[1], op.n[2], op.n[3], op.n[4], op.n[5], op.n[6] = (
        m, n, k, a_row, a_column, b_row, b_column
    )
    run_once(&op, m * n * k)
    return result
