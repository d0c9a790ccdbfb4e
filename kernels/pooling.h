/* Pooling of planes, for float (…_f32) and double (…_f64), from the one body in pooling_body.h.

   x, dx (planes, h, w), y, dy (planes, out_h, out_w); a plane is a channel of an image. The output (p, q)
   covers the input's rows p stride_h − pad_top … + r − 1 and columns q stride_w − pad_left … + s − 1, as far as
   they lie inside. Padding is at most half of the window: every window holds a pixel of the image. The threads
   divide the planes; a thread's scratch is a few padded planes. */
#ifndef FASTNN_POOLING_H
#define FASTNN_POOLING_H

#include <math.h>

#include "arena.h"
#include "lanes.h"
#include "simd.h"
#include "vector_math.h"
#include "window.h"

/* The sizes of a pooling, in the kernel list's order. */
typedef struct {
    int64_t planes, h, w, r, s, stride_h, stride_w, pad_top, pad_left, out_h, out_w;
} pooling;

/* The forms. 2 x 2 windows side by side, which most networks have, are done in registers. Other windows of up
   to NARROW columns have the outputs along the lanes; wider ones, and those of whole rows of the image, have
   the window's pixels along them. */
#define NARROW 32
FASTNN_INLINE int is_pairs(const pooling *o) {
    return o->r == 2 && o->s == 2 && o->stride_h == 2 && o->stride_w == 2 && o->pad_top == 0 && o->pad_left == 0;
}
FASTNN_INLINE int is_whole_rows(const pooling *o) { return o->out_w == 1 && o->s - o->pad_left >= o->w; }
FASTNN_INLINE int is_whole(const pooling *o) { return is_whole_rows(o) && o->out_h == 1 && o->r - o->pad_top >= o->h; }
FASTNN_INLINE int is_narrow(const pooling *o) { return !is_pairs(o) && !is_whole_rows(o) && o->s <= NARROW; }

/* A vector of every second or third number is shuffled from as many vectors; with longer steps its lanes are
   loaded one by one. */
#define MOST_VECTORS 3

/* Parts of vectors are loaded under a mask, after which processors don't fetch what follows by themselves: pixels are
   asked for this many bytes before they are read or written. */
#define ASK_TO_READ 8192
#define ASK_TO_WRITE 1024

#define REAL float
#define NAME(name) name##_f32
#include "pooling_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "pooling_body.h"
#undef REAL
#undef NAME

#endif
