# Dropout. Whether element i stays is a hash of i and of a key that the seed, the layer and the step give: the
# backward pass and every thread find the same mask, and nothing is stored.
#
# The definition, to the bit, in unsigned arithmetic modulo 2^64 (mix64) and 2^32 (the rest):
#
#     key = mix64(mix64(mix64(seed + 0x9E3779B97F4A7C15) + stream) + step)
#     h[i] = mix32(mix32(i + key mod 2^32) ^ (key >> 32))
#     y[i] = x[i] · 1 / (1 − rate)  if  h[i] >> 8 ≥ rate · 2^24,  else 0
#
# with mix64 and mix32 of random.h, 1 / (1 − rate) computed in float64 and rounded to the dtype, and i modulo
# 2^32.

from libc.math cimport ceil

cdef extern from "random.h" nogil:
    uint64_t mix64(uint64_t z)
    uint32_t mix32(uint32_t x)


cdef void dropout(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y[i] = x[i] / (1 − rate) where random(seed, stream, step, i) ≥ rate, else 0. Shapes (size,).

    Its own backward pass. Overwrites y, which may be x.
    """
    cdef const real* x = t[0]
    cdef uint64_t step = <uint64_t> (<const double*> t[1])[1]
    cdef real* y = t[2]
    cdef uint64_t seed = <uint64_t> n[1], stream = <uint64_t> n[2]
    cdef uint64_t key = mix64(mix64(mix64(seed + <uint64_t> 0x9E3779B97F4A7C15) + stream) + step)
    cdef uint32_t low = <uint32_t> key, high = <uint32_t> (key >> 32)
    cdef uint32_t threshold = <uint32_t> ceil(s[0] * 16777216)
    cdef real factor = <real> (1 / (1 - s[0]))
    cdef real scaled
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        scaled = factor * x[i]
        y[i] = scaled if mix32(mix32(<uint32_t> i + low) ^ high) >> 8 >= threshold else 0
