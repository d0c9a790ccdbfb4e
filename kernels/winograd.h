/* Winograd's minimal filtering, for 3 x 3 windows with a stride of 1 or 2: what both dtypes share.

   A tile of 2 x 2 outputs takes a piece d of 4 x 4 source pixels (5 x 5 with a stride of 2), which overlaps
   its neighbours':
       Y = Aᵀ [Σ over channels of (G g Gᵀ) ∘ (Bᵀ d B)] A
   A channel costs 16 multiply-adds a tile instead of 36 (25 with a stride of 2): one for each place of the
   piece. Places don't meet, so the sums over channels are 16 (25) matrix products. Along one axis,
       stride 1:  Bᵀ d = d0 − d2, d1 + d2, d2 − d1, d1 − d3      G g = g0, (g0 + g1 + g2) / 2, (g0 − g1 + g2) / 2, g2
                  Aᵀ m = m0 + m1 + m2, m1 − m2 − m3
       stride 2:  Bᵀ d = d0 − d2, d2, d4 − d2, d1, d3            G g = g0, g0 + g2, g2, g1, g1
                  Aᵀ m = m0 + m1 + m3, m1 + m2 + m4
   (the even taps by the minimal filter of 2 taps, the odd one as it is). All factors are 0, ±1 or ½, so sums
   of small integers stay exact, and errors are those of the direct form within a factor of 2. An infinite
   source pixel makes NaN of its whole tile.

   Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, section 4.1. */
#ifndef FASTNN_WINOGRAD_H
#define FASTNN_WINOGRAD_H

#include "window.h"

/* Tiles that are transformed together: for 64 channels they fill half of a 1 MiB L2. */
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
   a stride of 1 and of 2, and by x, whose direct form is slower. */
#define WINOGRAD_MIN 16
#define WINOGRAD_MIN_STRIDED 64
#define WINOGRAD_MIN_INPUT 8

static inline int is_winograd(const convolution *o, int64_t least) {
    return o->r == 3 && o->s == 3 && o->stride_h == o->stride_w && o->dilation_h == 1 && o->dilation_w == 1 &&
           o->c / o->groups >= least && o->filters / o->groups >= least;
}
static inline int winograd_suits(const convolution *o) {
    return (o->stride_h == 1 && is_winograd(o, WINOGRAD_MIN)) ||
           (o->stride_h == 2 && is_winograd(o, WINOGRAD_MIN_STRIDED));
}
static inline int winograd_suits_input(const convolution *o) {
    return o->stride_h == 1 && is_winograd(o, WINOGRAD_MIN_INPUT);
}

/* The pieces along one axis: windows of 3 + stride, 2 · stride apart. */
static inline axis winograd_axis(int64_t source, int64_t out, int64_t stride, int64_t pad) {
    return (axis){.source = source, .out = (out + 1) / 2,
                  .taps = 3 + stride, .stride = 2 * stride, .pad = pad, .dilation = 1};
}

#endif
