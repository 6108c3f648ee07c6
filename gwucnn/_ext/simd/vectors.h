/* A vector of REAL elements, as wide as the instruction set that the file is compiled for, and its operations.
 *
 * Compiled once for float and once for double; see variants/kernels.h. GCC and Clang support vectors as a language
 * extension; vectors_portable.h is for all other compilers. Vectors need only the alignment of one element: unaligned loads cost nothing on these processors unless
 * they cross a cache line, and the pixels of images with odd channel counts are never aligned.
 */
#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(REAL)))

#if GNU_EXTENSIONS

typedef REAL NAME(vec) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

INLINE NAME(vec) NAME(load)(const REAL *p) { return *(const NAME(vec) *)p; }
INLINE void NAME(store)(REAL *p, NAME(vec) v) { *(NAME(vec) *)p = v; }
INLINE NAME(vec) NAME(fill)(REAL a) { return a - (NAME(vec)){0}; }
/* A load for several uses: GCC would otherwise read memory for each use, twice if the vector straddles cache lines. */
INLINE NAME(vec) NAME(load_once)(const REAL *p)
{
    NAME(vec) v = NAME(load)(p);
#if !defined(__clang__) && defined(__x86_64__)
    __asm__("" : "+v"(v));
#endif
    return v;
}
INLINE NAME(vec) NAME(zero)(void) { return (NAME(vec)){0}; }
INLINE NAME(vec) NAME(add)(NAME(vec) a, NAME(vec) b) { return a + b; }
INLINE NAME(vec) NAME(subtract)(NAME(vec) a, NAME(vec) b) { return a - b; }
INLINE NAME(vec) NAME(multiply)(NAME(vec) a, NAME(vec) b) { return a * b; }
INLINE NAME(vec) NAME(multiply_add)(NAME(vec) a, NAME(vec) b, NAME(vec) sum) { return a * b + sum; }
/* sum - a * b as a single expression, so that compilers round it as they do in a scalar loop. */
INLINE NAME(vec) NAME(less_product)(NAME(vec) sum, NAME(vec) a, NAME(vec) b) { return sum - a * b; }

/* Integers as wide as REAL; a comparison of vectors yields -1 for true and 0 for false in each lane. */
typedef INTEGER NAME(mask) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef unsigned char NAME(bytes) __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL)), aligned(1), may_alias));

/* v where v > 0 or v is NaN, else 0. */
INLINE NAME(vec) NAME(relu)(NAME(vec) v) { return (NAME(vec))(~(v <= (NAME(vec)){0}) & (NAME(mask))v); }

/* g where v > 0 or v is NaN, else 0. */
INLINE NAME(vec) NAME(where_positive)(NAME(vec) v, NAME(vec) g)
{
    return (NAME(vec))(~(v <= (NAME(vec)){0}) & (NAME(mask))g);
}

/* a where m is -1, b where m is 0. */
INLINE NAME(vec) NAME(choose)(NAME(mask) m, NAME(vec) a, NAME(vec) b)
{
    return (NAME(vec))((m & (NAME(mask))a) | (~m & (NAME(mask))b));
}

/* p[index - k * LANES] in each lane where that is an element of the vector at p; elsewhere, if k > 0, `others`. */
INLINE NAME(vec) NAME(permute)(const REAL *p, const INTEGER *index, ptrdiff_t k, NAME(vec) others)
{
    const NAME(mask) at = *(const NAME(mask) *)index - (INTEGER)(k * LANES);
#if defined(__clang__)
    NAME(vec) permuted;
    for (int i = 0; i < LANES; i++) permuted[i] = p[at[i] & (LANES - 1)];
#else
    const NAME(vec) permuted = __builtin_shuffle(NAME(load)(p), at);
#endif
    return k == 0 ? permuted : NAME(choose)((at >= 0) & (at < (INTEGER)LANES), permuted, others);
}

/* In each lane, element `index` of the concatenation of a and b. */
INLINE NAME(vec) NAME(shuffle)(NAME(vec) a, NAME(vec) b, const INTEGER *index)
{
#if defined(__clang__)
    NAME(vec) permuted;
    for (int i = 0; i < LANES; i++) permuted[i] = index[i] < LANES ? a[index[i]] : b[index[i] - LANES];
    return permuted;
#else
    return __builtin_shuffle(a, b, *(const NAME(mask) *)index);
#endif
}

/* The largest of four vectors, and in `winner` the number, 0 to 3, of the first that holds it. With relu the result is
 * 0 and the winner 4 if none is above 0. NaN counts as the largest. */
INLINE NAME(vec) NAME(largest_of_four)(const NAME(vec) *s, int relu, unsigned char *winner)
{
    NAME(vec) best = s[0];
    NAME(mask) place = (NAME(mask)){0};
    for (int k = 1; k < 4; k++) {
        const NAME(mask) take = ~(s[k] <= best) & (best == best);
        best = NAME(choose)(take, s[k], best);
        place = (take & k) | (~take & place);
    }
    NAME(mask) shut = (NAME(mask)){0};
    if (relu) {
        shut = best <= (NAME(vec)){0};
        place = (shut & 4) | (~shut & place);
    }
    *(NAME(bytes) *)winner = __builtin_convertvector(place, NAME(bytes));
    return (NAME(vec))(~shut & (NAME(mask))best);
}

/* One byte per lane, widened to INTEGER: a loop, as GCC 12 compiles __builtin_convertvector to scalar code here. */
INLINE NAME(mask) NAME(widen)(const unsigned char *p)
{
    INTEGER all[VECTOR_BYTES / sizeof(REAL)];
    for (int i = 0; i < LANES; i++) all[i] = p[i];
    return *(const NAME(mask) *)all;
}

/* The lanes of g whose winner is `place`; 0 in the others. */
INLINE NAME(vec) NAME(won_by)(const unsigned char *winner, int place, NAME(vec) g)
{
    return (NAME(vec))((NAME(widen)(winner) == place) & (NAME(mask))g);
}

/* The first `lanes` lanes of v, at most all; 0 in the others, even where v is NaN or infinite. */
INLINE NAME(vec) NAME(first_lanes)(NAME(vec) v, ptrdiff_t lanes)
{
    static const INTEGER keep[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    return (NAME(vec))(*(const NAME(mask) *)(keep + 16 - lanes) & (NAME(mask))v);
}

/* The last `lanes` lanes of v, fewer than all; 0 in the others, even where v is NaN or infinite. */
INLINE NAME(vec) NAME(last_lanes)(NAME(vec) v, ptrdiff_t lanes)
{
    static const INTEGER keep[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    return (NAME(vec))(*(const NAME(mask) *)(keep + 16 - LANES + lanes) & (NAME(mask))v);
}

#else
#include "simd/vectors_portable.h"
#endif

/* Sums of pairs of neighbouring lanes: first those of a, then those of b. */
INLINE NAME(vec) NAME(add_neighbours)(NAME(vec) a, NAME(vec) b)
{
    static const INTEGER left[16] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    static const INTEGER right[16] = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
    return NAME(add)(NAME(shuffle)(a, b, left), NAME(shuffle)(a, b, right));
}

/* In lane i, the sum of all lanes of v[i]; v holds LANES vectors and is overwritten. */
INLINE NAME(vec) NAME(totals)(NAME(vec) *v)
{
    UNROLL for (int half = LANES / 2; half > 0; half /= 2)
        UNROLL for (int i = 0; i < half; i++) v[i] = NAME(add_neighbours)(v[2 * i], v[2 * i + 1]);
    return v[0];
}

/* The sum of all lanes, by halves: in a sequential sum each addition would wait for the one before. */
INLINE REAL NAME(total)(NAME(vec) v)
{
    REAL all[VECTOR_BYTES / sizeof(REAL)];
    NAME(store)(all, v);
    UNROLL for (ptrdiff_t half = LANES / 2; half > 0; half /= 2)
        for (ptrdiff_t i = 0; i < half; i++) all[i] += all[i + half];
    return all[0];
}
