/* The micro-kernels of all families, in float and in double: the same text, compiled twice. */
#pragma once
#include "simd/tiles.h"

/* The build of a function that works on what `numbers` points to. */
#define BY_TYPE(numbers, name) _Generic(*(numbers), float: name##_f32, double: name##_f64)

#define REAL float
#define DOUBLE 0
#define INTEGER int
#define NAME(name) name##_f32
#include "variants/families.h"
enum { LANES_F32 = VECTOR_BYTES / sizeof(float) };
#undef REAL
#undef DOUBLE
#undef INTEGER
#undef NAME
#undef LANES

#define REAL double
#define DOUBLE 1
#define INTEGER long long
#define NAME(name) name##_f64
#include "variants/families.h"
enum { LANES_F64 = VECTOR_BYTES / sizeof(double) };
#undef REAL
#undef DOUBLE
#undef INTEGER
#undef NAME
#undef LANES
