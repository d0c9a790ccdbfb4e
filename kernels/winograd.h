/* Winograd's minimal filtering, for 3 x 3 windows with a stride of 1 or 2 and 5 x 5 windows: what both dtypes share.

   A tile of 2 x 2 outputs takes a piece d of 4 x 4 source pixels (5 x 5 with a stride of 2, 6 x 6 of 5 x 5 windows),
   which overlaps its neighbours':
       Y = Aᵀ [Σ over channels of (G g Gᵀ) ∘ (Bᵀ d B)] A
   A channel costs 16 multiply-adds a tile instead of 36 (25 with a stride of 2, 49 instead of 100 of 5 x 5 windows): one
   for each place. Places don't meet, so the sums over channels are 16 (25, 49) matrix products. Along one axis,
       3 taps:    Bᵀ d = d0 − d2, d1 + d2, d2 − d1, d1 − d3      G g = g0, (g0 + g1 + g2) / 2, (g0 − g1 + g2) / 2, g2
                  Aᵀ m = m0 + m1 + m2, m1 − m2 − m3
       2 taps:    Bᵀ d = d0 − d1, d1, d2 − d1                    G g = g0, g0 + g1, g1
                  Aᵀ m = m0 + m1, m1 + m2
       stride 2:  the even taps as 2 taps, the odd one as it is
       5 taps:    the first three as 3 taps, the others as 2 taps
   All factors are 0, ±1 or ½, so sums of small integers stay exact, and errors are those of the direct form within a
   factor of 2. An infinite source pixel makes NaN of its whole tile.

   Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, section 4.1. */
#ifndef FASTNN_WINOGRAD_H
#define FASTNN_WINOGRAD_H

#include "window.h"

/* The kinds of windows; each is a constant at every call. */
enum { WINOGRAD_3, WINOGRAD_3_BY_2, WINOGRAD_5 };
/* Along an axis, their taps and stride, the source pixels of a tile's piece, and its places. */
static inline __attribute__((always_inline)) int winograd_taps(const int kind) { return kind == WINOGRAD_5 ? 5 : 3; }
static inline __attribute__((always_inline)) int winograd_stride(const int kind) { return kind == WINOGRAD_3_BY_2 ? 2 : 1; }
static inline __attribute__((always_inline)) int winograd_piece(const int kind) {
    return winograd_taps(kind) + winograd_stride(kind);
}
static inline __attribute__((always_inline)) int winograd_side(const int kind) {
    return kind == WINOGRAD_5 ? 7 : winograd_piece(kind);
}
/* Those of a piece and of the places, at most. */
#define MAX_PIECE 6
#define MAX_SIDE 7

/* Tiles that are transformed together: for 64 channels and 16 places they fill half of a 1 MiB L2. */
#define WINOGRAD_TILES 112
/* Filters whose transformed weights are kept at a time. */
#define WINOGRAD_FILTERS 128
/* Filters of one place after another: that many meet a place of the source while it is in L2 or, of few channels, in
   L1. The source of all places may be larger than L2. */
#define WINOGRAD_ROWS (4 * TILE_ROWS)
/* Channels that are packed, then transformed from L1. */
#define WINOGRAD_CHANNELS 4
/* Rows of so few tiles fill vectors badly: images along the lanes do better, with few channels up to more tiles. */
#define WINOGRAD_NARROW 8
#define WINOGRAD_NARROW_FEW 14
#define WINOGRAD_FEW 48
static inline int winograd_is_narrow(int64_t channels, int64_t columns) {
    return columns <= (channels <= WINOGRAD_FEW ? WINOGRAD_NARROW_FEW : WINOGRAD_NARROW);
}
/* With fewer channels or filters the transforms cost more than the products save: forward and by weight with
   a stride of 1 and of 2, and by x, whose direct form is slower; and of 5 x 5 windows. */
#define WINOGRAD_MIN 16
#define WINOGRAD_MIN_STRIDED 64
#define WINOGRAD_MIN_INPUT 8
#define WINOGRAD_MIN_5 24

/* Whether the windows are of this kind, and there are as many channels and filters. */
static inline int is_winograd(const convolution *o, const int kind, int64_t least) {
    return o->r == winograd_taps(kind) && o->s == winograd_taps(kind) && o->stride_h == winograd_stride(kind) &&
           o->stride_w == winograd_stride(kind) && o->dilation_h == 1 && o->dilation_w == 1 &&
           o->c / o->groups >= least && o->filters / o->groups >= least;
}
static inline int winograd_suits(const convolution *o) {
    return is_winograd(o, WINOGRAD_3, WINOGRAD_MIN) || is_winograd(o, WINOGRAD_3_BY_2, WINOGRAD_MIN_STRIDED) ||
           is_winograd(o, WINOGRAD_5, WINOGRAD_MIN_5);
}
static inline int winograd_suits_input(const convolution *o) {
    /* Of 5 x 5 windows without padding dx has many more tiles than dy. */
    return is_winograd(o, WINOGRAD_3, WINOGRAD_MIN_INPUT) ||
           (is_winograd(o, WINOGRAD_5, WINOGRAD_MIN_5) && 4 * o->h * o->w <= 5 * o->out_h * o->out_w);
}
/* The kind of what suits. */
static inline int winograd_kind(const convolution *o) {
    return o->r == 5 ? WINOGRAD_5 : o->stride_h == 2 ? WINOGRAD_3_BY_2 : WINOGRAD_3;
}

/* The pieces along one axis, 2 · stride apart. */
static inline axis winograd_axis(const int kind, int64_t source, int64_t out, int64_t pad) {
    return (axis){.source = source, .out = (out + 1) / 2, .taps = winograd_piece(kind),
                  .stride = 2 * winograd_stride(kind), .pad = pad, .dilation = 1};
}

#endif
