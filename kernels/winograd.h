/* Winograd's minimal filtering, for small square windows: what both dtypes share.

   A tile of 2 x 2 outputs takes a piece d of the source (4 x 4 pixels of 3 x 3 windows), which overlaps its neighbours':
       Y = Aᵀ [Σ over channels of (G g Gᵀ) ∘ (Bᵀ d B)] A
   A channel costs one multiply-add a tile for each place: 16 instead of 36. Along one axis, of
       3 taps:    Bᵀ d = d0 − d2, d3 − d1, d1 + d2, d2 − d1      G g = g0, g2, (g0 + g1 + g2) / 2, (g0 − g1 + g2) / 2
       2 taps:    Bᵀ d = d0 − d1, d2 − d1, d1                    G g = g0, g1, g0 + g1
       1 tap:     Bᵀ d = d0, d1                                  G g = g0, g0
   and Aᵀ adds the first place to the first output, the second to the second, the third to both, and the fourth to the
   first, taking it from the second. So a place has a role: FIRST, SECOND, SUM or DIFFERENCE. Other windows are runs of
   taps: those of each phase of the stride, cut into threes and twos. What places of equal roles make, of all runs and
   channels, is one sum: at most 16 sums a tile and filter, each a row of a matrix product.

   Going back to x through a stride of 2, every phase of dx is a convolution of dy with the taps of a run, turned, and
   they share dy's pieces: a tile is 2 x 2 pixels of each phase, and every place is a sum by itself.

   All factors are 0, ±1 or ½, so sums of small integers stay exact, and errors are those of the direct form within a
   factor of 2. An infinite source pixel makes NaN of its whole tile.

   Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, section 4.1. */
#ifndef FASTNN_WINOGRAD_H
#define FASTNN_WINOGRAD_H

#include "simd.h"
#include "window.h"

enum { FIRST, SECOND, SUM, DIFFERENCE };

/* A kind of windows, along an axis: its runs of taps, the longest first, each `stride` apart from its first tap on; and
   how many places have each role: those of all runs, all runs, runs of 2 and 3, and of 3. Then the fewest channels and
   filters for which the products save more than the transforms cost, forward, by x, and by weight; and the fewest
   pixels of an image that pay for transforming the weights. */
typedef struct {
    int taps, stride, runs, run_taps[2], run_first[2], count[4];
    struct {
        int channels, filters;
    } forward, input, weight;
    int pixels;
} winograd_kind;
enum { WINOGRAD_3, WINOGRAD_5, WINOGRAD_3_BY_2, WINOGRAD_4_BY_2, WINOGRAD_5_BY_2, WINOGRAD_KINDS };
static const winograd_kind winograd_kinds[] = {
    [WINOGRAD_3] = {3, 1, 1, {3}, {0}, {1, 1, 1, 1}, {16, 16}, {8, 8}, {12, 16}, 16},
    [WINOGRAD_5] = {5, 1, 2, {3, 2}, {0, 3}, {2, 2, 2, 1}, {12, 16}, {16, 16}, {12, 16}, 16},
    [WINOGRAD_3_BY_2] = {3, 2, 2, {2, 1}, {0, 1}, {2, 2, 1, 0}, {32, 32}, {32, 32}, {32, 48}, 64},
    [WINOGRAD_4_BY_2] = {4, 2, 2, {2, 2}, {0, 1}, {2, 2, 2, 0}, {16, 32}, {8, 8}, {16, 16}, 16},
    [WINOGRAD_5_BY_2] = {5, 2, 2, {3, 2}, {0, 1}, {2, 2, 2, 1}, {16, 16}, {8, 8}, {12, 16}, 16},
};
/* Added to a kind with a stride of 2: its way back to x. */
#define WINOGRAD_BACK 8

/* `kind` is a constant at every call of these. */
#define WINOGRAD_INLINE static inline __attribute__((always_inline))
WINOGRAD_INLINE const winograd_kind *winograd_of(const int kind) { return &winograd_kinds[kind % WINOGRAD_BACK]; }
WINOGRAD_INLINE int winograd_is_back(const int kind) { return kind >= WINOGRAD_BACK; }
/* Along an axis: the pixels of a tile, those of the source from one of its pieces to the next, and from one tap of a run
   to the next. */
WINOGRAD_INLINE int winograd_outputs(const int kind) { return winograd_is_back(kind) ? 4 : 2; }
WINOGRAD_INLINE int winograd_step(const int kind) { return winograd_is_back(kind) ? 2 : 2 * winograd_of(kind)->stride; }
WINOGRAD_INLINE int winograd_apart(const int kind) { return winograd_is_back(kind) ? 1 : winograd_of(kind)->stride; }

/* Going back, pixel j of dx and of what lies before it, 2 q + phase, meets tap phase + 2 k at pixel q − k of dy. A tile
   begins at pixel winograd_shift of a q, which is the padding of a plane that keeps its size, or even as that. */
WINOGRAD_INLINE int winograd_shift(const int kind) { return (winograd_of(kind)->taps - 1) / 2 % 2; }
/* The first pixel of run i's phase in a tile, ... */
WINOGRAD_INLINE int winograd_phase(const int kind, int i) {
    return (winograd_of(kind)->taps - 1 - winograd_of(kind)->run_first[i] + winograd_shift(kind)) % 2;
}
/* ... and the first of dy that it meets, from that q on. */
WINOGRAD_INLINE int winograd_first(const int kind, int i) {
    return (winograd_phase(kind, i) && winograd_shift(kind)) - (winograd_of(kind)->run_taps[i] - 1);
}
WINOGRAD_INLINE int winograd_lead(const int kind) {
    return winograd_first(kind, 0) < winograd_first(kind, 1) ? winograd_first(kind, 0) : winograd_first(kind, 1);
}
/* Where run i begins in a piece, and a piece's pixels. */
WINOGRAD_INLINE int winograd_run_begin(const int kind, int i) {
    return winograd_is_back(kind) ? winograd_first(kind, i) - winograd_lead(kind) : winograd_of(kind)->run_first[i];
}
WINOGRAD_INLINE int winograd_piece(const int kind) {
    if (!winograd_is_back(kind)) return winograd_of(kind)->taps + winograd_of(kind)->stride;
    const int end_0 = winograd_run_begin(kind, 0) + winograd_of(kind)->run_taps[0];
    const int end_1 = winograd_run_begin(kind, 1) + winograd_of(kind)->run_taps[1];
    return (end_0 > end_1 ? end_0 : end_1) + 1;
}
/* The places of a role, the first of these, and all places. */
WINOGRAD_INLINE int winograd_count(const int kind, int role) { return winograd_of(kind)->count[role]; }
WINOGRAD_INLINE int winograd_begin(const int kind, int role) {
    const int *count = winograd_of(kind)->count;
    return (role > FIRST ? count[FIRST] : 0) + (role > SECOND ? count[SECOND] : 0) + (role > SUM ? count[SUM] : 0);
}
WINOGRAD_INLINE int winograd_side(const int kind) {
    return winograd_begin(kind, DIFFERENCE) + winograd_count(kind, DIFFERENCE);
}
WINOGRAD_INLINE int winograd_roles(const int kind) { return winograd_count(kind, DIFFERENCE) ? 4 : 3; }
/* Taps, pixels of a tile and a piece, and places along an axis, at most. */
#define MAX_TAPS 5
#define MAX_OUTPUTS 4
#define MAX_PIECE 7
#define MAX_SIDE 7

/* Places that lie beside each other: those of role `a` down and `b` along a row. */
typedef struct {
    int begin, count;
} winograd_places;
WINOGRAD_INLINE winograd_places places_of_roles(const int kind, int a, int b) {
    return (winograd_places){winograd_begin(kind, a) * winograd_side(kind) +
                                 winograd_count(kind, a) * winograd_begin(kind, b),
                             winograd_count(kind, a) * winograd_count(kind, b)};
}
/* The role of a place along an axis, and the number of the place that is i-th down and j-th along a row. */
WINOGRAD_INLINE int winograd_role(const int kind, int place) {
    return (place >= winograd_begin(kind, SECOND)) + (place >= winograd_begin(kind, SUM)) +
           (place >= winograd_begin(kind, DIFFERENCE));
}
WINOGRAD_INLINE int winograd_place(const int kind, int i, int j) {
    const int a = winograd_role(kind, i), b = winograd_role(kind, j);
    return places_of_roles(kind, a, b).begin + (i - winograd_begin(kind, a)) * winograd_count(kind, b) + j -
           winograd_begin(kind, b);
}

/* The sums along an axis: one of each role, or going back of each place; and that of a place. */
WINOGRAD_INLINE int winograd_sums(const int kind) {
    return winograd_is_back(kind) ? winograd_side(kind) : winograd_roles(kind);
}
WINOGRAD_INLINE int winograd_sum(const int kind, int place) {
    return winograd_is_back(kind) ? place : winograd_role(kind, place);
}
WINOGRAD_INLINE winograd_places places_of_sum(const int kind, int down, int along) {
    if (winograd_is_back(kind)) return (winograd_places){winograd_place(kind, down, along), 1};
    return places_of_roles(kind, down, along);
}

/* Rows of tiles of one image, counted through all groups, as a part of a block. */
typedef struct {
    int64_t image, first, count;
} image_part;

/* Tiles that are transformed together: for 64 channels and 16 places they fill half of a 1 MiB L2. */
#define WINOGRAD_TILES 112
/* Filters whose transformed weights are kept at a time. */
#define WINOGRAD_FILTERS 128
/* Filters of one sum after another: that many meet its part of the source while it is in L2 or, of few channels, in
   L1. The source of all places may be larger than L2. */
#define WINOGRAD_ROWS (4 * TILE_ROWS)
/* Channels that are packed, then transformed from L1. */
#define WINOGRAD_CHANNELS 4
/* Filters along the lanes do better where they fill vectors, two at least, unless rows of tiles do too, without the
   stride that makes packing these dear; or where tiles are few. */
#define WINOGRAD_WIDE 32
#define WINOGRAD_FEW_TILES 200
static inline int winograd_filters_suit(int kind, int64_t filters, int64_t tiles, int64_t columns, int64_t lanes) {
    const int full = filters > lanes && 8 * filters >= 7 * round_up(filters, lanes);
    if (full && (winograd_kinds[kind % WINOGRAD_BACK].stride > 1 || columns % WINOGRAD_WIDE != 0)) return 1;
    return tiles <= WINOGRAD_FEW_TILES && 4 * filters >= 3 * lanes;
}
/* Rows of so few tiles fill vectors badly: images along the lanes do better, with few channels up to more tiles. */
#define WINOGRAD_NARROW 8
#define WINOGRAD_NARROW_FEW 14
#define WINOGRAD_FEW 48
static inline int winograd_is_narrow(int64_t channels, int64_t columns) {
    return columns <= (channels <= WINOGRAD_FEW ? WINOGRAD_NARROW_FEW : WINOGRAD_NARROW);
}

/* The kind of a convolution's windows; WINOGRAD_KINDS if there is none. */
static inline int winograd_kind_of(const convolution *o) {
    int kind = o->dilation_h == 1 && o->dilation_w == 1 ? 0 : WINOGRAD_KINDS;
    while (kind < WINOGRAD_KINDS &&
           !(o->r == winograd_kinds[kind].taps && o->s == winograd_kinds[kind].taps &&
             o->stride_h == winograd_kinds[kind].stride && o->stride_w == winograd_kinds[kind].stride))
        kind++;
    return kind;
}
/* Whether each group has so many channels and filters. */
static inline int has_planes(const convolution *o, int64_t channels, int64_t filters) {
    return o->c / o->groups >= channels && o->filters / o->groups >= filters;
}
static inline int winograd_suits(const convolution *o) {
    const int of = winograd_kind_of(o);
    if (of == WINOGRAD_KINDS) return 0;
    const winograd_kind *kind = &winograd_kinds[of];
    return has_planes(o, kind->forward.channels, kind->forward.filters) && o->out_h * o->out_w >= kind->pixels;
}
/* Whether windows of 3 or 5 columns had better be Winograd's along rows alone: those of 3 save less, and pay where rows of
   tiles are whole vectors, or halves; few filters leave the tiles' source dear; and that of two vectors of tiles, which
   meets the filters, should be about L1's size at most. */
#define WINOGRAD_ROWS_BYTES (44 * 1024)
static inline int winograd_rows_suit(const convolution *o, int64_t lanes) {
    const int64_t channels = o->c / o->groups, filters = o->filters / o->groups, tiles = o->out_w / 2;
    if (o->stride_h != 1 || o->stride_w != 1 || o->dilation_w != 1 || o->out_w % 2 != 0 || channels == 0) return 0;
    if ((o->s != 3 && o->s != 5) || tiles < 4) return 0;
    const int64_t rows = o->r - 1 + ceil_divide(2 * lanes, tiles), places = o->s == 3 ? 4 : 7;
    const int64_t vectors = ceil_divide(rows * smaller(tiles, 2 * lanes), lanes);
    if (channels * places * vectors * VECTOR_BYTES > WINOGRAD_ROWS_BYTES) return 0;
    if (o->s == 5) return filters >= (channels <= 6 ? 3 : 6);
    return (2 * tiles % lanes == 0 && channels >= 2 && filters >= 8) ||
           (tiles % lanes == 0 && channels >= 6 && filters >= 3);
}
/* Their kind. */
static inline int winograd_rows_kind(const convolution *o) { return o->s == 3 ? WINOGRAD_3 : WINOGRAD_5; }
/* The same for dx as a convolution of dy, of about as many pixels. */
static inline int winograd_rows_suit_input(const convolution *o, int64_t lanes) {
    if (o->stride_h != 1 || o->stride_w != 1 || 4 * o->h * o->w > 5 * o->out_h * o->out_w) return 0;
    const convolution back = turned_convolution(o);
    return winograd_rows_suit(&back, lanes);
}
static inline int winograd_suits_input(const convolution *o) {
    const int of = winograd_kind_of(o);
    if (of == WINOGRAD_KINDS) return 0;
    const winograd_kind *kind = &winograd_kinds[of];
    /* Of 5 x 5 windows without padding dx has many more tiles than dy. Pieces begin before dy, or at its edge. */
    return has_planes(o, kind->input.channels, kind->input.filters) && o->h * o->w >= kind->pixels &&
           o->pad_top < o->r && o->pad_left < o->s && (of != WINOGRAD_5 || 4 * o->h * o->w <= 5 * o->out_h * o->out_w);
}
/* dweight's sums are transformed once: the pixels of all images must pay for it, and those of one, 4 x 4 at least, for
   the tiles at its edges. */
static inline int winograd_suits_weight(const convolution *o) {
    const int of = winograd_kind_of(o);
    if (of == WINOGRAD_KINDS) return 0;
    const winograd_kind *kind = &winograd_kinds[of];
    const int64_t pixels = o->out_h * o->out_w, places = winograd_side(of) * winograd_side(of);
    return has_planes(o, kind->weight.channels, kind->weight.filters) && pixels >= 16 && o->n * pixels >= 4 * places;
}

/* The pieces along one axis, that of the first tile `pad` before the source. */
static inline axis winograd_axis(const int kind, int64_t source, int64_t tiles, int64_t pad) {
    return (axis){.source = source, .out = tiles, .taps = winograd_piece(kind), .stride = winograd_step(kind),
                  .pad = pad, .dilation = 1};
}

/* Going back, the pixels of the first tile that lie before dx: its even or odd one out. */
static inline int64_t winograd_before(const int kind, int64_t pad) {
    return winograd_is_back(kind) ? (pad + winograd_shift(kind)) % 2 : 0;
}
static inline axis winograd_axis_back(const int kind, int64_t source, int64_t out, int64_t taps, int64_t pad) {
    if (!winograd_is_back(kind)) return winograd_axis(kind, source, ceil_divide(out, 2), taps - 1 - pad);
    const int64_t before = winograd_before(kind, pad), q = (pad - before - winograd_shift(kind)) / 2;
    return winograd_axis(kind, source, ceil_divide(out + before, 4), -(q + winograd_lead(kind)));
}

#endif
