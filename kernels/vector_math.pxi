# vector_math.h for Cython: each function under one name for both dtypes.
#
# In a loop of floats a literal 1 is a double to C, and the loop half as fast: there the kernels say
# `cdef real one = 1`.

cdef extern from "vector_math.h" nogil:
    float exp_f32(float x)
    double exp_f64(double x)
    float exp_minus_abs_f32(float x)
    double exp_minus_abs_f64(double x)
    float sigmoid_f32(float x)
    double sigmoid_f64(double x)
    float tanh_f32(float x)
    double tanh_f64(double x)
    float log_f32(float x)
    double log_f64(double x)
    float log1p_f32(float x)
    double log1p_f64(double x)
    float log1p_unit_f32(float t)
    double log1p_unit_f64(double t)
    float max_f32(const float* x, int64_t count)
    double max_f64(const double* x, int64_t count)
    float sum_f32(const float* x, int64_t count)
    double sum_f64(const double* x, int64_t count)
    float exp_row_f32(const float* x, int64_t count, float top, float* e, const float* next, float* next_top)
    double exp_row_f64(const double* x, int64_t count, double top, double* e, const double* next, double* next_top)
    void softmax_backward_row_f32(const float* dy, const float* y, int64_t count, float* dx)
    void softmax_backward_row_f64(const double* dy, const double* y, int64_t count, double* dx)


cdef inline real exp_of(real x) noexcept nogil:
    """e^x for x ≤ 0."""
    if real is float:
        return exp_f32(x)
    else:
        return exp_f64(x)


cdef inline real exp_minus_abs_of(real x) noexcept nogil:
    """e^−|x|."""
    if real is float:
        return exp_minus_abs_f32(x)
    else:
        return exp_minus_abs_f64(x)


cdef inline real sigmoid_of(real x) noexcept nogil:
    if real is float:
        return sigmoid_f32(x)
    else:
        return sigmoid_f64(x)


cdef inline real tanh_of(real x) noexcept nogil:
    if real is float:
        return tanh_f32(x)
    else:
        return tanh_f64(x)


cdef inline real log_of(real x) noexcept nogil:
    if real is float:
        return log_f32(x)
    else:
        return log_f64(x)


cdef inline real log1p_of(real x) noexcept nogil:
    if real is float:
        return log1p_f32(x)
    else:
        return log1p_f64(x)


cdef inline real log1p_unit_of(real t) noexcept nogil:
    """log(1 + t) for 0 ≤ t ≤ 1, faster than log1p_of."""
    if real is float:
        return log1p_unit_f32(t)
    else:
        return log1p_unit_f64(t)


cdef inline real first_row_max(const real* x, int64_t columns, int64_t begin, int64_t end) noexcept nogil:
    """The maximum of row `begin`, of rows [begin, end); a NaN may be passed over."""
    if begin == end:
        return 0
    if real is float:
        return max_f32(x + begin * columns, columns)
    else:
        return max_f64(x + begin * columns, columns)


cdef inline real row_sum(const real* x, int64_t columns) noexcept nogil:
    if real is float:
        return sum_f32(x, columns)
    else:
        return sum_f64(x, columns)


cdef inline real exp_row(
    const real* x, int64_t columns, real* top, real* e, bint last
) noexcept nogil:
    """Σ e^(x − top) of a row of more than SHORT_ROW columns; the exponentials go to e, which may be x or NULL.

    Where the row isn't the last, top becomes the maximum of the next one.
    """
    cdef const real* next = x if last else x + columns
    if real is float:
        return exp_row_f32(x, columns, top[0], e, next, top)
    else:
        return exp_row_f64(x, columns, top[0], e, next, top)
