# Rows of the caller's data into a batch's buffer: out[i] = scale · data[order[i]], in the buffer's dtype.
#
# The data stay as they are: float32, float64 or bytes, with any strides, so no whole set is ever copied.

cdef extern from "simd.h":
    int VECTOR_BYTES
    ctypedef float vector_f32
    vector_f32 load_f32(const float* p) noexcept nogil
    void store_f32(float* p, vector_f32 v) noexcept nogil
    vector_f32 load_partial_f32(const float* p, int count) noexcept nogil
    void store_partial_f32(float* p, vector_f32 v, int count) noexcept nogil

cdef extern from *:
    void __builtin_prefetch(const void* address) noexcept nogil

ctypedef fused cell:
    float
    double
    uint8_t

cdef enum:
    # Rows that are asked for ahead: as much as arrives while a row from memory is waited for.
    PREFETCH_BYTES = 4096

    SOURCE_F32
    SOURCE_F64
    SOURCE_U8


cdef struct Source:
    # data (n, shape[0], shape[1], shape[2]); strides in bytes, unused axes of length 1.
    const char* data
    int dtype
    bint contiguous  # whether a row is one run of cells
    int64_t row_stride
    int64_t shape[3]
    int64_t stride[3]
    int64_t width  # cells in a row
    int64_t row_bytes  # of a contiguous row, else 0
    int64_t rows_ahead  # how many rows are asked for before they are read
    double scale


cdef inline void gather_row(const Source* source, const cell* row, real* out) noexcept nogil:
    cdef real scale = <real> source.scale
    cdef const char* at
    cdef int64_t i, j, k, count = source.width
    cdef int lanes
    if not source.contiguous:
        for i in range(source.shape[0]):
            for j in range(source.shape[1]):
                at = <const char*> row + i * source.stride[0] + j * source.stride[1]
                for k in range(source.shape[2]):
                    out[0] = <real> (<const cell*> (at + k * source.stride[2]))[0] * scale
                    out += 1
        return
    if cell is float and real is float:
        # The common case without a scalar remainder: short rows are all remainder.
        lanes = VECTOR_BYTES // <int> sizeof(float)
        i = 0
        while i + lanes <= count:
            store_f32(out + i, load_f32(row + i) * scale)
            i += lanes
        if i < count:
            store_partial_f32(
                out + i, load_partial_f32(row + i, <int> (count - i)) * scale, <int> (count - i)
            )
    else:
        for i in range(count):
            out[i] = <real> row[i] * scale


cdef inline void prefetch_row(const Source* source, int64_t index) noexcept nogil:
    """Ask for a row's cache lines. In shuffled data the processor can't foresee where the next row lies."""
    cdef const char* row = source.data + index * source.row_stride
    cdef int64_t line
    for line from 0 <= line < source.row_bytes by 64:
        __builtin_prefetch(row + line)


cdef void gather(
    const Source* source, const int64_t* order, int64_t begin, int64_t end, real* out
) noexcept nogil:
    """out[i] = scale · data[order[i]] for i in [begin, end)."""
    cdef int64_t i, ahead = source.rows_ahead
    cdef const char* row
    for i in range(begin, min(end, begin + ahead)):
        prefetch_row(source, order[i])
    for i in range(begin, end):
        if i + ahead < end:
            prefetch_row(source, order[i + ahead])
        row = source.data + order[i] * source.row_stride
        if source.dtype == SOURCE_F32:
            gather_row[float, real](source, <const float*> row, out + i * source.width)
        elif source.dtype == SOURCE_F64:
            gather_row[double, real](source, <const double*> row, out + i * source.width)
        else:
            gather_row[uint8_t, real](source, <const uint8_t*> row, out + i * source.width)


cdef Source describe_source(cnp.ndarray x, double scale):
    cdef Source source
    cdef int64_t i, axes = x.ndim
    source.data = <const char*> cnp.PyArray_DATA(x)
    if x.dtype == "float32":
        source.dtype = SOURCE_F32
    elif x.dtype == "float64":
        source.dtype = SOURCE_F64
    elif x.dtype == "uint8":
        source.dtype = SOURCE_U8
    else:
        raise ValueError(f"x must be float32, float64 or uint8, got {x.dtype}")
    if not 1 <= axes <= 4:
        raise ValueError(f"x must have 1 to 4 axes, got {axes}")
    source.row_stride = x.strides[0]
    source.width = 1
    for i in range(3):
        source.shape[i] = x.shape[i + 1] if i + 1 < axes else 1
        source.stride[i] = x.strides[i + 1] if i + 1 < axes else 0
        source.width *= source.shape[i]
    source.contiguous = x[:1].flags.c_contiguous
    source.row_bytes = source.width * x.itemsize if source.contiguous else 0
    source.rows_ahead = max(1, PREFETCH_BYTES // source.row_bytes) if source.contiguous else 0
    source.scale = scale
    return source
