# What every kernel starts from: its types, and how a team of threads divides the outputs.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t, uintptr_t

ctypedef fused real:
    float
    double


cdef inline void share(
    int64_t count, int64_t grain, int64_t thread, int64_t threads, int64_t* begin, int64_t* end
) noexcept nogil:
    """Give `thread` of `threads` its range of `count` outputs, cut at multiples of `grain`."""
    cdef int64_t grains = (count + grain - 1) // grain
    begin[0] = grains * thread // threads * grain
    end[0] = min(count, grains * (thread + 1) // threads * grain)
