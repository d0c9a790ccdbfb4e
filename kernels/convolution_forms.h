/* Which form suits a convolution and its gradients, by the sizes of an image and its weights. The number of images
   counts only between forms that give a row the same bits, and by weight, where the images are summed; that of the
   threads never. `lanes` are those of a vector. The bounds were measured: beyond them another form is faster. */
#ifndef FASTNN_CONVOLUTION_FORMS_H
#define FASTNN_CONVOLUTION_FORMS_H

#include "simd.h"
#include "winograd.h"

/* Whether the window is as large as the image. */
static inline int is_dense(const convolution *o) {
    return o->groups == 1 && o->r == o->h && o->s == o->w && o->out_h == 1 && o->out_w == 1 && o->pad_top == 0 &&
           o->pad_left == 0 && o->dilation_h == 1 && o->dilation_w == 1;
}

/* Whether each group has one channel and few filters: a register tile of more filters pays for packing. */
static inline int is_depthwise(const convolution *o) { return o->groups == o->c && o->filters <= 2 * o->c; }

/* Whether the planes of y are so small that lanes had better be filters than pixels: they have few vectors of
   pixels, the last of them less full than that of the filters. */
static inline int plane_rows_suit(const convolution *o, int64_t lanes) {
    const int64_t plane = o->out_h * o->out_w, filters = o->filters / o->groups;
    if (winograd_suits(o)) return 0;
    if (plane <= 2 * lanes && filters >= lanes && o->r * o->s > 1) return 1;
    return plane < 4 * lanes && filters * round_up(plane, lanes) > plane * round_up(filters, lanes);
}

/* Whether rows of outputs fill whole vectors, enough for tiles of several, so that packing need not close the gaps
   between rows; a stride makes packing dearer, and few filters leave it more to pay. */
static inline int rows_apart_suit(const convolution *o, int64_t lanes) {
    const int64_t filters = o->filters / o->groups;
    const int64_t least = o->stride_w > 1 ? 2 : filters < 4 ? 4 : filters <= 16 ? 3 : 5;
    return o->s > 1 && o->out_w % lanes == 0 && o->out_w >= least * lanes;
}

/* The same for dx as a convolution of dy, unless that sums far more taps than dy has. */
static inline int plane_rows_suit_input(const convolution *o, int64_t lanes) {
    const convolution back = turned_convolution(o);
    return o->stride_h == 1 && o->stride_w == 1 && o->h * o->w <= 4 * o->out_h * o->out_w &&
           plane_rows_suit(&back, lanes);
}

/* The same for dweight, whose direct form packs strips, and has filters along the lanes too unless they are
   few. */
static inline int plane_rows_suit_weight(const convolution *o, int64_t lanes) {
    if (winograd_suits_weight(o)) return 0;
    return o->out_h * o->out_w < (2 * (o->filters / o->groups) <= lanes ? 4 : 16) * lanes;
}

/* Whether dx is best made by scattering the taps of each pixel of dy: of few pixels, or of windows that don't
   overlap. */
static inline int scatter_suits(const convolution *o, int64_t lanes) {
    const int64_t plane = o->out_h * o->out_w;
    const int apart = o->r <= o->stride_h && o->s <= o->stride_w;
    if (o->r * o->s * o->stride_h * o->stride_w == 1) return 0; /* the product is dx itself */
    return apart ? plane <= 3 * lanes : 3 * plane <= 2 * lanes;
}

/* --- images along the lanes: image_lanes_body.h ------------------------------------------------------------ */

/* The images of a block: a vector of the most lanes, or several of fewer. */
#define IMAGES 16
/* Elements from one channel of a block to the next, where it is kept: with a pixel between them, so that the same pixel
   of several channels isn't in the same set of the cache. */
static inline int64_t block_plane(int64_t h, int64_t w) { return (h * w + 1) * IMAGES; }
/* What a thread turns at a time. */
#define IMAGE_LANES_BYTES (384 * 1024)

/* How many of n images, from the first on, fill blocks, or most of one. */
static inline int64_t images_in_blocks(int64_t n) { return n - (n % IMAGES < IMAGES / 2 ? n % IMAGES : 0); }

/* Whether images had better lie along the lanes for dx, with the bits of the direct form: of few channels, but so many
   taps that they pay for turning dy, and of planes that stay in L2. */
#define IMAGE_PLANES_BYTES (512 * 1024)
static inline int images_suit_input(const convolution *o) {
    const int64_t vectors = o->out_h * o->out_w * o->filters + o->h * o->w * o->c;
    const int64_t most = (o->r * o->s >= 25 ? 2 : 1) * IMAGE_PLANES_BYTES;
    return o->groups == 1 && o->stride_h == 1 && o->stride_w == 1 && o->c <= 8 && o->c * o->r * o->s >= 24 &&
           o->filters > 1 && vectors * VECTOR_BYTES <= most;
}

/* Whether dx is best made as a convolution of dy in direct form: of not many more pixels than dy has, and of channels
   that pay for packing it, fewer of large windows and of wide rows. */
static inline int turned_suits(const convolution *o, int64_t lanes) {
    const convolution back = turned_convolution(o);
    const int64_t channels = o->c / o->groups;
    if (o->stride_h != 1 || o->stride_w != 1 || 4 * o->h * o->w > 5 * o->out_h * o->out_w) return 0;
    if (channels >= 4) return 1;
    if (channels < 2 || images_suit_input(o)) return 0;
    return rows_apart_suit(&back, lanes) || (channels == 3 && o->r * o->s >= 25);
}

/* The same for dweight: of blocks that are vectors, most of them full, and many taps, or few filters. */
static inline int images_suit_weight(const convolution *o, int64_t lanes) {
    if (winograd_suits_weight(o)) return 0;
    return lanes == IMAGES && 5 * o->n >= 4 * round_up(o->n, IMAGES) && o->groups == 1 && o->stride_h == 1 &&
           o->stride_w == 1 && o->out_h + (o->r - 1) * o->dilation_h == o->h &&
           o->out_w + (o->s - 1) * o->dilation_w == o->w && o->r * o->s >= 25 &&
           (o->c * o->r * o->s >= 75 || o->filters <= 8);
}

/* The same for a convolution with the max pool of `pool` x `pool` pixels after it in one, which neither turns nor stores
   what is pooled: of blocks that are three quarters full, or more with few taps, which leave turning dear. Training gains
   most, where the gradient comes through the pool by itself; a prediction only of moderate planes, whose rows don't fill
   vectors by themselves. Where Winograd's form is that of fewer images, it must be here: with a pool of 2, and not in
   training, where its gradients are others. */
#define IMAGE_BLOCK_BYTES (4 * 1024 * 1024)
#define IMAGE_BLOCK_TRAINING_BYTES (16 * 1024 * 1024)
#define FEW_TAPS 25
#define MAX_PLACES 255 /* that a byte tells apart, besides none */
static inline int images_suit_pool(const convolution *o, int64_t pool, int training, int64_t lanes) {
    const int64_t bytes = (o->out_h * o->out_w * o->filters + o->h * o->w * o->c) * VECTOR_BYTES;
    const int64_t window = o->r * o->s, room = round_up(o->n, IMAGES);
    const int few = o->c * window < FEW_TAPS;
    if (lanes != IMAGES || 4 * o->n < 3 * room) return 0;
    if (o->groups != 1 || o->stride_h != 1 || o->stride_w != 1) return 0;
    if (is_dense(o) || is_depthwise(o) || pool * pool > MAX_PLACES) return 0;
    if (winograd_suits(o))
        return pool == 2 && !training && winograd_is_narrow(o->c, (o->out_w + 1) / 2);
    if (few && (window == 1 || 5 * o->n < 4 * room)) return 0;
    if (training) return bytes <= IMAGE_BLOCK_TRAINING_BYTES;
    return bytes <= IMAGE_BLOCK_BYTES && (o->out_w % lanes != 0 || o->out_w < 2 * lanes) &&
           (!few || o->out_w < lanes || (o->n == room && o->out_w < 2 * lanes));
}

#endif
