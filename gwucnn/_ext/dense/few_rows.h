/* A vector of inputs or gradients against a matrix of weights, read once in the order in which it lies.
 *
 * The matrix has D rows of U numbers. Its rows are taken as whole vectors; the last one of a row reads on into the
 * next, which costs less than a loop over what is left, and what it reads there is left out. Only in the last rows,
 * behind which there is no room, the rest is done number by number.
 *
 * Included once for float and once for double by tiles.h. Nothing here checks anything: the caller has.
 */

/* Sums that a pass over the matrix keeps in registers. */
#define SUMS 8

/* How many rows from the first on have a whole vector behind their last numbers, of which there are `rest`. */
INLINE ptrdiff_t NAME(roomy_rows)(ptrdiff_t D, ptrdiff_t U, ptrdiff_t rest)
{
    const ptrdiff_t beyond = LANES - rest;      /* numbers read behind the end of a row */
    const ptrdiff_t without = (beyond + U - 1) / U;
    return rest == 0 ? D : D > without ? D - without : 0;
}

/* y[u] = bias[u] + sum over d < D of x[d] * weight[d, u], for V vectors of u; of the last one `rest` numbers (or 0: all) */
INLINE void NAME(times_matrix_body)(const int V, ptrdiff_t D, ptrdiff_t U, ptrdiff_t rest, const REAL *x,
                                    const REAL *weight, const REAL *bias, REAL *y)
{
    NAME(vec) sum[SUMS], odd[SUMS];
    REAL last[VECTOR_BYTES / sizeof(REAL)] = {0};
    const ptrdiff_t whole = rest ? V - 1 : V, roomy = NAME(roomy_rows)(D, U, rest);
    ptrdiff_t d = 0;
    UNROLL for (int v = 0; v < V; v++) sum[v] = odd[v] = NAME(zero)();
    /* Two rows at a time: with few vectors a row, one sum would wait for itself. */
    for (; d + 1 < roomy; d += 2) {
        const NAME(vec) one = NAME(fill)(x[d]), two = NAME(fill)(x[d + 1]);
        UNROLL for (int v = 0; v < V; v++) {
            sum[v] = NAME(multiply_add)(one, NAME(load)(weight + d * U + v * LANES), sum[v]);
            odd[v] = NAME(multiply_add)(two, NAME(load)(weight + (d + 1) * U + v * LANES), odd[v]);
        }
    }
    for (; d < D; d++) {
        const NAME(vec) one = NAME(fill)(x[d]);
        for (int v = 0; v < (d < roomy ? V : whole); v++)
            sum[v] = NAME(multiply_add)(one, NAME(load)(weight + d * U + v * LANES), sum[v]);
        if (d >= roomy)
            for (ptrdiff_t u = 0; u < rest; u++) last[u] += x[d] * weight[d * U + whole * LANES + u];
    }
    for (int v = 0; v < V; v++) {
        REAL all[VECTOR_BYTES / sizeof(REAL)];
        NAME(store)(all, NAME(add)(sum[v], odd[v]));
        for (ptrdiff_t u = 0; u < (v < whole ? LANES : rest); u++)
            y[v * LANES + u] = all[u] + (v < whole ? 0 : last[u]) + (bias ? bias[v * LANES + u] : 0);
    }
}

/* Call BODY with as many vectors as there are from number u of a row on, at most SUMS, and set u behind them. */
#define SOME_VECTORS(U, u, BODY) \
    do { \
        const ptrdiff_t left = (U) - u, vectors = (left + LANES - 1) / LANES, wide = vectors < SUMS ? vectors : SUMS; \
        const ptrdiff_t rest = wide * LANES > left ? left % LANES : 0; \
        switch (wide) { \
        case 1: BODY(1); break; \
        case 2: BODY(2); break; \
        case 3: BODY(3); break; \
        case 4: BODY(4); break; \
        case 5: BODY(5); break; \
        case 6: BODY(6); break; \
        case 7: BODY(7); break; \
        default: BODY(8); break; \
        } \
        u += wide * LANES; \
    } while (0)

static void NAME(times_matrix)(ptrdiff_t D, ptrdiff_t U, const REAL *x, const REAL *weight, const REAL *bias, REAL *y)
{
    ptrdiff_t u = 0;
#define BODY(V) NAME(times_matrix_body)(V, D, U, rest, x, weight + u, bias ? bias + u : 0, y + u)
    while (u < U) SOME_VECTORS(U, u, BODY);
#undef BODY
}

/* Products of a row of weights, V vectors long, and a gradient, added up vector by vector; `lanes` of the last one. */
INLINE NAME(vec) NAME(row_product)(const int V, ptrdiff_t lanes, const REAL *weight, const NAME(vec) *gradient)
{
    NAME(vec) sum = NAME(zero)();
    UNROLL for (int v = 0; v < V - 1; v++)
        sum = NAME(multiply_add)(NAME(load)(weight + v * LANES), gradient[v], sum);
    return NAME(multiply_add)(NAME(first_lanes)(NAME(load)(weight + (V - 1) * LANES), lanes), gradient[V - 1], sum);
}

/* dx[d] (+)= sum over u of weight[d, u] * dy[u] */
INLINE void NAME(matrix_times_body)(const int V, ptrdiff_t D, ptrdiff_t U, ptrdiff_t rest, const REAL *weight,
                                    const REAL *dy, REAL *dx, int adds)
{
    NAME(vec) gradient[SUMS];
    REAL last[VECTOR_BYTES / sizeof(REAL)] = {0};
    const ptrdiff_t whole = rest ? V - 1 : V, roomy = NAME(roomy_rows)(D, U, rest), lanes = rest ? rest : LANES;
    ptrdiff_t d = 0;
    for (ptrdiff_t u = 0; u < rest; u++) last[u] = dy[whole * LANES + u];
    UNROLL for (int v = 0; v < V; v++) gradient[v] = NAME(load)(v < whole ? dy + v * LANES : last);
    /* Rows in groups of a vector, as their totals then take less than a quarter of the additions. */
    for (; d + LANES <= roomy; d += LANES) {
        NAME(vec) sum[VECTOR_BYTES / sizeof(REAL)];
        UNROLL for (int i = 0; i < LANES; i++) sum[i] = NAME(row_product)(V, lanes, weight + (d + i) * U, gradient);
        const NAME(vec) totals = NAME(totals)(sum);
        NAME(store)(dx + d, adds ? NAME(add)(totals, NAME(load)(dx + d)) : totals);
    }
    for (; d < roomy; d++)
        dx[d] = NAME(total)(NAME(row_product)(V, lanes, weight + d * U, gradient)) + (adds ? dx[d] : 0);
    for (; d < D; d++) {
        REAL total = adds ? dx[d] : 0;
        for (ptrdiff_t u = 0; u < whole * LANES + rest; u++) total += weight[d * U + u] * dy[u];
        dx[d] = total;
    }
}

static void NAME(matrix_times)(ptrdiff_t D, ptrdiff_t U, const REAL *weight, const REAL *dy, REAL *dx)
{
    ptrdiff_t u = 0;
#define BODY(V) NAME(matrix_times_body)(V, D, U, rest, weight + u, dy + u, dx, u > 0)
    while (u < U) SOME_VECTORS(U, u, BODY);
#undef BODY
}

/* Products are rounded, and -0 made 0, like those that are written to memory and read again. */
INLINE void NAME(product)(const int descends, REAL x, REAL dy, REAL lr, REAL *to)
{
    const REAL product = x * dy + 0;
    *to = descends ? *to - lr * product : product;
}

INLINE void NAME(product_vector)(const int descends, NAME(vec) x, const REAL *dy, NAME(vec) lr, REAL *to)
{
    NAME(vec) product = NAME(multiply_add)(x, NAME(load)(dy), NAME(zero)());
    if (descends) product = NAME(less_product)(NAME(load)(to), lr, product);
    NAME(store)(to, product);
}

/* to[d * U + u] = product, or with `descends` to[d * U + u] -= lr * product, of x[d] * dy[u]
 *
 * for numbers d * U + u from `first` up to `last`, in rows of at least a vector. They are taken one after the other, and
 * each vector that is written begins at a multiple of its size, as one that straddles two cache lines takes twice as
 * long. Where a row ends inside a vector, the next one begins in it.
 */
INLINE void NAME(products_body)(const int descends, ptrdiff_t first, ptrdiff_t last, ptrdiff_t U, const REAL *x,
                                const REAL *dy, REAL lr, REAL *to)
{
    REAL seam[2 * VECTOR_BYTES / sizeof(REAL)];     /* the end of dy and its beginning */
    const NAME(vec) rate = NAME(fill)(lr);
    NAME(store)(seam, NAME(load)(dy + U - LANES));
    NAME(store)(seam + LANES, NAME(load)(dy));
    for (; first < last && (size_t)(to + first) % VECTOR_BYTES; first++)
        NAME(product)(descends, x[first / U], dy[first % U], lr, to + first);
    ptrdiff_t d = first / U, u = first % U, left = last - d * U;    /* from the row's beginning to the end */
    for (REAL *row = to + d * U; u + LANES <= left; d++, row += U, left -= U, u -= U) {
        const NAME(vec) value = NAME(fill)(x[d]);
        const ptrdiff_t stop = (left < U ? left : U) - LANES;
        for (; u <= stop; u += LANES) NAME(product_vector)(descends, value, dy + u, rate, row + u);
        if (u == U) continue;
        if (u + LANES > left) break;
        const ptrdiff_t rest = U - u;
        const NAME(vec) two = NAME(add)(NAME(first_lanes)(value, rest),
                                        NAME(last_lanes)(NAME(fill)(x[d + 1]), LANES - rest));
        NAME(product_vector)(descends, two, seam + LANES - rest, rate, row + u);
        u += LANES;
    }
    for (first = d * U + u; first < last; first++)
        NAME(product)(descends, x[first / U], dy[first % U], lr, to + first);
}

/* weight[d * U + u] -= lr * (x[d] * dy[u]) for numbers d * U + u from `first` up to `last`; U >= LANES */
static void NAME(descend)(ptrdiff_t first, ptrdiff_t last, ptrdiff_t U, const REAL *x, const REAL *dy, REAL lr,
                          REAL *weight)
{
    NAME(products_body)(1, first, last, U, x, dy, lr, weight);
}

/* dweight[d, u] = x[d] * dy[u] in rows shorter than a vector: the next row overwrites what is written behind one. */
INLINE void NAME(short_products)(ptrdiff_t D, ptrdiff_t U, const REAL *x, const REAL *dy, REAL *dweight)
{
    REAL row[VECTOR_BYTES / sizeof(REAL)] = {0};
    const ptrdiff_t roomy = NAME(roomy_rows)(D, U, U);
    memcpy(row, dy, (size_t)U * sizeof(REAL));
    const NAME(vec) gradient = NAME(load)(row);
    for (ptrdiff_t d = 0; d < roomy; d++)
        NAME(store)(dweight + d * U, NAME(multiply_add)(NAME(fill)(x[d]), gradient, NAME(zero)()));
    for (ptrdiff_t d = roomy; d < D; d++)
        for (ptrdiff_t u = 0; u < U; u++) dweight[d * U + u] = x[d] * dy[u];
}

static void NAME(outer_product)(ptrdiff_t D, ptrdiff_t U, const REAL *x, const REAL *dy, REAL *dweight)
{
    if (U >= LANES) NAME(products_body)(0, 0, D * U, U, x, dy, 0, dweight);
    else NAME(short_products)(D, U, x, dy, dweight);
}

/* dweight[d, u] += x[d] * dy[u]. Nothing is written behind a row: the next one would wait for it to be read again. */
static void NAME(add_outer_product)(ptrdiff_t D, ptrdiff_t U, const REAL *x, const REAL *dy, REAL *dweight)
{
    for (ptrdiff_t d = 0; d < D; d++, dweight += U) {
        const NAME(vec) value = NAME(fill)(x[d]);
        ptrdiff_t u = 0;
        for (; u + LANES <= U; u += LANES)
            NAME(store)(dweight + u, NAME(multiply_add)(value, NAME(load)(dy + u), NAME(load)(dweight + u)));
        for (; u < U; u++) dweight[u] += x[d] * dy[u];
    }
}

/* The largest size of a number, 0 for none; NaN is larger than infinity. Sizes are in the order of their bits, and whole
 * numbers are compared by vectors. */
static REAL NAME(largest)(const REAL *x, ptrdiff_t count)
{
    const INTEGER without_sign = (INTEGER)(~0ULL >> (65 - 8 * sizeof(INTEGER)));
    INTEGER most = 0;
    REAL size;
    for (ptrdiff_t i = 0; i < count; i++) {
        INTEGER bits;
        memcpy(&bits, x + i, sizeof(bits));
        bits &= without_sign;
        most = bits > most ? bits : most;
    }
    memcpy(&size, &most, sizeof(size));
    return size;
}

#undef SOME_VECTORS
#undef SUMS

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define times_matrix(D, U, x, ...) BY_TYPE(x, times_matrix)(D, U, x, __VA_ARGS__)
#define matrix_times(D, U, weight, ...) BY_TYPE(weight, matrix_times)(D, U, weight, __VA_ARGS__)
#define largest(x, ...) BY_TYPE(x, largest)(x, __VA_ARGS__)
#define descend(first, last, U, x, ...) BY_TYPE(x, descend)(first, last, U, x, __VA_ARGS__)
#define outer_product(D, U, x, ...) BY_TYPE(x, outer_product)(D, U, x, __VA_ARGS__)
#define add_outer_product(D, U, x, ...) BY_TYPE(x, add_outer_product)(D, U, x, __VA_ARGS__)
#endif
