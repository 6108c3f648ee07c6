/* Constants that depend on the instruction set and the compiler, and the argument structures of the register tiles.
 *
 * Everything here is independent of the element type, so it is included only once, before the headers of families.h.
 */
#pragma once
#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "gwucnn: big-endian processors are not supported; random numbers and saved files rely on little-endian numbers"
#endif
#include <stddef.h>
#include <string.h>
#include "simd/elementary_terms.h"

/* The language of gcc and clang (clang-cl too), or plain C with the intrinsic functions of x86. GWUCNN_AS_MSVC makes any
 * compiler compile what MSVC gets: it is how that code is tested without Windows. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(GWUCNN_AS_MSVC)
#define GNU_EXTENSIONS 1
#else
#define GNU_EXTENSIONS 0
#endif
#if defined(_M_X64) || defined(__SSE2__)
#define X86_INTRINSICS
#if !GNU_EXTENSIONS || defined(__AVX512BW__)
#include <immintrin.h>
#endif
#endif

/* VECTOR_BYTES is the size of a vector register. TILE_PIXELS is the number of output pixels whose sums, two vectors for
 * each, fit into the register file together with two vectors of weights and a pixel: 14 * 2 + 3 of 32 registers, or
 * 6 * 2 + 3 of 16. */
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

/* ONE_COPY keeps gcc from cloning a large function for some constant arguments: the clones are no faster. APART keeps a
 * function out of the functions that call it. UNROLL is for loops whose sums must be in registers. */
#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#define APART __declspec(noinline)
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define APART __attribute__((noinline))
#else
#define INLINE static inline
#define APART
#endif
#if GNU_EXTENSIONS && defined(__clang__)
#define ONE_COPY
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_TERMS UNROLL
#elif GNU_EXTENSIONS
#define ONE_COPY __attribute__((noclone))
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_TERMS _Pragma("GCC unroll 32")
#else
#define ONE_COPY
#define UNROLL
#define UNROLL_TERMS
#endif

/* Sizes and strides of a tile of correlate_tile; strides are in elements. */
typedef struct {
    ptrdiff_t x_pixel;          /* from one output pixel's window to the next one's */
    ptrdiff_t x_row;            /* from one output row's windows to the next one's, for tiles of two rows */
    ptrdiff_t y_pixel;          /* from one output pixel to the next */
    const ptrdiff_t *tap;       /* (taps,): offset in a window at which each run of products begins */
    ptrdiff_t taps, run;        /* number of runs in a window, and of consecutive elements in a run */
    ptrdiff_t w_step;           /* from one row of weights to the next */
    ptrdiff_t w_skip;           /* number of rows of weights to skip after each run */
    int relu;                   /* whether the epilogue applies relu */
} Correlation;

/* Number of neighbouring pooled pixels in one tile; each takes 2 * 2 sums of two vectors. */
#if TILE_PIXELS == 14
#define TILE_POOLED 3
#define WINNER_VECTORS 2        /* 9 taps by two vectors of channels: 18 sums */
#else
#define TILE_POOLED 1
#define WINNER_VECTORS 1
#endif

/* Sizes and strides of a tile of outer_tile; strides are in elements. */
typedef struct {
    ptrdiff_t images;           /* number of images accumulated in registers */
    ptrdiff_t rows, columns;    /* of output pixels to accumulate over */
    ptrdiff_t x_image, x_row, x_pixel;      /* between the windows of neighbouring output images, rows and pixels */
    ptrdiff_t dy_image, dy_row, dy_pixel;   /* between neighbouring output images, rows and pixels */
    ptrdiff_t dw_step;          /* from one row of weights to the next */
} Outer;

/* PREFETCH_L2 is for data that does not fit into the L1 cache. OPAQUE keeps the compiler from computing a separate
 * address for every use of a pointer: there are too few registers. */
#if GNU_EXTENSIONS
#define PREFETCH(p) __builtin_prefetch(p)
#define PREFETCH_L2(p) __builtin_prefetch(p, 0, 2)
#define PREFETCH_TO_WRITE(p) __builtin_prefetch(p, 1)
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#else
#if defined(X86_INTRINSICS)
#define PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define PREFETCH_L2(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define PREFETCH_TO_WRITE(p) PREFETCH(p)
#else
#define PREFETCH(p) ((void)0)
#define PREFETCH_L2(p) ((void)0)
#define PREFETCH_TO_WRITE(p) ((void)0)
#endif
#define OPAQUE(pointer) ((void)0)
#endif

/* Offsets of a tap in the window of an output pixel, and of its weights. */
typedef struct {
    ptrdiff_t x, w;
} Tap;

/* Depthwise tiles hold sums for DEPTH_PIXELS pixels (in the gradient with respect to the weights: taps) by two vectors.
 * Square tiles, for 3x3 filters, keep the nine weights in registers together with SQUARE_ROWS rows of SQUARE_PIXELS
 * sums; in the gradient with respect to the weights, nine sums together with a row of SQUARE_PIXELS gradients. */
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

/* Sides on which the windows of a square tile extend beyond the image: the row or column outside is skipped. */
enum { OUTSIDE_ABOVE = 1, OUTSIDE_BELOW = 2, OUTSIDE_LEFT = 4, OUTSIDE_RIGHT = 8 };

/* Sizes and strides of a depthwise tile; strides are in elements. */
typedef struct {
    ptrdiff_t x_row, x_pixel;   /* between the windows of neighbouring output rows and pixels */
    ptrdiff_t y_row, y_pixel;   /* between neighbouring output rows and pixels */
    const Tap *tap;             /* (taps,) */
    ptrdiff_t taps;
    ptrdiff_t w_tap;            /* from one tap's sums to the next one's, in the gradient with respect to the weights */
    int gathered;               /* whether x, w and bias are laid out in slots */
    int whole;                  /* whether a pixel has at least a vector of outputs */
    int relu;                   /* whether the epilogue applies relu */
} Depth;

/* Tiles along runs hold RUN_PIXELS x RUN_OUTPUTS vectors of sums, one vector of each pixel and one of weights. */
#if TILE_PIXELS == 14
#define RUN_PIXELS 4
#define RUN_OUTPUTS 6
#define ALL_RUNS CASE(1) CASE(2) CASE(3) CASE(4)
#else
#define RUN_PIXELS 3
#define RUN_OUTPUTS 4
#define ALL_RUNS CASE(1) CASE(2) CASE(3)
#endif

/* Sums over a batch (norm/batch_norm.h): SUM_COLUMNS elements of a row per call, SUM_VECTORS vectors of them at a time
 * in registers. */
#define SUM_COLUMNS 64
#if TILE_PIXELS == 14
#define SUM_VECTORS 4
#else
#define SUM_VECTORS 2
#endif
