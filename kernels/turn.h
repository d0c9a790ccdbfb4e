/* Square blocks, a vector a row, loaded and transposed in registers. */
#ifndef FASTNN_TURN_H
#define FASTNN_TURN_H

#include "simd.h"

#define REAL float
#define NAME(name) name##_f32
#include "turn_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "turn_body.h"
#undef REAL
#undef NAME

#endif
