/* Convolution of images (n, c, h, w), for float (…_f32) and double (…_f64). Sizes and formulas: the kernel
   list. window.h says which source pixel meets which output pixel and tap; each *_body.h is one subject and
   is included twice, once a dtype; convolution_body.h chooses the form of each call.

   The direct form. The lanes of a vector are adjacent output pixels. So that the pixels that meet one tap are
   adjacent too, a strip of output rows packs the source rows it needs: shifted by each of the window's
   columns, and cut to the output's width. In that copy a tap is one offset, whatever the stride, padding and
   dilation, and rows follow each other without a gap. It is s times the source, not r s times as a matrix of
   patches. Wide rows keep a gap of the window's reach between them, and need no copy for each column. depthwise_body.h,
   plane_rows_body.h, image_lanes_body.h and winograd.h describe the other forms: for groups of one channel, for planes
   smaller than vectors, for gradients of many small planes and what a max pool follows, and for small square windows of
   many channels, or, winograd_rows_body.h, of few.

   A thread's scratch holds a strip at a time: STRIP_BYTES, or what one output row takes of BLOCK_TAPS taps
   where that is more; never a whole batch. Besides it, in elements,
       direct, by x:       the weights of a group, and DIRECT_PLANE_BYTES (or one row of one channel's taps)
       direct, by weight:  the sums of 128 filters by BLOCK_TAPS taps, or up to LANES times a small dweight
       depthwise:          4 channels of an image (back, of the gradient), and LANES times their weights
       plane rows:         512 KiB of weights, or 32 (16, 8) filters by the taps, and one group of as many images
                           as have 64 pixels (by weight 128, or one image)
       images in lanes:    IMAGE_LANES_BYTES, or the planes of IMAGES images by x, and LANES times the weights
       winograd:           49 times (of smaller windows 16 to 36) c by 128 filters and by 112 tiles (or one row of
                           tiles), and 16 times (back through a stride up to 49) 32 (24, 16, 8) filters by as many;
                           with filters in lanes two vectors of channels of these tiles' pixels of x, and 32 (16, 8)
                           filters of those of y, too; with images in lanes IMAGE_LANES_BYTES (or two rows of tiles of
                           x) too, and two rows of z
       winograd, rows:     4 to 7 times the rows of the weights of a group, back the weights themselves too, and the
                           source of a strip as places, 4 to 9 times half of it
   and the gradients by weight transpose 32 (16, 8) filters of a strip of dy. */
#ifndef FASTNN_CONVOLUTION_H
#define FASTNN_CONVOLUTION_H

#include <math.h>

#include "arena.h"
#include "convolution_forms.h"
#include "lanes.h"
#include "matmul.h"
#include "pooling.h"
#include "simd.h"
#include "window.h"
#include "winograd.h"

/* The taps that are summed at a time and the bytes of their packed strip: with the weights of 128 filters
   (192 KiB) and the outputs they stay in a 1 MiB L2. */
#define BLOCK_TAPS 384
#define STRIP_BYTES (384 * 1024)
/* Going back to x, the planes that a product makes, where one channel's taps are fewer, and their bytes. */
#define DIRECT_PLANES 72
#define DIRECT_PLANE_BYTES (192 * 1024)
/* Up to so many weights dweight is summed with lanes along the pixels: that costs a vector for each weight,
   but dy isn't transposed. */
#define ALONG_PIXELS_WEIGHTS 1024

#define REAL float
#define NAME(name) name##_f32
#include "strip_body.h"
#include "tap_sums_body.h"
#include "direct_body.h"
#include "direct_input_body.h"
#include "direct_weight_body.h"
#include "winograd_body.h"
#include "winograd_rows_body.h"
#include "image_lanes_body.h"
#include "image_lanes_input_body.h"
#include "image_lanes_weight_body.h"
#include "depthwise_body.h"
#include "plane_rows_body.h"
#include "winograd_filters_body.h"
#include "winograd_images_body.h"
#include "winograd_weight_body.h"
#include "convolution_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "strip_body.h"
#include "tap_sums_body.h"
#include "direct_body.h"
#include "direct_input_body.h"
#include "direct_weight_body.h"
#include "winograd_body.h"
#include "winograd_rows_body.h"
#include "image_lanes_body.h"
#include "image_lanes_input_body.h"
#include "image_lanes_weight_body.h"
#include "depthwise_body.h"
#include "plane_rows_body.h"
#include "winograd_filters_body.h"
#include "winograd_images_body.h"
#include "winograd_weight_body.h"
#include "convolution_body.h"
#undef REAL
#undef NAME

#endif
