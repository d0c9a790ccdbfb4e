/* The geometry of a convolution's window, for both dtypes: which source pixel meets which output and tap. */
#ifndef FASTNN_WINDOW_H
#define FASTNN_WINDOW_H

#include <stdint.h>

/* The sizes of a convolution, in the kernel list's order. */
typedef struct {
    int64_t n, c, h, w, filters, r, s, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
    int64_t out_h, out_w;
} convolution;

/* Those of a convolution and the max pool after it, of windows of pool x pool outputs, and whether x and y, or their
   gradients, are kept in blocks of images. */
typedef struct {
    convolution o;
    int64_t pool, x_blocks, y_blocks, relu;
} pooled_convolution;

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t round_up(int64_t a, int64_t grain) { return (a + grain - 1) / grain * grain; }
/* ⌈a / b⌉ for any a and positive b. */
static inline int64_t ceil_divide(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

/* One axis: output `o` and tap `t` meet at source index o · stride + t · dilation − pad; outside of
   [0, source) the source is zero. */
typedef struct {
    int64_t source, out, taps, stride, pad, dilation;
} axis;

typedef struct {
    int64_t channels;
    axis rows, columns;
} window;

/* How far the last tap lies beyond the first. */
static inline int64_t axis_reach(const axis *a) { return larger(0, a->taps - 1) * a->dilation; }

/* Going back with a stride of 1: dx is dy convolved with the weights turned by 180°. */
static inline convolution turned_convolution(const convolution *o) {
    convolution back = *o;
    back.c = o->filters, back.h = o->out_h, back.w = o->out_w;
    back.filters = o->c, back.out_h = o->h, back.out_w = o->w;
    back.pad_top = (o->r - 1) * o->dilation_h - o->pad_top;
    back.pad_left = (o->s - 1) * o->dilation_w - o->pad_left;
    return back;
}

/* The window of `channels` channels. */
static inline window convolution_window(const convolution *o, int64_t channels) {
    return (window){.channels = channels,
                    .rows = {o->h, o->out_h, o->r, o->stride_h, o->pad_top, o->dilation_h},
                    .columns = {o->w, o->out_w, o->s, o->stride_w, o->pad_left, o->dilation_w}};
}

/* Going back: input k · stride + phase − pad meets tap t at output k − (t · dilation − phase) / stride, where
   the division is exact. Such inputs exist for k in [begin, end); `shift` is that of their first tap. */
typedef struct {
    int64_t begin, end, shift;
} phase_range;

static inline phase_range range_of_phase(const axis *a, int64_t phase) {
    int64_t tap = 0;
    while (tap < a->taps && tap * a->dilation % a->stride != phase) tap++;
    return (phase_range){.begin = ceil_divide(a->pad - phase, a->stride),
                         .end = ceil_divide(a->source + a->pad - phase, a->stride),
                         .shift = tap < a->taps ? (tap * a->dilation - phase) / a->stride : 0};
}

/* Tap `number`: it begins `left` columns into dx's, and its plane's element that meets row 0 and column 0
   of its phases is `offset`. */
typedef struct {
    int64_t number, left, offset;
} gather_tap;

/* The taps in groups by row phase and the column place (column mod stride) that they reach, each in order.
   The planes lie `plane` elements apart and have `above` rows before the strip's. */
static void group_taps(const window *w, int64_t plane, int64_t above, gather_tap *taps, int64_t *starts) {
    const axis *r = &w->rows, *c = &w->columns;
    int64_t count = 0;
    *starts++ = 0;
    for (int64_t row_phase = 0; row_phase < r->stride; row_phase++)
        for (int64_t place = 0; place < c->stride; place++) {
            const int64_t phase = (place + c->pad) % c->stride;
            for (int64_t u = 0; u < r->taps; u++)
                for (int64_t v = 0; v < c->taps && u * r->dilation % r->stride == row_phase; v++) {
                    if (v * c->dilation % c->stride != phase) continue;
                    const int64_t down = (u * r->dilation - row_phase) / r->stride;
                    const int64_t left = (v * c->dilation - phase) / c->stride - (place + c->pad) / c->stride;
                    const int64_t number = u * c->taps + v;
                    taps[count++] = (gather_tap){number, left, number * plane + (above - down) * c->out - left};
                }
            *starts++ = count;
        }
}

static inline int64_t window_taps(const window *w) { return w->channels * w->rows.taps * w->columns.taps; }

/* How a strip of up to `rows` output rows is packed: every channel and column tap has a plane of (stride,
   slots, columns.out) elements, and room for a vector more, where the source row `slot` · stride + phase
   above the strip's lowest lies at (phase, slot). */
typedef struct {
    int64_t rows, slots, plane;
    int packed; /* the source is laid out like that already: its channels are the planes */
} strip;

static inline strip window_strip(const window *w, int64_t rows) {
    const axis *r = &w->rows, *c = &w->columns;
    strip s = {.rows = rows, .slots = rows + axis_reach(r) / r->stride};
    /* Nothing shifted, nothing skipped, and no padding, below the source either. */
    s.packed = c->taps == 1 && c->stride == 1 && c->pad == 0 && c->out == c->source && r->stride == 1 && r->pad == 0 &&
               r->out + axis_reach(r) <= r->source;
    s.plane = s.packed ? r->source * c->source : round_up(r->stride * s.slots * c->out, 16) + 16;
    return s;
}

/* The elements that a packed strip takes. */
static inline int64_t strip_size(const window *w, const strip *s) {
    return s->packed ? 0 : w->channels * w->columns.taps * s->plane;
}

/* The most of `rows` rows of `width` pixels that fill whole vectors; all of them where none do. */
static inline int64_t whole_vectors(int64_t rows, int64_t width, int64_t lanes) {
    int64_t grain = 1;
    while (grain < lanes && grain * width % lanes) grain *= 2;
    return rows < grain ? rows : rows / grain * grain;
}

/* The output rows of a strip: as many as `elements` elements of packed source hold; at least one. */
static inline int64_t strip_rows(const window *w, int64_t elements, int64_t lanes) {
    const axis *r = &w->rows;
    const int64_t row = larger(1, w->channels * w->columns.taps * r->stride * w->columns.out);
    const int64_t rows = larger(1, elements / row - axis_reach(r) / r->stride);
    return rows >= r->out ? larger(1, r->out) : whole_vectors(rows, w->columns.out, lanes);
}

/* How the source of wide rows is packed: with the columns apart by their place in a stride, each kept up to the reach
   of the window. A tap is then an offset along the row too, and columns aren't copied for every tap; but the
   rows of outputs no longer follow each other without a gap. */
static inline window rows_apart(const window *w) {
    const axis *c = &w->columns;
    const int64_t reach = axis_reach(c);
    window packing = *w;
    packing.columns = (axis){c->source, c->out + reach / c->stride, smaller(c->stride, reach + 1), c->stride, c->pad, 1};
    return packing;
}

/* Where each tap (e, u, v) finds the strip's first pixel; `packing` is w itself, or rows_apart(w). */
static inline void tap_offsets(const window *w, const window *packing, const strip *s, int64_t *offset) {
    const axis *r = &w->rows, *c = &w->columns, *packed = &packing->columns;
    const int apart = packing != w;
    for (int64_t e = 0; e < w->channels; e++)
        for (int64_t u = 0; u < r->taps; u++) {
            const int64_t shift = u * r->dilation, row = shift % r->stride * s->slots + shift / r->stride;
            for (int64_t v = 0; v < c->taps; v++) {
                const int64_t plane = apart ? v * c->dilation % c->stride : v;
                *offset++ = (e * packed->taps + plane) * s->plane + row * packed->out +
                            (apart ? v * c->dilation / c->stride : 0);
            }
        }
}

#endif
