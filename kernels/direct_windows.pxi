# Convolution and pooling straight from Python: of small images the call would take as long as the arithmetic.

from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE

cdef enum:
    LARGEST_OPTION = 1 << 20  # of a stride, padding or dilation here


cdef inline bint read_int(object value, int64_t least, int64_t* to):
    """Whether `value` is an int from `least` to LARGEST_OPTION, which goes to `to`."""
    cdef int overflow = 0
    if not PyLong_CheckExact(value):
        return False
    to[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0 and least <= to[0] <= LARGEST_OPTION


cdef inline bint read_pair(object value, int64_t least, int64_t* to):
    """The same for an int, which goes to both to[0] and to[1], or a pair (height, width)."""
    if PyTuple_CheckExact(value) and PyTuple_GET_SIZE(value) == 2:
        return read_int(<object> PyTuple_GET_ITEM(value, 0), least, to) and (
            read_int(<object> PyTuple_GET_ITEM(value, 1), least, to + 1)
        )
    if not read_int(value, least, to):
        return False
    to[1] = to[0]
    return True


cdef inline bint fit(int64_t size, int64_t padding, int64_t span, int64_t stride, int64_t* out):
    """How often a window of `span` pixels fits along an axis; whether it does."""
    out[0] = (size + 2 * padding - span) // stride + 1
    return size + 2 * padding >= span


cdef inline bint fill_convolution(
    int64_t* n, object x, object weight, int dtype, object stride, object padding, object dilation, object groups
):
    """Whether x and weight are C-contiguous arrays that fit each other and the options; their sizes, in the kernel
    list's order, go to n, 16 of them."""
    cdef const cnp.npy_intp* image
    cdef const cnp.npy_intp* window
    if not (is_c_array(x, dtype, 4) and is_c_array(weight, dtype, 4)):
        return False
    if not (read_pair(stride, 1, n + 7) and read_pair(padding, 0, n + 9) and read_pair(dilation, 1, n + 11)):
        return False
    if not read_int(groups, 1, n + 13):
        return False
    image, window = cnp.PyArray_DIMS(<cnp.ndarray> x), cnp.PyArray_DIMS(<cnp.ndarray> weight)
    n[0], n[1], n[2], n[3] = image[0], image[1], image[2], image[3]
    n[4], n[5], n[6] = window[0], window[2], window[3]
    if n[5] < 1 or n[6] < 1 or n[1] % n[13] or n[4] % n[13] or window[1] * n[13] != n[1]:
        return False
    return fit(n[2], n[9], n[11] * (n[5] - 1) + 1, n[7], n + 14) and (
        fit(n[3], n[10], n[12] * (n[6] - 1) + 1, n[8], n + 15)
    )


cdef inline int64_t convolution_cost(const int64_t* n):
    return n[0] * n[4] * n[14] * n[15] * (n[1] // n[13]) * n[5] * n[6]


def conv2d_direct(x, weight, bias, stride, padding, dilation, groups, out):
    """Return the convolution of x, in `out` where given; bias may be None.

    Returns None, and does nothing, unless all are C-contiguous arrays of one float dtype whose shapes fit, the options
    are ints or pairs of ints in range, and out overlaps none of the others: then the checked path says what is
    wrong, or makes copies.
    """
    cdef int dtype = float_type(x)
    cdef Op op
    cdef cnp.npy_intp shape[4]
    cdef cnp.ndarray result
    if dtype == -1 or not fill_convolution(op.n, x, weight, dtype, stride, padding, dilation, groups):
        return None
    if bias is not None and not (
        is_c_array(bias, dtype, 1) and cnp.PyArray_DIMS(<cnp.ndarray> bias)[0] == op.n[4]
    ):
        return None
    shape[0], shape[1], shape[2], shape[3] = op.n[0], op.n[4], op.n[14], op.n[15]
    result = array_result(out, dtype, 4, shape)
    if result is None or overlap(result, <cnp.ndarray> x) or overlap(result, <cnp.ndarray> weight):
        return None
    if bias is not None and overlap(result, <cnp.ndarray> bias):
        return None
    op.kernel = <kernel_function> (<void*> conv2d[float] if dtype == cnp.NPY_FLOAT else <void*> conv2d[double])
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(<cnp.ndarray> weight)
    op.t[2] = NULL if bias is None else cnp.PyArray_DATA(<cnp.ndarray> bias)
    op.t[3] = cnp.PyArray_DATA(result)
    op.n[16] = 0  # no ReLU
    run_once(&op, convolution_cost(op.n))
    return result


def conv2d_backward_direct(dy, x, weight, stride, padding, dilation, groups):
    """Return the gradients of `conv2d` by x, weight and bias; None as conv2d_direct does."""
    cdef int dtype = float_type(x)
    cdef Op op
    cdef cnp.npy_intp shape[4]
    cdef cnp.ndarray dx, dweight, dbias
    if dtype == -1 or not fill_convolution(op.n, x, weight, dtype, stride, padding, dilation, groups):
        return None
    shape[0], shape[1], shape[2], shape[3] = op.n[0], op.n[4], op.n[14], op.n[15]
    if not (is_c_array(dy, dtype, 4) and has_shape(dy, 4, shape)):
        return None
    dx = cnp.PyArray_EMPTY(4, cnp.PyArray_DIMS(<cnp.ndarray> x), dtype, 0)
    dweight = cnp.PyArray_EMPTY(4, cnp.PyArray_DIMS(<cnp.ndarray> weight), dtype, 0)
    dbias = cnp.PyArray_EMPTY(1, shape + 1, dtype, 0)
    op.kernel = <kernel_function> (
        <void*> conv2d_backward_input[float] if dtype == cnp.NPY_FLOAT else <void*> conv2d_backward_input[double]
    )
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> dy), cnp.PyArray_DATA(<cnp.ndarray> weight)
    op.t[2], op.t[3] = NULL, cnp.PyArray_DATA(dx)
    run_once(&op, convolution_cost(op.n))
    op.kernel = <kernel_function> (
        <void*> conv2d_backward_weight[float] if dtype == cnp.NPY_FLOAT else <void*> conv2d_backward_weight[double]
    )
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(<cnp.ndarray> dy)
    op.t[2], op.t[3] = cnp.PyArray_DATA(dweight), cnp.PyArray_DATA(dbias)
    run_once(&op, convolution_cost(op.n))
    return dx, dweight, dbias


cdef inline bint fill_pooling(
    int64_t* n, cnp.npy_intp* shape, object x, int dtype, object window, object stride, object padding
):
    """Whether x is a C-contiguous array that fits the options; the sizes, in the kernel list's order, go to n, 11 of
    them, and the result's shape to `shape`."""
    cdef const cnp.npy_intp* image
    if not (
        is_c_array(x, dtype, 4)
        and read_pair(window, 1, n + 3)
        and read_pair(window if stride is None else stride, 1, n + 5)
        and read_pair(padding, 0, n + 7)
    ):
        return False
    image = cnp.PyArray_DIMS(<cnp.ndarray> x)
    n[0], n[1], n[2] = image[0] * image[1], image[2], image[3]
    if 2 * n[7] > n[3] or 2 * n[8] > n[4] or n[1] < 1 or n[2] < 1:
        return False
    if not (fit(n[1], n[7], n[3], n[5], n + 9) and fit(n[2], n[8], n[4], n[6], n + 10)):
        return False
    shape[0], shape[1], shape[2], shape[3] = image[0], image[1], n[9], n[10]
    return True


cdef inline int64_t pooling_cost(const int64_t* n):
    return n[0] * n[9] * n[10] * n[3] * n[4]


def pool2d_direct(bint average, x, window, stride, padding, out):
    """Return the max or average pooling of x, in `out` where given; None as conv2d_direct does."""
    cdef int dtype = float_type(x)
    cdef Op op
    cdef cnp.npy_intp shape[4]
    cdef cnp.ndarray result
    if dtype == -1 or not fill_pooling(op.n, shape, x, dtype, window, stride, padding):
        return None
    result = array_result(out, dtype, 4, shape)
    if result is None or overlap(result, <cnp.ndarray> x):
        return None
    if average:
        op.kernel = <kernel_function> (
            <void*> avg_pool2d[float] if dtype == cnp.NPY_FLOAT else <void*> avg_pool2d[double]
        )
    else:
        op.kernel = <kernel_function> (
            <void*> max_pool2d[float] if dtype == cnp.NPY_FLOAT else <void*> max_pool2d[double]
        )
    op.t[0], op.t[1] = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(result)
    run_once(&op, pooling_cost(op.n))
    return result


def pool2d_backward_direct(bint average, dy, x, window, stride, padding, out):
    """Return the gradient of max or average pooling by x, in `out` where given; None as conv2d_direct does."""
    cdef int dtype = float_type(x)
    cdef Op op
    cdef cnp.npy_intp shape[4]
    cdef cnp.ndarray result
    if dtype == -1 or not fill_pooling(op.n, shape, x, dtype, window, stride, padding):
        return None
    if not (is_c_array(dy, dtype, 4) and has_shape(dy, 4, shape)):
        return None
    result = array_result(out, dtype, 4, cnp.PyArray_DIMS(<cnp.ndarray> x))
    if result is None or overlap(result, <cnp.ndarray> x) or overlap(result, <cnp.ndarray> dy):
        return None
    op.t[0] = cnp.PyArray_DATA(<cnp.ndarray> dy)
    if average:
        op.kernel = <kernel_function> (
            <void*> avg_pool2d_backward[float] if dtype == cnp.NPY_FLOAT else <void*> avg_pool2d_backward[double]
        )
        op.t[1] = cnp.PyArray_DATA(result)
    else:
        op.kernel = <kernel_function> (
            <void*> max_pool2d_backward[float] if dtype == cnp.NPY_FLOAT else <void*> max_pool2d_backward[double]
        )
        op.t[1], op.t[2] = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(result)
        op.n[11] = 0  # no ReLU
    run_once(&op, pooling_cost(op.n))
    return result
