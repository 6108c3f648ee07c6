/* exp and the functions based on it, element by element, in a form that compilers vectorize.
 *
 * An element takes 0.4 to 0.7 ns in float32 with AVX-512, where a call of the C library's expf, expm1f, tanhf or erff
 * takes 3 to 12. The difference comes from selecting between two results instead of branching, and from polynomials
 * (elementary_terms.h) instead of tables.
 *
 *   exp(x) = 2**n * exp(r)      n = x / log(2) rounded, |r| <= log(2) / 2       exp(r) = 1 + r + r**2 * polynomial
 *
 * exp(r) - 1 is kept as a separate term, because adding it to 1 would lose digits that tanh, elu and softplus need.
 * 2**n is split into two factors, because its exponent may be out of range even if the result is not. Nothing
 * overflows, NaN stays NaN, and the limits at infinity are exact.
 *
 * `f(x, option)` is an activation and `f_slope` its derivative, which for tanh and sigmoid is a function of the
 * output. Relative errors are below 8 * u, where u = 2**-24 for float and 2**-53 for double. For derivatives that are
 * sums of terms of opposite signs the error is below 8 * u times the sum of the terms' absolute values; for gelu_tanh
 * it is below 8 * u * (1 + |v|), where v is the argument of the sigmoid. tests/_ext/test_elementary.py checks this.
 *
 * Compiled once for float and once for double; see variants/kernels.h.
 */

/* The unsigned integer of the size of REAL, the layout of its bits, and the largest absolute value of an argument that
 * makes a difference: exp(-LIMIT) is 0 even if multiplied by 1000; tanh is +-1 from LIMIT_TANH on; gelu is 0 or x from
 * LIMIT_GELU on, gelu_tanh from LIMIT_GELU_TANH on. */
#if DOUBLE
#define BITS unsigned long long
#define MANTISSA 52
#define BIAS 1023
#define LOG2_HIGH 0.693147180559663     /* the last bits are 0, so that n * LOG2_HIGH is exact */
#define LOG2_LOW 2.8235290563031577e-13
#define LIMIT 760
#define LIMIT_TANH 20
#define LIMIT_GELU 39
#define LIMIT_GELU_TANH 21.6
#define SIGN (1ull << 63)
#define HIGH_BITS (~0ull << 27)
#else
#define BITS unsigned int
#define MANTISSA 23
#define BIAS 127
#define LOG2_HIGH 0.693145751953125f
#define LOG2_LOW 1.42860682e-6f
#define LIMIT 112
#define LIMIT_TANH 10
#define LIMIT_GELU 15
#define LIMIT_GELU_TANH 11
#define SIGN (1u << 31)
#define HIGH_BITS (~0u << 12)
#endif
/* Adding this constant to a value of up to 2**(MANTISSA - 2) in size rounds the value to an integer. */
#define ROUNDER ((REAL)(1.5 * (1ull << MANTISSA)))

INLINE BITS NAME(bits)(REAL x) { BITS b; memcpy(&b, &x, sizeof b); return b; }
INLINE REAL NAME(from_bits)(BITS b) { REAL x; memcpy(&x, &b, sizeof x); return x; }

INLINE REAL NAME(horner)(const REAL *terms, const int count, REAL x)
{
    REAL sum = terms[0];
    UNROLL_TERMS for (int k = 1; k < count; k++) sum = sum * x + terms[k];
    return sum;
}
#define POLYNOMIAL(terms, x) NAME(horner)(NAME(terms), (int)(sizeof NAME(terms) / sizeof(REAL)), x)

/* min(|x|, limit), and `size` >= 0 with the sign of x. Both work on the bits: after two comparisons in a row, compilers
 * tend to duplicate all of the code that follows, once for each outcome, and to compute both. */
INLINE REAL NAME(clamped_abs)(REAL x, REAL limit)
{
    const REAL a = NAME(from_bits)(NAME(bits)(x) & ~SIGN);
    return a > limit ? limit : a;
}
INLINE REAL NAME(copy_sign)(REAL x, REAL size) { return NAME(from_bits)(NAME(bits)(size) | (NAME(bits)(x) & SIGN)); }

/* A power of e in three terms: (1 + above) * scale * rest, where scale and rest are powers of 2. */
typedef struct { REAL above, scale, rest; } NAME(power);

/* exp(x + correction) for x from -LIMIT - 1 to 88. */
INLINE NAME(power) NAME(exp_parts)(REAL x, REAL correction)
{
    const REAL rounded = (x + correction) * (REAL)1.4426950408889634 + ROUNDER, n = rounded - ROUNDER;
    const REAL r = (x - n * LOG2_HIGH) - n * LOG2_LOW + correction;
    /* Split n + 2 * BIAS into two halves, the biased exponents of the two factors. */
    const BITS exponent = NAME(bits)(rounded) - NAME(bits)(ROUNDER) + 2 * BIAS, half = exponent >> 1;
    NAME(power) p;
    p.above = r + r * r * POLYNOMIAL(expm1_terms, r);
    p.scale = NAME(from_bits)(half << MANTISSA);
    p.rest = NAME(from_bits)((exponent - half) << MANTISSA);
    return p;
}

/* exp(-|x|), which cannot overflow. */
INLINE REAL NAME(exp_minus_abs)(REAL x)
{
    const NAME(power) p = NAME(exp_parts)(-NAME(clamped_abs)(x, LIMIT), 0);
    return (1 + p.above) * p.scale * p.rest;
}

/* exp(x) - 1 for x from -LIMIT to 88. */
INLINE REAL NAME(expm1)(REAL x)
{
    const NAME(power) p = NAME(exp_parts)(x, 0);
    const REAL scale = p.scale * p.rest;
    return p.above * scale + (scale - 1);
}

/* x * sigmoid(v), or x * sigmoid(-v) if `below`, for v from 0 to LIMIT + 1. The last of the factors of 2**n is applied
 * at the end, as it may make a small product subnormal or 0. */
INLINE REAL NAME(times_sigmoid)(REAL x, REAL v, int below)
{
    const NAME(power) p = NAME(exp_parts)(-v, 0);
    const REAL e = (1 + p.above) * p.scale * p.rest;
    /* -infinity times 0 would be NaN. */
    const REAL product = (x < -2 * LIMIT ? -2 * LIMIT : x) / (1 + e);
    return below ? product * ((1 + p.above) * p.scale) * p.rest : product;
}

/* The derivative of x * sigmoid(v), where v has the derivative dv: sigmoid(v) * (1 + x * dv * sigmoid(-v)), or the same
 * with -v for v if `below`. */
INLINE REAL NAME(product_slope)(REAL x, REAL v, REAL dv, int below)
{
    const NAME(power) p = NAME(exp_parts)(-v, 0);
    const REAL e = (1 + p.above) * p.scale * p.rest, share = 1 / (1 + e), other = below ? share : e * share;
    const REAL product = (1 + x * dv * other) * share;
    return below ? product * ((1 + p.above) * p.scale) * p.rest : product;
}

/* ---------------------------------------------------------------- activations */

INLINE REAL NAME(sigmoid)(REAL x, REAL option)
{
    (void)option;
    const REAL e = NAME(exp_minus_abs)(x);
    return (x < 0 ? e : 1) / (1 + e);
}
INLINE REAL NAME(sigmoid_slope)(REAL y, REAL option) { (void)option; return y * (1 - y); }

INLINE REAL NAME(tanh)(REAL x, REAL option)
{
    (void)option;
    const REAL e = NAME(expm1)(2 * NAME(clamped_abs)(x, LIMIT_TANH)), y = e / (e + 2);
    return NAME(copy_sign)(x, y);
}
INLINE REAL NAME(tanh_slope)(REAL y, REAL option) { (void)option; return (1 - y) * (1 + y); }

INLINE REAL NAME(leaky_relu)(REAL x, REAL option) { return x > 0 ? x : option * x; }
INLINE REAL NAME(leaky_relu_slope)(REAL x, REAL option) { return x > 0 ? 1 : option; }

INLINE REAL NAME(elu)(REAL x, REAL option)
{
    const REAL below = option * NAME(expm1)(-NAME(clamped_abs)(x, LIMIT));
    return x > 0 ? x : below;
}
INLINE REAL NAME(elu_slope)(REAL x, REAL option)
{
    const REAL below = option * NAME(exp_minus_abs)(x);
    return x > 0 ? 1 : below;
}

INLINE REAL NAME(silu)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(clamped_abs)(x, LIMIT);
    return NAME(times_sigmoid)(x, a, x < 0);
}
INLINE REAL NAME(silu_slope)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(clamped_abs)(x, LIMIT);
    return NAME(product_slope)(NAME(copy_sign)(x, a), a, 1, x < 0);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|); log(1 + e) = 2 * atanh(e / (2 + e)). */
INLINE REAL NAME(softplus)(REAL x, REAL option)
{
    (void)option;
    const REAL e = NAME(exp_minus_abs)(x), s = e / (2 + e), t = 2 * e / (2 + e);
    return (x < 0 ? 0 : x) + (t + t * (s * s) * POLYNOMIAL(log1p_terms, s * s));
}
INLINE REAL NAME(softplus_slope)(REAL x, REAL option) { return NAME(sigmoid)(x, option); }

/* exp(-a * a / 2) for 0 <= a <= LIMIT_GELU. The square is computed in two parts, because the exponential would turn
 * its rounding error u into an error of a * a * u / 2. */
INLINE NAME(power) NAME(gaussian)(REAL a)
{
    const REAL high = NAME(from_bits)(NAME(bits)(a) & HIGH_BITS);
    return NAME(exp_parts)(-(high * high) / 2, -(a - high) * (a + high) / 2);
}

/* Q(a) * exp(a * a / 2), where Q(a) is the upper tail of the normal distribution. */
INLINE REAL NAME(tail)(REAL a)
{
    const REAL share = 1 / (a + 5);
    return POLYNOMIAL(tail_terms, (a - 5) * share) * share;
}

/* x * (1 - Q(x)); for x < 0, where this would lose all digits to cancellation, x * Q(-x). */
INLINE REAL NAME(gelu)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(clamped_abs)(x, LIMIT_GELU), tail = NAME(tail)(a);
    const NAME(power) p = NAME(gaussian)(a);
    const REAL part = tail * (1 + p.above) * p.scale;
    return x < 0 ? -a * part * p.rest : x * (1 - part * p.rest);
}
INLINE REAL NAME(gelu_slope)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(clamped_abs)(x, LIMIT_GELU), tail = NAME(tail)(a) - a * (REAL)0.3989422804014327;
    const NAME(power) p = NAME(gaussian)(a);
    const REAL below = tail * (1 + p.above) * p.scale * p.rest;
    return x < 0 ? below : 1 - below;
}

/* x * sigmoid(x * (A + B * x * x)), which equals the formula with tanh but takes fewer operations. */
#define GELU_A ((REAL)1.5957691216057308)
#define GELU_B ((REAL)0.07135481627260025)
INLINE REAL NAME(gelu_tanh)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(clamped_abs)(x, (REAL)LIMIT_GELU_TANH), v = a * (GELU_A + GELU_B * (a * a));
    return NAME(times_sigmoid)(x, v, x < 0);
}
INLINE REAL NAME(gelu_tanh_slope)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(clamped_abs)(x, (REAL)LIMIT_GELU_TANH), v = a * (GELU_A + GELU_B * (a * a));
    const REAL dv = GELU_A + 3 * GELU_B * (a * a);
    return NAME(product_slope)(NAME(copy_sign)(x, a), v, dv, x < 0);
}

/* ---------------------------------------------------------------- loops over arrays; in and out may be one array */

#define ARRAY_LOOPS(f) \
    static void NAME(f##_each)(const REAL *x, REAL *y, ptrdiff_t count, REAL option) \
    { \
        for (ptrdiff_t i = 0; i < count; i++) y[i] = NAME(f)(x[i], option); \
    } \
    static void NAME(f##_backward_each)(const REAL *dy, const REAL *x, REAL *dx, ptrdiff_t count, REAL option) \
    { \
        for (ptrdiff_t i = 0; i < count; i++) dx[i] = dy[i] * NAME(f##_slope)(x[i], option); \
    }
ARRAY_LOOPS(sigmoid)
ARRAY_LOOPS(tanh)
ARRAY_LOOPS(leaky_relu)
ARRAY_LOOPS(elu)
ARRAY_LOOPS(gelu)
ARRAY_LOOPS(gelu_tanh)
ARRAY_LOOPS(silu)
ARRAY_LOOPS(softplus)

#undef ARRAY_LOOPS
#undef POLYNOMIAL
#undef ROUNDER
#undef GELU_A
#undef GELU_B
#undef BITS
#undef MANTISSA
#undef BIAS
#undef LOG2_HIGH
#undef LOG2_LOW
#undef LIMIT
#undef LIMIT_TANH
#undef LIMIT_GELU
#undef LIMIT_GELU_TANH
#undef SIGN
#undef HIGH_BITS

#if DOUBLE
#define exp_minus_abs_of(x) BY_TYPE(x, exp_minus_abs)(*(x))
#define sigmoid_of(x) BY_TYPE(x, sigmoid)(*(x), 0)
#endif
