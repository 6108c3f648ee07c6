/* One vector of REAL numbers, as wide as the instruction set that the file is compiled for.
 *
 * Included once for float and once for double by tiles.h, which sets REAL and NAME. GCC and Clang know vectors as a
 * language extension; the last branch is plain C for all other compilers, which turn its fixed loops into whatever
 * they can. A vector may lie at any address that suits one number: unaligned loads cost nothing on these processors
 * unless they cross a cache line, and images with odd channel counts are never aligned.
 */
#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(REAL)))

#if defined(__GNUC__) || defined(__clang__)

typedef REAL NAME(vec) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

INLINE NAME(vec) NAME(load)(const REAL *p) { return *(const NAME(vec) *)p; }
INLINE void NAME(store)(REAL *p, NAME(vec) v) { *(NAME(vec) *)p = v; }
INLINE NAME(vec) NAME(fill)(REAL a) { return a - (NAME(vec)){0}; }
INLINE NAME(vec) NAME(zero)(void) { return (NAME(vec)){0}; }
INLINE NAME(vec) NAME(add)(NAME(vec) a, NAME(vec) b) { return a + b; }
INLINE NAME(vec) NAME(multiply_add)(NAME(vec) a, NAME(vec) b, NAME(vec) sum) { return a * b + sum; }

#else

typedef struct { REAL lane[VECTOR_BYTES / sizeof(REAL)]; } NAME(vec);

INLINE NAME(vec) NAME(load)(const REAL *p) { NAME(vec) v; memcpy(&v, p, VECTOR_BYTES); return v; }
INLINE void NAME(store)(REAL *p, NAME(vec) v) { memcpy(p, &v, VECTOR_BYTES); }
INLINE NAME(vec) NAME(fill)(REAL a) { NAME(vec) v; for (int i = 0; i < LANES; i++) v.lane[i] = a; return v; }
INLINE NAME(vec) NAME(zero)(void) { return NAME(fill)(0); }
INLINE NAME(vec) NAME(add)(NAME(vec) a, NAME(vec) b)
{
    for (int i = 0; i < LANES; i++) a.lane[i] += b.lane[i];
    return a;
}
INLINE NAME(vec) NAME(multiply_add)(NAME(vec) a, NAME(vec) b, NAME(vec) sum)
{
    for (int i = 0; i < LANES; i++) sum.lane[i] += a.lane[i] * b.lane[i];
    return sum;
}

#endif
