# The linear layer and its gradients straight from Python.


def linear_direct(x, weight, bias, activation, out):
    """Return x weight + bias (bias may be None), and its ReLU with activation "relu", in `out` where given.

    Returns None, and does nothing, unless all are C-contiguous arrays of one float dtype whose shapes agree and
    out overlaps none of the others: then the checked path says what is wrong, or makes copies.
    """
    cdef int dtype = float_type(x)
    cdef int64_t m, n, k
    cdef cnp.ndarray result
    cdef Op op
    cdef bint relu = activation is not None
    if dtype == -1 or (relu and activation != "relu"):
        return None
    if not (is_c_array(x, dtype, 2) and is_c_array(weight, dtype, 2)):
        return None
    m, k = cnp.PyArray_DIMS(<cnp.ndarray> x)[0], cnp.PyArray_DIMS(<cnp.ndarray> x)[1]
    n = cnp.PyArray_DIMS(<cnp.ndarray> weight)[1]
    if cnp.PyArray_DIMS(<cnp.ndarray> weight)[0] != k:
        return None
    if bias is not None and not (
        is_c_array(bias, dtype, 1) and cnp.PyArray_DIMS(<cnp.ndarray> bias)[0] == n
    ):
        return None
    result = matrix_result(out, dtype, m, n)
    if result is None or overlap(result, <cnp.ndarray> x) or overlap(result, <cnp.ndarray> weight):
        return None
    if bias is not None and overlap(result, <cnp.ndarray> bias):
        return None
    op.kernel = <kernel_function> (
        <void*> linear[float] if dtype == cnp.NPY_FLOAT else <void*> linear[double]
    )
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(<cnp.ndarray> weight)
    op.t[2] = NULL if bias is None else cnp.PyArray_DATA(<cnp.ndarray> bias)
    op.t[3] = cnp.PyArray_DATA(result)
    op.n[0], op.n[1], op.n[2], op.n[3] = m, k, n, relu
    run_once(&op, m * n * k)
    return result


def linear_backward_direct(dy, x, weight):
    """Return the gradients of `linear` by x, weight and bias.

    Returns None, and does nothing, unless all are C-contiguous matrices of one float dtype whose shapes agree.
    """
    cdef int dtype = float_type(x)
    cdef int64_t m, n, k
    cdef cnp.ndarray dx, dweight, dbias
    cdef Op op
    if dtype == -1 or not (is_c_array(dy, dtype, 2) and is_c_array(x, dtype, 2) and is_c_array(weight, dtype, 2)):
        return None
    m, k = cnp.PyArray_DIMS(<cnp.ndarray> x)[0], cnp.PyArray_DIMS(<cnp.ndarray> x)[1]
    n = cnp.PyArray_DIMS(<cnp.ndarray> weight)[1]
    if not (
        cnp.PyArray_DIMS(<cnp.ndarray> weight)[0] == k
        and cnp.PyArray_DIMS(<cnp.ndarray> dy)[0] == m
        and cnp.PyArray_DIMS(<cnp.ndarray> dy)[1] == n
    ):
        return None
    dx = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(<cnp.ndarray> x), dtype, 0)
    dweight = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(<cnp.ndarray> weight), dtype, 0)
    dbias = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(<cnp.ndarray> dy) + 1, dtype, 0)
    op.n[0], op.n[1], op.n[2] = m, k, n
    op.kernel = <kernel_function> (
        <void*> linear_backward_input[float] if dtype == cnp.NPY_FLOAT else <void*> linear_backward_input[double]
    )
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> dy), cnp.PyArray_DATA(<cnp.ndarray> weight)
    op.t[2], op.t[3] = NULL, cnp.PyArray_DATA(dx)
    run_once(&op, m * n * k)
    op.kernel = <kernel_function> (
        <void*> linear_backward_weight[float] if dtype == cnp.NPY_FLOAT else <void*> linear_backward_weight[double]
    )
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(<cnp.ndarray> dy)
    op.t[2], op.t[3] = cnp.PyArray_DATA(dweight), cnp.PyArray_DATA(dbias)
    run_once(&op, m * n * k)
    return dx, dweight, dbias
