# Optimizers: one pass over the flat vectors, divided between the threads. step holds the learning rate and the
# number of the step, counted from 1. What depends on the step alone is computed once, in float64.

from libc.float cimport DBL_MIN, FLT_MIN
from libc.math cimport fabs, fabsf, pow, sqrt, sqrtf


cdef inline real sqrt_of(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline real without_subnormals(real x) noexcept nogil:
    """x, or 0 where it is subnormal. What decays where gradients have become 0, those of units that never fire again,
    would stay subnormal for ever, and slow every later step down (Adam's whole pass 1.7 to 3.4 times)."""
    if real is float:
        return 0 if fabsf(x) < FLT_MIN else x
    else:
        return 0 if fabs(x) < DBL_MIN else x


cdef void sgd(real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads) noexcept nogil:
    """g = gradient + weight_decay theta; v = momentum v + g; theta −= lr (g + momentum v if nesterov, else v).

    Shapes (size,). Updates theta and velocity, which may be absent where momentum is 0. Velocity begins at zero, and is
    0 where it would be subnormal.
    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013,
    with the learning rate outside of v, as in PyTorch's SGD.
    """
    cdef const real* gradient = t[0]
    cdef const double* step = <const double*> t[1]
    cdef real* theta = t[2]
    cdef real* velocity = t[3]
    cdef int64_t nesterov = n[1]
    cdef real rate = <real> step[0], momentum = <real> s[0], weight_decay = <real> s[1], g, v
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    if velocity is NULL:
        for i in range(begin, end):
            g = gradient[i] + weight_decay * theta[i]
            theta[i] -= rate * g
    else:
        for i in range(begin, end):
            g = gradient[i] + weight_decay * theta[i]
            v = without_subnormals(g + momentum * velocity[i])
            velocity[i] = v
            theta[i] -= rate * (g + momentum * v if nesterov else v)


cdef void adam(real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads) noexcept nogil:
    """theta −= lr weight_decay theta if decoupled (AdamW), else g = gradient + weight_decay theta;
    m = beta1 m + (1 − beta1) g; v = beta2 v + (1 − beta2) g²;
    theta −= lr m / (1 − beta1^t) / (√(v / (1 − beta2^t)) + eps), t the number of the step.

    Shapes (size,). Updates theta, m and v; m and v begin at zero, and are 0 where they would be subnormal.
    Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1; Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019, algorithm 2.
    """
    cdef const real* gradient = t[0]
    cdef const double* step = <const double*> t[1]
    cdef real* theta = t[2]
    cdef real* m = t[3]
    cdef real* v = t[4]
    cdef double beta1 = s[0], beta2 = s[1], rate = step[0]
    cdef real weight_decay = <real> (0 if n[1] else s[3])
    cdef real keep = <real> (1 - rate * s[3] if n[1] else 1)
    cdef real new1 = <real> (1 - beta1), new2 = <real> (1 - beta2), eps = <real> s[2]
    cdef real corrected_rate = <real> (rate / (1 - pow(beta1, step[1])))
    cdef real root_correction = <real> (1 / sqrt(1 - pow(beta2, step[1])))
    cdef real g, mean, square
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        g = gradient[i] + weight_decay * theta[i]
        # Written so that no product is added to another: see vector_math.h.
        mean = without_subnormals(m[i] + new1 * (g - m[i]))
        square = without_subnormals(v[i] + new2 * (g * g - v[i]))
        m[i] = mean
        v[i] = square
        theta[i] = keep * theta[i] - corrected_rate * mean / (root_correction * sqrt_of(square) + eps)
