/* Vectors of the instruction set that this file is compiled for: the one place that names instruction sets.

   Everything else is written with GCC's vector extensions over these types, so it builds for any processor.
   VECTOR_BYTES is the width of a register; TILE_ROWS is the height of matmul's register tile, chosen so that
   the tile (TILE_ROWS x 2 accumulators), two vectors of b and one of a fill the registers but don't spill. */
#ifndef FASTNN_SIMD_H
#define FASTNN_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) /* 32 registers */
#define VECTOR_BYTES 64
#define TILE_ROWS 8
#elif defined(__AVX2__) /* 16 registers */
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#else /* 16 registers (x86-64), no fused multiply-add; 32 on aarch64 */
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#endif

#define FASTNN_INLINE static inline __attribute__((always_inline))

/* Tell the processor that a loop waits for another thread. */
FASTNN_INLINE void spin_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Keep a vector in a register where there are enough: else GCC may load it anew for every use. */
#if defined(__AVX512F__)
#define KEEP_IN_REGISTER(v) __asm__("" : "+v"(v))
#else
#define KEEP_IN_REGISTER(v)
#endif

typedef float vector_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef double vector_f64 __attribute__((vector_size(VECTOR_BYTES)));
/* Integers of the same size: comparisons give masks of them, shuffles take lanes' numbers. */
typedef int32_t lane_f32;
typedef int64_t lane_f64;
typedef lane_f32 mask_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef lane_f64 mask_f64 __attribute__((vector_size(VECTOR_BYTES)));

/* Full loads and stores, at any address. */
FASTNN_INLINE vector_f32 load_f32(const float *p) {
    vector_f32 v;
    memcpy(&v, p, sizeof v);
    return v;
}
FASTNN_INLINE vector_f64 load_f64(const double *p) {
    vector_f64 v;
    memcpy(&v, p, sizeof v);
    return v;
}
FASTNN_INLINE void store_f32(float *p, vector_f32 v) { memcpy(p, &v, sizeof v); }
FASTNN_INLINE void store_f64(double *p, vector_f64 v) { memcpy(p, &v, sizeof v); }

/* a > b ? a : b in every lane: b, where either is NaN. GCC's vectors of C know no ?:. */
#if defined(__AVX512F__)
#include <immintrin.h>
FASTNN_INLINE vector_f32 larger_f32(vector_f32 a, vector_f32 b) { return (vector_f32)_mm512_max_ps((__m512)a, (__m512)b); }
FASTNN_INLINE vector_f64 larger_f64(vector_f64 a, vector_f64 b) { return (vector_f64)_mm512_max_pd((__m512d)a, (__m512d)b); }
#elif defined(__AVX2__)
#include <immintrin.h>
FASTNN_INLINE vector_f32 larger_f32(vector_f32 a, vector_f32 b) { return (vector_f32)_mm256_max_ps((__m256)a, (__m256)b); }
FASTNN_INLINE vector_f64 larger_f64(vector_f64 a, vector_f64 b) { return (vector_f64)_mm256_max_pd((__m256d)a, (__m256d)b); }
#elif defined(__SSE2__)
#include <immintrin.h>
FASTNN_INLINE vector_f32 larger_f32(vector_f32 a, vector_f32 b) { return (vector_f32)_mm_max_ps((__m128)a, (__m128)b); }
FASTNN_INLINE vector_f64 larger_f64(vector_f64 a, vector_f64 b) { return (vector_f64)_mm_max_pd((__m128d)a, (__m128d)b); }
#else
FASTNN_INLINE vector_f32 larger_f32(vector_f32 a, vector_f32 b) {
    const mask_f32 larger = a > b;
    return (vector_f32)(((mask_f32)a & larger) | ((mask_f32)b & ~larger));
}
FASTNN_INLINE vector_f64 larger_f64(vector_f64 a, vector_f64 b) {
    const mask_f64 larger = a > b;
    return (vector_f64)(((mask_f64)a & larger) | ((mask_f64)b & ~larger));
}
#endif

/* A byte a lane, as integers from 0 to 255. */
#if defined(__AVX512F__)
FASTNN_INLINE mask_f32 load_bytes_f32(const uint8_t *p) {
    return (mask_f32)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
FASTNN_INLINE mask_f64 load_bytes_f64(const uint8_t *p) {
    return (mask_f64)_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)p));
}
FASTNN_INLINE void store_bytes_f32(uint8_t *p, mask_f32 v) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)v));
}
FASTNN_INLINE void store_bytes_f64(uint8_t *p, mask_f64 v) {
    _mm_storel_epi64((__m128i *)p, _mm512_cvtepi64_epi8((__m512i)v));
}
#else
FASTNN_INLINE mask_f32 load_bytes_f32(const uint8_t *p) {
    mask_f32 v;
    for (int lane = 0; lane < (int)(sizeof v / sizeof v[0]); lane++) v[lane] = p[lane];
    return v;
}
FASTNN_INLINE mask_f64 load_bytes_f64(const uint8_t *p) {
    mask_f64 v;
    for (int lane = 0; lane < (int)(sizeof v / sizeof v[0]); lane++) v[lane] = p[lane];
    return v;
}
FASTNN_INLINE void store_bytes_f32(uint8_t *p, mask_f32 v) {
    for (int lane = 0; lane < (int)(sizeof v / sizeof v[0]); lane++) p[lane] = (uint8_t)v[lane];
}
FASTNN_INLINE void store_bytes_f64(uint8_t *p, mask_f64 v) {
    for (int lane = 0; lane < (int)(sizeof v / sizeof v[0]); lane++) p[lane] = (uint8_t)v[lane];
}
#endif

/* Partial loads and stores of the first `count` lanes, and loads of the lanes [begin, end), which may exceed
   the vector: the other lanes are zero, and no memory beyond the lanes is touched. */
#if defined(__AVX512F__)
#include <immintrin.h>
FASTNN_INLINE vector_f32 load_partial_f32(const float *p, int count) {
    return (vector_f32)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
}
FASTNN_INLINE vector_f64 load_partial_f64(const double *p, int count) {
    return (vector_f64)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1), p);
}
FASTNN_INLINE uint32_t lanes_between(int64_t begin, int64_t end) {
    begin = begin < 0 ? 0 : begin > 16 ? 16 : begin;
    end = end < begin ? begin : end > 16 ? 16 : end;
    return (1u << end) - (1u << begin);
}
FASTNN_INLINE vector_f32 load_between_f32(const float *p, int64_t begin, int64_t end) {
    return (vector_f32)_mm512_maskz_loadu_ps((__mmask16)lanes_between(begin, end), p);
}
FASTNN_INLINE vector_f64 load_between_f64(const double *p, int64_t begin, int64_t end) {
    return (vector_f64)_mm512_maskz_loadu_pd((__mmask8)lanes_between(begin, end), p);
}
FASTNN_INLINE void store_partial_f32(float *p, vector_f32 v, int count) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
}
FASTNN_INLINE void store_partial_f64(double *p, vector_f64 v, int count) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << count) - 1), (__m512d)v);
}
#elif defined(__AVX2__)
#include <immintrin.h>
FASTNN_INLINE __m256i first_lanes_f32(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FASTNN_INLINE __m256i first_lanes_f64(int count) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
FASTNN_INLINE vector_f32 load_partial_f32(const float *p, int count) {
    return (vector_f32)_mm256_maskload_ps(p, first_lanes_f32(count));
}
FASTNN_INLINE vector_f64 load_partial_f64(const double *p, int count) {
    return (vector_f64)_mm256_maskload_pd(p, first_lanes_f64(count));
}
FASTNN_INLINE int within_vector(int64_t lane, int lanes) { return lane < 0 ? 0 : lane > lanes ? lanes : (int)lane; }
FASTNN_INLINE vector_f32 load_between_f32(const float *p, int64_t begin, int64_t end) {
    const __m256i before = first_lanes_f32(within_vector(begin, 8)), lanes = first_lanes_f32(within_vector(end, 8));
    return (vector_f32)_mm256_maskload_ps(p, _mm256_andnot_si256(before, lanes));
}
FASTNN_INLINE vector_f64 load_between_f64(const double *p, int64_t begin, int64_t end) {
    const __m256i before = first_lanes_f64(within_vector(begin, 4)), lanes = first_lanes_f64(within_vector(end, 4));
    return (vector_f64)_mm256_maskload_pd(p, _mm256_andnot_si256(before, lanes));
}
/* Not by _mm256_maskstore: some processors take 20 cycles for that. */
FASTNN_INLINE void store_partial_f32(float *p, vector_f32 v, int count) {
    __m128 part = _mm256_castps256_ps128((__m256)v);
    if (count == 8) _mm256_storeu_ps(p, (__m256)v);
    if (count & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps((__m256)v, 1);
        p += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (count & 1) _mm_store_ss(p, part);
}
FASTNN_INLINE void store_partial_f64(double *p, vector_f64 v, int count) {
    __m128d part = _mm256_castpd256_pd128((__m256d)v);
    if (count == 4) _mm256_storeu_pd(p, (__m256d)v);
    if (count & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd((__m256d)v, 1);
        p += 2;
    }
    if (count & 1) _mm_store_sd(p, part);
}
#else
FASTNN_INLINE vector_f32 load_partial_f32(const float *p, int count) {
    vector_f32 v = {0};
    for (int lane = 0; lane < count; lane++) v[lane] = p[lane];
    return v;
}
FASTNN_INLINE vector_f64 load_partial_f64(const double *p, int count) {
    vector_f64 v = {0};
    for (int lane = 0; lane < count; lane++) v[lane] = p[lane];
    return v;
}
FASTNN_INLINE vector_f32 load_between_f32(const float *p, int64_t begin, int64_t end) {
    vector_f32 v = {0};
    for (int lane = 0; lane < (int)(sizeof v / sizeof *p); lane++)
        if (lane >= begin && lane < end) v[lane] = p[lane];
    return v;
}
FASTNN_INLINE vector_f64 load_between_f64(const double *p, int64_t begin, int64_t end) {
    vector_f64 v = {0};
    for (int lane = 0; lane < (int)(sizeof v / sizeof *p); lane++)
        if (lane >= begin && lane < end) v[lane] = p[lane];
    return v;
}
FASTNN_INLINE void store_partial_f32(float *p, vector_f32 v, int count) {
    for (int lane = 0; lane < count; lane++) p[lane] = v[lane];
}
FASTNN_INLINE void store_partial_f64(double *p, vector_f64 v, int count) {
    for (int lane = 0; lane < count; lane++) p[lane] = v[lane];
}
#endif

#endif
