/* Convolution of images (n, c, h, w), for float (…_f32) and double (…_f64), from the one body in
   convolution_body.h. Sizes and formula: the kernel list. */
#ifndef FASTNN_CONVOLUTION_H
#define FASTNN_CONVOLUTION_H

#include "arena.h"
#include "matmul.h"
#include "simd.h"

/* The sizes of a convolution, in the kernel list's order. */
typedef struct {
    int64_t n, c, h, w, filters, r, s, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
    int64_t out_h, out_w;
} convolution;

#define REAL float
#define NAME(name) name##_f32
#include "convolution_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "convolution_body.h"
#undef REAL
#undef NAME

#endif
