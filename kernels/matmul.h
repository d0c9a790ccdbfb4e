/* Matrix product c = a b, for float (…_f32) and double (…_f64), from the one body in matmul_body.h.

   Every element of c is one chain of multiply-adds over k in ascending order, begun at the bias or at zero.
   Blocks of k continue the chain from c, and threads and tiles only divide c. So an element has the same
   bits whatever the tile, the block, the number of threads or the other rows of its batch. (With at most
   DOT_MAX_COLUMNS columns it is one chain a vector lane; that choice depends on the shape of b alone.) */
#ifndef FASTNN_MATMUL_H
#define FASTNN_MATMUL_H

#include "arena.h"
#include "simd.h"
#include "turn.h"

/* Blocks of the packed b: half of a 1 MiB L2. A panel of it (BLOCK_K x 2 vectors) is read from there: a longer run
   spares c a store and a load. Where a is packed too, half as many rows do better: the panel stays in L1. */
#define BLOCK_K 512
#define BLOCK_BYTES (512 * 1024)
/* An a of so few bytes meets the panels of b one after the other. */
#define PANELS_MAX_A_BYTES (128 * 1024)
/* Of a large b that is packed, rows of a panel lie far apart; the ones so far on are asked for, or, transposed, the
   columns that come next. */
#define PACK_AHEAD 16
/* A transposed a is packed too, so many tiles at a time (16 · 8 · 256 · 4 bytes = 128 KiB), where the lines that
   hold a tile's elements, one for each k, would take much of L1, or lie in one set of it, and enough panels of b meet
   it to pay for it. */
#define BLOCK_TILES 16
#define PACK_A_MIN_K (VECTOR_BYTES == 64 ? 320 : 192)
#define PACK_A_MIN_K_OF_ONE_SET 192
#define L1_WAY_BYTES 4096
#define PACK_A_MIN_PANELS 6
/* A b with adjacent columns is read from where it lies where packing, a write and a read of b, wouldn't pay:
   with few rows; where b lies in L1; or, if a panel's row is whole cache lines, where a, which every panel goes
   over, is within reach and a panel of all of k is a part of L2. */
#define PACK_MIN_ROWS ((VECTOR_BYTES == 64 ? 5 : 3) * TILE_ROWS)
#define PACK_MIN_BYTES 8192
#define PACK_MIN_A_BYTES (VECTOR_BYTES == 64 ? 1536 * 1024 : 0)
#define PACK_MIN_K 2048
/* One row's widest panel: as many sums as fit the registers, for the longest runs of memory. */
#define WIDE_VECTORS (VECTOR_BYTES == 64 ? 16 : 8)

/* A transposed a meets so few columns of b with itself along the lanes. */
#define TURN_MAX_COLUMNS 12
#define TURN_MIN_K 8
#define TURN_MAX_BYTES (1024 * 1024)
/* And a transposed b so few rows of a, where packing it would cost more than turning c, an element of which costs as
   much as TURN_COST of packing. So many columns of c are made at a time. */
#define TURN_MAX_ROWS 128
#define TURN_COST 4
#define TURN_COLUMNS 512

/* Products of so few columns, over so many k, are dot products with the lanes along k. Beyond DOT_MAX_K the
   scratch for b's columns would grow without bound. */
#define DOT_MAX_COLUMNS 4
#define DOT_MIN_K 32
#define DOT_MAX_K 16384

#define REAL float
#define NAME(name) name##_f32
#include "matmul_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "matmul_body.h"
#undef REAL
#undef NAME

#endif
