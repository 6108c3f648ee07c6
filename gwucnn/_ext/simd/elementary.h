/* exp and what is made of it, number by number, in a form that compilers turn into vector code.
 *
 * A number takes 0.4 to 0.7 ns in float32 with AVX-512, where a call of the C library's expf, expm1f, tanhf or erff
 * takes 3 to 12. What makes the difference: no branches, only choices between two results, and no tables but
 * polynomials (elementary_terms.h).
 *
 *   exp(x) = 2**n * exp(r)      n = x / log(2) rounded, |r| <= log(2) / 2       exp(r) = 1 + r + r**2 * polynomial
 *
 * For tanh, elu and softplus, exp(r) - 1 stays by itself, as it has digits that get lost beside 1. 2**n comes in two
 * factors, as its exponent may be out of range where the result is not. Nothing overflows, NaN stays NaN, and limits
 * at infinity are reached.
 *
 * `f(x, option)` is an activation and `f_slope` its derivative (tanh's and sigmoid's by way of the output). Relative
 * errors are below 8 * u, u being 2**-24 for float and 2**-53 for double; those of slopes that are sums of unlike
 * signs, 8 * u of the sum of sizes; gelu_tanh's 8 * u * (1 + |v|), v being what it gives to the sigmoid (tested).
 *
 * Included once for float and once for double by tiles.h.
 */

/* The integers of the same size as REAL, how its bits are laid out, and how far from 0 arguments matter: exp(-MOST) is 0,
 * even times 1000; tanh is 1 from MOST_TANH on; and gelu is 0 or x. */
#if DOUBLE
#define BITS unsigned long long
#define MANTISSA 52
#define BIAS 1023
#define LOG2_HIGH 0.693147180559663     /* its last bits are 0: n times it is exact */
#define LOG2_LOW 2.8235290563031577e-13
#define MOST 760
#define MOST_TANH 20
#define MOST_GELU 39
#define MOST_GELU_TANH 21.6
#define SIGN (1ull << 63)
#define HALF_OF_BITS (~0ull << 27)
#else
#define BITS unsigned int
#define MANTISSA 23
#define BIAS 127
#define LOG2_HIGH 0.693145751953125f
#define LOG2_LOW 1.42860682e-6f
#define MOST 112
#define MOST_TANH 10
#define MOST_GELU 15
#define MOST_GELU_TANH 11
#define SIGN (1u << 31)
#define HALF_OF_BITS (~0u << 12)
#endif
/* Added to a number of up to 2**(MANTISSA - 2), it leaves no room for digits behind the point. */
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

/* |x|, at most `most`; and |y| with the sign of x. By their bits: where one comparison follows another, compilers tend
 * to make a copy for each outcome of all that comes after, and compute both. */
INLINE REAL NAME(size)(REAL x, REAL most)
{
    const REAL a = NAME(from_bits)(NAME(bits)(x) & ~SIGN);
    return a > most ? most : a;
}
INLINE REAL NAME(signed_as)(REAL x, REAL size) { return NAME(from_bits)(NAME(bits)(size) | (NAME(bits)(x) & SIGN)); }

/* (1 + above) * scale * rest */
typedef struct { REAL above, scale, rest; } NAME(power);

/* exp(x + correction), x from -MOST - 1 to 88. */
INLINE NAME(power) NAME(exp_parts)(REAL x, REAL correction)
{
    const REAL rounded = (x + correction) * (REAL)1.4426950408889634 + ROUNDER, n = rounded - ROUNDER;
    const REAL r = (x - n * LOG2_HIGH) - n * LOG2_LOW + correction;
    /* n + 2 * BIAS in two halves, each the exponent of a factor. */
    const BITS exponent = NAME(bits)(rounded) - NAME(bits)(ROUNDER) + 2 * BIAS, half = exponent >> 1;
    NAME(power) p;
    p.above = r + r * r * POLYNOMIAL(expm1_terms, r);
    p.scale = NAME(from_bits)(half << MANTISSA);
    p.rest = NAME(from_bits)((exponent - half) << MANTISSA);
    return p;
}

/* exp(-|x|): the only exponents that cannot overflow. */
INLINE REAL NAME(exp_minus_size)(REAL x)
{
    const NAME(power) p = NAME(exp_parts)(-NAME(size)(x, MOST), 0);
    return (1 + p.above) * p.scale * p.rest;
}

/* exp(x) - 1 for x from -MOST to 88. */
INLINE REAL NAME(expm1)(REAL x)
{
    const NAME(power) p = NAME(exp_parts)(x, 0);
    const REAL scale = p.scale * p.rest;
    return p.above * scale + (scale - 1);
}

/* x * sigmoid(v), or x * sigmoid(-v) if `below`, v from 0 to MOST + 1. The factor 2**n that takes a small product down
 * comes last. */
INLINE REAL NAME(times_sigmoid)(REAL x, REAL v, int below)
{
    const NAME(power) p = NAME(exp_parts)(-v, 0);
    const REAL e = (1 + p.above) * p.scale * p.rest;
    /* -infinity times 0 would be NaN. */
    const REAL product = (x < -2 * MOST ? -2 * MOST : x) / (1 + e);
    return below ? product * ((1 + p.above) * p.scale) * p.rest : product;
}

/* The derivative of that where v has the derivative dv: sigmoid(v) * (1 + x * dv * sigmoid(-v)). */
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
    const REAL e = NAME(exp_minus_size)(x);
    return (x < 0 ? e : 1) / (1 + e);
}
INLINE REAL NAME(sigmoid_slope)(REAL y, REAL option) { (void)option; return y * (1 - y); }

INLINE REAL NAME(tanh)(REAL x, REAL option)
{
    (void)option;
    const REAL e = NAME(expm1)(2 * NAME(size)(x, MOST_TANH)), y = e / (e + 2);
    return NAME(signed_as)(x, y);
}
INLINE REAL NAME(tanh_slope)(REAL y, REAL option) { (void)option; return (1 - y) * (1 + y); }

INLINE REAL NAME(leaky_relu)(REAL x, REAL option) { return x > 0 ? x : option * x; }
INLINE REAL NAME(leaky_relu_slope)(REAL x, REAL option) { return x > 0 ? 1 : option; }

INLINE REAL NAME(elu)(REAL x, REAL option)
{
    const REAL below = option * NAME(expm1)(-NAME(size)(x, MOST));
    return x > 0 ? x : below;
}
INLINE REAL NAME(elu_slope)(REAL x, REAL option)
{
    const REAL below = option * NAME(exp_minus_size)(x);
    return x > 0 ? 1 : below;
}

INLINE REAL NAME(silu)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(size)(x, MOST);
    return NAME(times_sigmoid)(x, a, x < 0);
}
INLINE REAL NAME(silu_slope)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(size)(x, MOST);
    return NAME(product_slope)(NAME(signed_as)(x, a), a, 1, x < 0);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|); log(1 + e) = 2 * atanh(e / (2 + e)). */
INLINE REAL NAME(softplus)(REAL x, REAL option)
{
    (void)option;
    const REAL e = NAME(exp_minus_size)(x), s = e / (2 + e), t = 2 * e / (2 + e);
    return (x < 0 ? 0 : x) + (t + t * (s * s) * POLYNOMIAL(log1p_terms, s * s));
}
INLINE REAL NAME(softplus_slope)(REAL x, REAL option) { return NAME(sigmoid)(x, option); }

/* exp(-a * a / 2) for 0 <= a <= MOST_GELU. The square is taken in two parts: its rounding error would grow with a * a. */
INLINE NAME(power) NAME(bell)(REAL a)
{
    const REAL high = NAME(from_bits)(NAME(bits)(a) & HALF_OF_BITS);
    return NAME(exp_parts)(-(high * high) / 2, -(a - high) * (a + high) / 2);
}

/* Q(a) * exp(a * a / 2). */
INLINE REAL NAME(tail)(REAL a)
{
    const REAL share = 1 / (a + 5);
    return POLYNOMIAL(tail_terms, (a - 5) * share) * share;
}

/* x * (1 - Q(x)), and for x < 0, where that would lose all digits, x * Q(-x). */
INLINE REAL NAME(gelu)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(size)(x, MOST_GELU), tail = NAME(tail)(a);
    const NAME(power) p = NAME(bell)(a);
    const REAL part = tail * (1 + p.above) * p.scale;
    return x < 0 ? -a * part * p.rest : x * (1 - part * p.rest);
}
INLINE REAL NAME(gelu_slope)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(size)(x, MOST_GELU), tail = NAME(tail)(a) - a * (REAL)0.3989422804014327;
    const NAME(power) p = NAME(bell)(a);
    const REAL below = tail * (1 + p.above) * p.scale * p.rest;
    return x < 0 ? below : 1 - below;
}

/* x * sigmoid(x * (A + B * x * x)): the formula with tanh, in fewer steps. */
#define GELU_A ((REAL)1.5957691216057308)
#define GELU_B ((REAL)0.07135481627260025)
INLINE REAL NAME(gelu_tanh)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(size)(x, (REAL)MOST_GELU_TANH), v = a * (GELU_A + GELU_B * (a * a));
    return NAME(times_sigmoid)(x, v, x < 0);
}
INLINE REAL NAME(gelu_tanh_slope)(REAL x, REAL option)
{
    (void)option;
    const REAL a = NAME(size)(x, (REAL)MOST_GELU_TANH), v = a * (GELU_A + GELU_B * (a * a));
    const REAL dv = GELU_A + 3 * GELU_B * (a * a);
    return NAME(product_slope)(NAME(signed_as)(x, a), v, dv, x < 0);
}

/* ---------------------------------------------------------------- over arrays; in and out may be one array */

#define EACH(f) \
    static void NAME(f##_each)(const REAL *x, REAL *y, ptrdiff_t count, REAL option) \
    { \
        for (ptrdiff_t i = 0; i < count; i++) y[i] = NAME(f)(x[i], option); \
    } \
    static void NAME(f##_backward_each)(const REAL *dy, const REAL *x, REAL *dx, ptrdiff_t count, REAL option) \
    { \
        for (ptrdiff_t i = 0; i < count; i++) dx[i] = dy[i] * NAME(f##_slope)(x[i], option); \
    }
EACH(sigmoid)
EACH(tanh)
EACH(leaky_relu)
EACH(elu)
EACH(gelu)
EACH(gelu_tanh)
EACH(silu)
EACH(softplus)

#undef EACH
#undef POLYNOMIAL
#undef ROUNDER
#undef GELU_A
#undef GELU_B
#undef BITS
#undef MANTISSA
#undef BIAS
#undef LOG2_HIGH
#undef LOG2_LOW
#undef MOST
#undef MOST_TANH
#undef MOST_GELU
#undef MOST_GELU_TANH
#undef SIGN
#undef HALF_OF_BITS

#if DOUBLE
#define exp_minus_size_of(x) BY_TYPE(x, exp_minus_size)(*(x))
#define sigmoid_of(x) BY_TYPE(x, sigmoid)(*(x), 0)
#endif
