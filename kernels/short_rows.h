/* Softmax and the log loss over classes on rows of at most SHORT_ROW columns.

   Most networks have few classes, and a vector along such a row would be half empty, its maximum and its sum
   slow. So rows are turned, as many at a time as a vector has lanes: each lane holds a row, and what is done to
   rows is done to whole vectors. A row's bits don't depend on its lane, nor on the rows beside it. */
#ifndef FASTNN_SHORT_ROWS_H
#define FASTNN_SHORT_ROWS_H

#include "turn.h"
#include "vector_math.h"

#define SHORT_ROW 32 /* a multiple of the lanes */
#define TURNED_TILES 4 /* vectors of rows in flight: 8 KiB, with the columns of the longest */

#define REAL float
#define NAME(name) name##_f32
#include "short_rows_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "short_rows_body.h"
#undef REAL
#undef NAME

#endif
