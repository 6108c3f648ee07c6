/* The micro-kernels of all families, for float and for double.
 *
 * C has no templates, so the headers in families.h are compiled twice, with different definitions of
 *
 *   REAL           the element type: float, then double
 *   INTEGER        the signed integer type of the same size
 *   DOUBLE         0, then 1
 *   NAME(f)        f_f32, then f_f64: the name of a function or type in this pass
 *   LANES          the number of elements in a vector, defined by vectors.h
 *
 * In the second pass, when both versions of every function exist, each header defines one macro per public function:
 *
 *   #if DOUBLE
 *   #define transpose(x, ...) BY_TYPE(x, transpose)(x, __VA_ARGS__)
 *   #endif
 *
 * so that the call transpose(x, ...) selects the version by the type of the elements that x points to. The fused-type
 * functions of the .pxi files call the kernels under this one name and declare it once, with void pointers.
 */
#pragma once
#include "simd/target.h"

/* name_f32 or name_f64, by the type of the elements that `pointer` points to. */
#define BY_TYPE(pointer, name) _Generic(*(pointer), float: name##_f32, double: name##_f64)

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
