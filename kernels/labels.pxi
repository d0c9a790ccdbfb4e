# Checks of the labels of a loss, in one pass; a NaN is never right.


cdef inline bint all_probabilities(const real* y, int64_t count) noexcept nogil:
    """Whether 0 ≤ y ≤ 1 everywhere."""
    cdef bint right = True
    cdef int64_t i
    for i in range(count):
        right &= (y[i] >= 0) & (y[i] <= 1)
    return right


cdef inline bint all_classes(const int64_t* y, int64_t count, int64_t classes) noexcept nogil:
    """Whether 0 ≤ y < classes everywhere."""
    cdef bint right = True
    cdef int64_t i
    for i in range(count):
        right &= (y[i] >= 0) & (y[i] < classes)
    return right


def are_probabilities(cnp.ndarray y) -> bool:
    """Whether y is a C-contiguous array of float32 or float64 that holds numbers from 0 to 1 alone."""
    if not cnp.PyArray_ISCARRAY_RO(y):
        return False
    if cnp.PyArray_TYPE(y) == cnp.NPY_FLOAT:
        return all_probabilities[float](<const float*> cnp.PyArray_DATA(y), cnp.PyArray_SIZE(y))
    if cnp.PyArray_TYPE(y) == cnp.NPY_DOUBLE:
        return all_probabilities[double](<const double*> cnp.PyArray_DATA(y), cnp.PyArray_SIZE(y))
    return False


def are_classes(cnp.ndarray y, int64_t classes) -> bool:
    """Whether y is a C-contiguous array of int64 that holds numbers from 0 to classes − 1 alone."""
    return (
        cnp.PyArray_ISCARRAY_RO(y)
        and cnp.PyArray_TYPE(y) == cnp.NPY_INT64
        and all_classes(<const int64_t*> cnp.PyArray_DATA(y), cnp.PyArray_SIZE(y), classes)
    )
