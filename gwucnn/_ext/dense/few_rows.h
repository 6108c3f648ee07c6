/* Products of one vector of inputs or gradients with a matrix of weights, for dense layers with batches of one or two.
 *
 * The matrix has D rows of U elements and is read once, in the order in which it lies in memory, in whole vectors. The
 * last vector of a row extends into the next row, which costs less than a loop over the remainder; the extra lanes are
 * ignored. Only in the last rows, after which there is not enough memory to read, the remainder is computed element by
 * element.
 *
 * Compiled once for float and once for double; see variants/kernels.h. Nothing is checked here: the caller has done it.
 */

/* Vectors of a row that a pass over the matrix keeps in registers. */
#define MAX_VECTORS 8

/* The number of leading rows in which the last vector, which holds `rest` elements of the row (0: LANES), can be read
 * without reading beyond the end of the matrix. */
INLINE ptrdiff_t NAME(rows_with_room)(ptrdiff_t D, ptrdiff_t U, ptrdiff_t rest)
{
    const ptrdiff_t overrun = LANES - rest;     /* elements read beyond the end of a row */
    const ptrdiff_t unsafe_rows = (overrun + U - 1) / U;
    return rest == 0 ? D : D > unsafe_rows ? D - unsafe_rows : 0;
}

/* y[u] = bias[u] + sum over d < D of x[d] * weight[d, u], for V vectors of u, of which the last has `rest` elements (0:
 * all of its lanes) */
INLINE void NAME(times_matrix_body)(const int V, ptrdiff_t D, ptrdiff_t U, ptrdiff_t rest, const REAL *x,
                                    const REAL *weight, const REAL *bias, REAL *y)
{
    NAME(vec) sum[MAX_VECTORS], sum_odd[MAX_VECTORS];
    REAL last[VECTOR_BYTES / sizeof(REAL)] = {0};
    const ptrdiff_t whole = rest ? V - 1 : V, safe_rows = NAME(rows_with_room)(D, U, rest);
    ptrdiff_t d = 0;
    UNROLL for (int v = 0; v < V; v++) sum[v] = sum_odd[v] = NAME(zero)();
    /* Two rows at a time, with separate sums: with few vectors in a row, additions would wait for the one before. */
    for (; d + 1 < safe_rows; d += 2) {
        const NAME(vec) x_even = NAME(fill)(x[d]), x_odd = NAME(fill)(x[d + 1]);
        UNROLL for (int v = 0; v < V; v++) {
            sum[v] = NAME(multiply_add)(x_even, NAME(load)(weight + d * U + v * LANES), sum[v]);
            sum_odd[v] = NAME(multiply_add)(x_odd, NAME(load)(weight + (d + 1) * U + v * LANES), sum_odd[v]);
        }
    }
    for (; d < D; d++) {
        const NAME(vec) value = NAME(fill)(x[d]);
        for (int v = 0; v < (d < safe_rows ? V : whole); v++)
            sum[v] = NAME(multiply_add)(value, NAME(load)(weight + d * U + v * LANES), sum[v]);
        if (d >= safe_rows)
            for (ptrdiff_t u = 0; u < rest; u++) last[u] += x[d] * weight[d * U + whole * LANES + u];
    }
    for (int v = 0; v < V; v++) {
        REAL all[VECTOR_BYTES / sizeof(REAL)];
        NAME(store)(all, NAME(add)(sum[v], sum_odd[v]));
        for (ptrdiff_t u = 0; u < (v < whole ? LANES : rest); u++)
            y[v * LANES + u] = all[u] + (v < whole ? 0 : last[u]) + (bias ? bias[v * LANES + u] : 0);
    }
}

/* Call BODY(V) for the V <= MAX_VECTORS vectors of a row that begin at element u, and advance u. V is a constant in
 * each case, so that the loops over vectors are unrolled. */
#define DISPATCH_VECTORS(U, u, BODY) \
    do { \
        const ptrdiff_t left = (U) - u, vectors = (left + LANES - 1) / LANES; \
        const ptrdiff_t wide = vectors < MAX_VECTORS ? vectors : MAX_VECTORS; \
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
    while (u < U) DISPATCH_VECTORS(U, u, BODY);
#undef BODY
}

/* Multiply a row of weights by a gradient and accumulate the V vectors of products; only `lanes` of the last count. */
INLINE NAME(vec) NAME(row_product)(const int V, ptrdiff_t lanes, const REAL *weight, const NAME(vec) *gradient)
{
    NAME(vec) sum = NAME(zero)();
    UNROLL for (int v = 0; v < V - 1; v++)
        sum = NAME(multiply_add)(NAME(load)(weight + v * LANES), gradient[v], sum);
    return NAME(multiply_add)(NAME(first_lanes)(NAME(load)(weight + (V - 1) * LANES), lanes), gradient[V - 1], sum);
}

/* dx[d] (+)= sum over u of weight[d, u] * dy[u] */
INLINE void NAME(matrix_times_body)(const int V, ptrdiff_t D, ptrdiff_t U, ptrdiff_t rest, const REAL *weight,
                                    const REAL *dy, REAL *dx, int accumulates)
{
    NAME(vec) gradient[MAX_VECTORS];
    REAL last[VECTOR_BYTES / sizeof(REAL)] = {0};
    const ptrdiff_t whole = rest ? V - 1 : V, safe_rows = NAME(rows_with_room)(D, U, rest), lanes = rest ? rest : LANES;
    ptrdiff_t d = 0;
    for (ptrdiff_t u = 0; u < rest; u++) last[u] = dy[whole * LANES + u];
    UNROLL for (int v = 0; v < V; v++) gradient[v] = NAME(load)(v < whole ? dy + v * LANES : last);
    /* LANES rows at a time: computing their totals together takes less than a quarter of the additions. */
    for (; d + LANES <= safe_rows; d += LANES) {
        NAME(vec) sum[VECTOR_BYTES / sizeof(REAL)];
        UNROLL for (int i = 0; i < LANES; i++) sum[i] = NAME(row_product)(V, lanes, weight + (d + i) * U, gradient);
        const NAME(vec) totals = NAME(totals)(sum);
        NAME(store)(dx + d, accumulates ? NAME(add)(totals, NAME(load)(dx + d)) : totals);
    }
    for (; d < safe_rows; d++)
        dx[d] = NAME(total)(NAME(row_product)(V, lanes, weight + d * U, gradient)) + (accumulates ? dx[d] : 0);
    for (; d < D; d++) {
        REAL total = accumulates ? dx[d] : 0;
        for (ptrdiff_t u = 0; u < whole * LANES + rest; u++) total += weight[d * U + u] * dy[u];
        dx[d] = total;
    }
}

static void NAME(matrix_times)(ptrdiff_t D, ptrdiff_t U, const REAL *weight, const REAL *dy, REAL *dx)
{
    ptrdiff_t u = 0;
#define BODY(V) NAME(matrix_times_body)(V, D, U, rest, weight + u, dy + u, dx, u > 0)
    while (u < U) DISPATCH_VECTORS(U, u, BODY);
#undef BODY
}

/* Store a product or, with `updates`, subtract lr * product. In both cases the product is rounded first, and -0 becomes
 * 0 (by adding 0), so that the update gives the same bits whether or not the product was stored in between. */
INLINE void NAME(product)(const int updates, REAL x, REAL dy, REAL lr, REAL *to)
{
    const REAL product = x * dy + 0;
    *to = updates ? *to - lr * product : product;
}

INLINE void NAME(product_vector)(const int updates, NAME(vec) x, const REAL *dy, NAME(vec) lr, REAL *to)
{
    NAME(vec) product = NAME(multiply_add)(x, NAME(load)(dy), NAME(zero)());
    if (updates) product = NAME(less_product)(NAME(load)(to), lr, product);
    NAME(store)(to, product);
}

/* to[d * U + u] = product, or with `updates` to[d * U + u] -= lr * product, of x[d] * dy[u]
 *
 * for elements d * U + u from `first` up to, not including, `last`; rows must be at least a vector long. The elements
 * are processed consecutively, and every vector stored is aligned to its size, because one that straddles two cache
 * lines takes twice as long. A vector may contain the end of one row and the beginning of the next.
 */
INLINE void NAME(products_body)(const int updates, ptrdiff_t first, ptrdiff_t last, ptrdiff_t U, const REAL *x,
                                const REAL *dy, REAL lr, REAL *to)
{
    REAL seam[2 * VECTOR_BYTES / sizeof(REAL)];     /* the last vector of dy, then its first */
    const NAME(vec) rate = NAME(fill)(lr);
    NAME(store)(seam, NAME(load)(dy + U - LANES));
    NAME(store)(seam + LANES, NAME(load)(dy));
    for (; first < last && (size_t)(to + first) % VECTOR_BYTES; first++)
        NAME(product)(updates, x[first / U], dy[first % U], lr, to + first);
    ptrdiff_t d = first / U, u = first % U, left = last - d * U;    /* from the row's start to `last` */
    for (REAL *row = to + d * U; u + LANES <= left; d++, row += U, left -= U, u -= U) {
        const NAME(vec) value = NAME(fill)(x[d]);
        const ptrdiff_t stop = (left < U ? left : U) - LANES;
        for (; u <= stop; u += LANES) NAME(product_vector)(updates, value, dy + u, rate, row + u);
        if (u == U) continue;
        if (u + LANES > left) break;
        const ptrdiff_t rest = U - u;
        const NAME(vec) both = NAME(add)(NAME(first_lanes)(value, rest),
                                         NAME(last_lanes)(NAME(fill)(x[d + 1]), LANES - rest));
        NAME(product_vector)(updates, both, seam + LANES - rest, rate, row + u);
        u += LANES;
    }
    for (first = d * U + u; first < last; first++)
        NAME(product)(updates, x[first / U], dy[first % U], lr, to + first);
}

/* weight[d * U + u] -= lr * (x[d] * dy[u]) for elements d * U + u from `first` up to, not including, `last`; U is at
 * least LANES. */
static void NAME(descend)(ptrdiff_t first, ptrdiff_t last, ptrdiff_t U, const REAL *x, const REAL *dy, REAL lr,
                          REAL *weight)
{
    NAME(products_body)(1, first, last, U, x, dy, lr, weight);
}

/* dweight[d, u] = x[d] * dy[u] for rows shorter than a vector: a row overwrites the extra lanes of the one before. */
INLINE void NAME(short_products)(ptrdiff_t D, ptrdiff_t U, const REAL *x, const REAL *dy, REAL *dweight)
{
    REAL row[VECTOR_BYTES / sizeof(REAL)] = {0};
    const ptrdiff_t safe_rows = NAME(rows_with_room)(D, U, U);
    memcpy(row, dy, (size_t)U * sizeof(REAL));
    const NAME(vec) gradient = NAME(load)(row);
    for (ptrdiff_t d = 0; d < safe_rows; d++)
        NAME(store)(dweight + d * U, NAME(multiply_add)(NAME(fill)(x[d]), gradient, NAME(zero)()));
    for (ptrdiff_t d = safe_rows; d < D; d++)
        for (ptrdiff_t u = 0; u < U; u++) dweight[d * U + u] = x[d] * dy[u];
}

static void NAME(outer_product)(ptrdiff_t D, ptrdiff_t U, const REAL *x, const REAL *dy, REAL *dweight)
{
    if (U >= LANES) NAME(products_body)(0, 0, D * U, U, x, dy, 0, dweight);
    else NAME(short_products)(D, U, x, dy, dweight);
}

/* dweight[d, u] += x[d] * dy[u]. Stores never extend beyond a row: the next row's load would have to wait for them. */
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

/* The largest absolute value, 0 if there are no elements; NaN counts as larger than infinity. Absolute values are in
 * the same order as their bits, and comparisons of integers vectorize. */
static REAL NAME(largest_magnitude)(const REAL *x, ptrdiff_t count)
{
    const INTEGER magnitude_mask = (INTEGER)(~0ULL >> (65 - 8 * sizeof(INTEGER)));
    INTEGER most = 0;
    REAL size;
    for (ptrdiff_t i = 0; i < count; i++) {
        INTEGER bits;
        memcpy(&bits, x + i, sizeof(bits));
        bits &= magnitude_mask;
        most = bits > most ? bits : most;
    }
    memcpy(&size, &most, sizeof(size));
    return size;
}

#undef DISPATCH_VECTORS
#undef MAX_VECTORS

#if DOUBLE    /* select the float or double version by the type of the elements (see variants/kernels.h) */
#define times_matrix(D, U, x, ...) BY_TYPE(x, times_matrix)(D, U, x, __VA_ARGS__)
#define matrix_times(D, U, weight, ...) BY_TYPE(weight, matrix_times)(D, U, weight, __VA_ARGS__)
#define largest_magnitude(x, ...) BY_TYPE(x, largest_magnitude)(x, __VA_ARGS__)
#define descend(first, last, U, x, ...) BY_TYPE(x, descend)(first, last, U, x, __VA_ARGS__)
#define outer_product(D, U, x, ...) BY_TYPE(x, outer_product)(D, U, x, __VA_ARGS__)
#define add_outer_product(D, U, x, ...) BY_TYPE(x, add_outer_product)(D, U, x, __VA_ARGS__)
#endif
