/* The vectors of vectors.h for compilers without GNU's vector extension, such as MSVC.
 *
 * The operations of inner loops are the processor's, where compilers offer them as functions (x86). Elsewhere a vector is
 * an array, and the compiler may find that a loop over its lanes is one instruction. The other operations are such loops
 * everywhere. Compiled once for float and once for double; see variants/kernels.h.
 */

#if defined(X86_INTRINSICS)

/* OP(add) is the function for this width and type, such as _mm256_add_ps. */
#if DOUBLE
#define TYPED(name) name##_pd
#else
#define TYPED(name) name##_ps
#endif
#if VECTOR_BYTES == 64
#define OP(name) TYPED(_mm512_##name)
#elif VECTOR_BYTES == 32
#define OP(name) TYPED(_mm256_##name)
#else
#define OP(name) TYPED(_mm_##name)
#endif

#if VECTOR_BYTES == 64 && DOUBLE
typedef __m512d NAME(vec);
#elif VECTOR_BYTES == 64
typedef __m512 NAME(vec);
#elif VECTOR_BYTES == 32 && DOUBLE
typedef __m256d NAME(vec);
#elif VECTOR_BYTES == 32
typedef __m256 NAME(vec);
#elif DOUBLE
typedef __m128d NAME(vec);
#else
typedef __m128 NAME(vec);
#endif

INLINE NAME(vec) NAME(load)(const REAL *p) { return OP(loadu)(p); }
INLINE void NAME(store)(REAL *p, NAME(vec) v) { OP(storeu)(p, v); }
INLINE NAME(vec) NAME(fill)(REAL a) { return OP(set1)(a); }
INLINE NAME(vec) NAME(add)(NAME(vec) a, NAME(vec) b) { return OP(add)(a, b); }
INLINE NAME(vec) NAME(subtract)(NAME(vec) a, NAME(vec) b) { return OP(sub)(a, b); }
INLINE NAME(vec) NAME(multiply)(NAME(vec) a, NAME(vec) b) { return OP(mul)(a, b); }
#if VECTOR_BYTES > 16   /* the levels with such vectors have fused multiply-adds */
INLINE NAME(vec) NAME(multiply_add)(NAME(vec) a, NAME(vec) b, NAME(vec) sum) { return OP(fmadd)(a, b, sum); }
INLINE NAME(vec) NAME(less_product)(NAME(vec) sum, NAME(vec) a, NAME(vec) b) { return OP(fnmadd)(a, b, sum); }
#else
INLINE NAME(vec) NAME(multiply_add)(NAME(vec) a, NAME(vec) b, NAME(vec) sum) { return OP(add)(OP(mul)(a, b), sum); }
INLINE NAME(vec) NAME(less_product)(NAME(vec) sum, NAME(vec) a, NAME(vec) b) { return OP(sub)(sum, OP(mul)(a, b)); }
#endif
/* The second argument where one is NaN or both are 0; adding 0 makes 0 of -0. */
INLINE NAME(vec) NAME(relu)(NAME(vec) v) { return OP(add)(OP(max)(OP(set1)(0), v), OP(set1)(0)); }

#undef TYPED
#undef OP

#else

typedef struct { REAL lane[VECTOR_BYTES / sizeof(REAL)]; } NAME(vec);

INLINE NAME(vec) NAME(load)(const REAL *p) { NAME(vec) v; memcpy(&v, p, VECTOR_BYTES); return v; }
INLINE void NAME(store)(REAL *p, NAME(vec) v) { memcpy(p, &v, VECTOR_BYTES); }
INLINE NAME(vec) NAME(fill)(REAL a) { NAME(vec) v; for (int i = 0; i < LANES; i++) v.lane[i] = a; return v; }
INLINE NAME(vec) NAME(add)(NAME(vec) a, NAME(vec) b)
{
    for (int i = 0; i < LANES; i++) a.lane[i] += b.lane[i];
    return a;
}
INLINE NAME(vec) NAME(subtract)(NAME(vec) a, NAME(vec) b)
{
    for (int i = 0; i < LANES; i++) a.lane[i] -= b.lane[i];
    return a;
}
INLINE NAME(vec) NAME(multiply)(NAME(vec) a, NAME(vec) b)
{
    for (int i = 0; i < LANES; i++) a.lane[i] *= b.lane[i];
    return a;
}
INLINE NAME(vec) NAME(multiply_add)(NAME(vec) a, NAME(vec) b, NAME(vec) sum)
{
    for (int i = 0; i < LANES; i++) sum.lane[i] += a.lane[i] * b.lane[i];
    return sum;
}
INLINE NAME(vec) NAME(less_product)(NAME(vec) sum, NAME(vec) a, NAME(vec) b)
{
    for (int i = 0; i < LANES; i++) sum.lane[i] -= a.lane[i] * b.lane[i];
    return sum;
}
INLINE NAME(vec) NAME(relu)(NAME(vec) v)
{
    for (int i = 0; i < LANES; i++)
        if (v.lane[i] <= 0) v.lane[i] = 0;
    return v;
}

#endif

INLINE NAME(vec) NAME(load_once)(const REAL *p) { return NAME(load)(p); }
INLINE NAME(vec) NAME(zero)(void) { return NAME(fill)(0); }

/* The lanes of a vector in memory, and back. */
typedef struct { REAL lane[VECTOR_BYTES / sizeof(REAL)]; } NAME(lanes);
INLINE NAME(lanes) NAME(unpack)(NAME(vec) v) { NAME(lanes) all; NAME(store)(all.lane, v); return all; }

INLINE NAME(vec) NAME(where_positive)(NAME(vec) v, NAME(vec) g)
{
    NAME(lanes) all = NAME(unpack)(g);
    const NAME(lanes) sign = NAME(unpack)(v);
    for (int i = 0; i < LANES; i++) all.lane[i] = sign.lane[i] <= 0 ? 0 : all.lane[i];
    return NAME(load)(all.lane);
}
INLINE NAME(vec) NAME(permute)(const REAL *p, const INTEGER *index, ptrdiff_t k, NAME(vec) others)
{
    NAME(lanes) all = NAME(unpack)(others);
    for (int i = 0; i < LANES; i++) {
        const ptrdiff_t at = (ptrdiff_t)index[i] - k * LANES;
        if (k == 0 || (at >= 0 && at < LANES)) all.lane[i] = p[at & (LANES - 1)];
    }
    return NAME(load)(all.lane);
}
INLINE NAME(vec) NAME(shuffle)(NAME(vec) a, NAME(vec) b, const INTEGER *index)
{
    REAL both[2 * VECTOR_BYTES / sizeof(REAL)];
    NAME(lanes) all;
    NAME(store)(both, a);
    NAME(store)(both + LANES, b);
    for (int i = 0; i < LANES; i++) all.lane[i] = both[index[i]];
    return NAME(load)(all.lane);
}
INLINE NAME(vec) NAME(largest_of_four)(const NAME(vec) *s, int relu, unsigned char *winner)
{
    NAME(lanes) best = NAME(unpack)(s[0]);
    for (int i = 0; i < LANES; i++) winner[i] = 0;
    for (int k = 1; k < 4; k++) {
        const NAME(lanes) other = NAME(unpack)(s[k]);
        for (int i = 0; i < LANES; i++) {
            const int take = !(other.lane[i] <= best.lane[i]) && best.lane[i] == best.lane[i];
            best.lane[i] = take ? other.lane[i] : best.lane[i];
            winner[i] = take ? (unsigned char)k : winner[i];
        }
    }
    if (relu)
        for (int i = 0; i < LANES; i++) {
            winner[i] = best.lane[i] <= 0 ? 4 : winner[i];
            best.lane[i] = best.lane[i] <= 0 ? 0 : best.lane[i];
        }
    return NAME(load)(best.lane);
}
INLINE NAME(vec) NAME(won_by)(const unsigned char *winner, int place, NAME(vec) g)
{
    NAME(lanes) all = NAME(unpack)(g);
    for (int i = 0; i < LANES; i++) all.lane[i] = winner[i] == place ? all.lane[i] : 0;
    return NAME(load)(all.lane);
}
INLINE NAME(vec) NAME(first_lanes)(NAME(vec) v, ptrdiff_t lanes)
{
    NAME(lanes) all = NAME(unpack)(v);
    for (int i = 0; i < LANES; i++) all.lane[i] = i < lanes ? all.lane[i] : 0;
    return NAME(load)(all.lane);
}
INLINE NAME(vec) NAME(last_lanes)(NAME(vec) v, ptrdiff_t lanes)
{
    NAME(lanes) all = NAME(unpack)(v);
    for (int i = 0; i < LANES; i++) all.lane[i] = i < LANES - lanes ? 0 : all.lane[i];
    return NAME(load)(all.lane);
}
