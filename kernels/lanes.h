/* Lanes in other orders, for float (…_f32) and double (…_f64), from the one body in lanes_body.h. */
#ifndef FASTNN_LANES_H
#define FASTNN_LANES_H

#include "simd.h"

#define REAL float
#define NAME(name) name##_f32
#include "lanes_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "lanes_body.h"
#undef REAL
#undef NAME

#endif
