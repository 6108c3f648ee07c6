/* Both number types of the register tiles, at the vector width of the instruction set compiled for. */
#pragma once
#include <stddef.h>
#include <string.h>
#if defined(__AVX512BW__)
#include <immintrin.h>
#endif
#include "simd/elementary_terms.h"

/* Bytes in a vector register, and how many output pixels by two vectors of sums the register file holds beside two
 * weights and a pixel: 14 * 2 + 3 of 32, or 6 * 2 + 3 of 16. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_PIXELS 14
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TILE_PIXELS 6
#elif defined(__aarch64__) || defined(_M_ARM64)
#define VECTOR_BYTES 16
#define TILE_PIXELS 14
#else
#define VECTOR_BYTES 16
#define TILE_PIXELS 6
#endif

#if TILE_PIXELS == 14
#define ALL_TILES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) \
    CASE(12) CASE(13) CASE(14)
#else
#define ALL_TILES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#endif

#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_TERMS UNROLL
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_TERMS _Pragma("GCC unroll 32")
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#define UNROLL
#define UNROLL_TERMS
#else
#define INLINE static inline
#define UNROLL
#define UNROLL_TERMS
#endif

typedef struct {
    ptrdiff_t x_pixel;          /* numbers from one output pixel's window to the next one's */
    ptrdiff_t x_row;            /* ... and from one output row to the next, for tiles of two rows */
    ptrdiff_t y_pixel;          /* numbers from one output pixel to the next */
    const ptrdiff_t *tap;       /* (taps,): where in a window each run of products begins */
    ptrdiff_t taps, run;        /* runs in a window, and consecutive numbers in a run */
    ptrdiff_t w_step;           /* numbers from one row of weights to the next */
    ptrdiff_t w_skip;           /* rows of weights that are left out behind each run */
    int relu;                   /* whether the store leaves out what is negative */
} Correlation;

/* Pooled pixels side by side in one tile: each takes 2 * 2 sums by two vectors. */
#if TILE_PIXELS == 14
#define TILE_POOLED 3
#define WINNER_VECTORS 2        /* 9 taps by two vectors of channels are 18 sums */
#else
#define TILE_POOLED 1
#define WINNER_VECTORS 1
#endif

typedef struct {
    ptrdiff_t images;           /* whose sums are added up in registers */
    ptrdiff_t rows, columns;    /* output pixels that take part */
    ptrdiff_t x_image, x_row, x_pixel;      /* numbers between the windows of neighbouring output pixels */
    ptrdiff_t dy_image, dy_row, dy_pixel;   /* numbers between neighbouring output pixels */
    ptrdiff_t dw_step;          /* numbers from one row of weights to the next */
} Outer;

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(p) __builtin_prefetch(p)
#define PREFETCH_L2(p) __builtin_prefetch(p, 0, 2)      /* for what the first-level cache has no room for */
#define PREFETCH_TO_WRITE(p) __builtin_prefetch(p, 1)
#else
#define PREFETCH(p) ((void)0)
#define PREFETCH_L2(p) ((void)0)
#define PREFETCH_TO_WRITE(p) ((void)0)
#endif

/* Keeps a compiler from adding up offsets of its own for every use of a pointer, for which there are too few registers. */
#if defined(__GNUC__) || defined(__clang__)
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#else
#define OPAQUE(pointer) ((void)0)
#endif

/* Where a tap of a window lies, and its weights. */
typedef struct {
    ptrdiff_t x, w;
} Tap;

/* Depthwise tiles: so many pixels (or taps, in the gradient by the weights) by two vectors of sums; for 3x3 filters the
 * nine weights stay in registers beside two rows of sums, or nine sums beside rows of four gradients. */
#if TILE_PIXELS == 14
#define DEPTH_PIXELS 7
#define ALL_DEPTHS CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
#define SQUARE_PIXELS 4
#define SQUARE_ROWS 2
#else
#define DEPTH_PIXELS 6
#define ALL_DEPTHS CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#define SQUARE_PIXELS 2
#define SQUARE_ROWS 1
#endif

/* What a square tile's windows reach over: a row or column that is not there takes no part. */
enum { OUTSIDE_ABOVE = 1, OUTSIDE_BELOW = 2, OUTSIDE_LEFT = 4, OUTSIDE_RIGHT = 8 };

typedef struct {
    ptrdiff_t x_row, x_pixel;   /* numbers between the windows of neighbouring output pixels */
    ptrdiff_t y_row, y_pixel;   /* numbers between neighbouring output pixels */
    const Tap *tap;             /* (taps,) */
    ptrdiff_t taps;
    ptrdiff_t w_tap;            /* numbers from one tap's sums to the next one's, in the gradient by the weights */
    int gathered;               /* whether x, w and bias are laid out in slots */
    int whole;                  /* whether a pixel has at least a vector of outputs */
    int relu;                   /* whether the store leaves out what is negative */
} Depth;

/* Tiles along runs: so many pixels by outputs of sums, beside a vector of each pixel and one of weights. */
#if TILE_PIXELS == 14
#define RUN_PIXELS 4
#define RUN_OUTPUTS 6
#define ALL_RUNS CASE(1) CASE(2) CASE(3) CASE(4)
#else
#define RUN_PIXELS 3
#define RUN_OUTPUTS 4
#define ALL_RUNS CASE(1) CASE(2) CASE(3)
#endif

/* Sums of a batch's channels: so many numbers of a row in one call, and so many vectors of them in registers. */
#define SUM_COLUMNS 64
#if TILE_PIXELS == 14
#define SUM_VECTORS 4
#else
#define SUM_VECTORS 2
#endif
