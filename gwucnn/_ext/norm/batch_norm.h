/* Sums over the rows of a block for SUM_COLUMNS adjacent columns, kept in registers from the first row to the last.
 *
 * Compiled once for float and once for double; see variants/kernels.h. Nothing is checked here: the caller has done it.
 */

/* centre = rounded mean of x; square = sum of (x - centre)**2; off = sum of x - centre, due to the rounding. */
static void NAME(strip_moments)(
    const REAL *x,              /* (rows, step)                                         IN  */
    ptrdiff_t rows, ptrdiff_t step,
    REAL *centre, REAL *square, REAL *off)      /* (SUM_COLUMNS,)                       OUT */
{
    const NAME(vec) share = NAME(fill)((REAL)(1.0 / (double)rows));
    for (ptrdiff_t f = 0; f < SUM_COLUMNS; f += SUM_VECTORS * LANES) {
        NAME(vec) mean[SUM_VECTORS], squares[SUM_VECTORS], rest[SUM_VECTORS];
        UNROLL for (int v = 0; v < SUM_VECTORS; v++) mean[v] = squares[v] = rest[v] = NAME(zero)();
        for (ptrdiff_t r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < SUM_VECTORS; v++)
                mean[v] = NAME(add)(mean[v], NAME(load)(x + r * step + f + v * LANES));
        UNROLL for (int v = 0; v < SUM_VECTORS; v++) mean[v] = NAME(multiply)(mean[v], share);
        for (ptrdiff_t r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < SUM_VECTORS; v++) {
                const NAME(vec) d = NAME(subtract)(NAME(load)(x + r * step + f + v * LANES), mean[v]);
                squares[v] = NAME(multiply_add)(d, d, squares[v]);
                rest[v] = NAME(add)(rest[v], d);
            }
        UNROLL for (int v = 0; v < SUM_VECTORS; v++) {
            NAME(store)(centre + f + v * LANES, mean[v]);
            NAME(store)(square + f + v * LANES, squares[v]);
            NAME(store)(off + f + v * LANES, rest[v]);
        }
    }
}

/* product = sum of g * (x - mean), sum = sum of g, where g = dy; with RELU, 0 where (x - mean) * scale + beta <= 0. */
INLINE void NAME(strip_products_body)(
    const int RELU,
    const REAL *dy, const REAL *x,      /* (rows, step)                                 IN  */
    const REAL *row,            /* (3, step): mean; scale and beta are read with RELU   IN  */
    ptrdiff_t rows, ptrdiff_t step,
    REAL *product, REAL *sum)   /* (SUM_COLUMNS,)                                       OUT */
{
    for (ptrdiff_t f = 0; f < SUM_COLUMNS; f += SUM_VECTORS * LANES) {
        NAME(vec) products[SUM_VECTORS], sums[SUM_VECTORS];
        UNROLL for (int v = 0; v < SUM_VECTORS; v++) products[v] = sums[v] = NAME(zero)();
        for (ptrdiff_t r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < SUM_VECTORS; v++) {
                const ptrdiff_t at = f + v * LANES;
                const NAME(vec) d = NAME(subtract)(NAME(load)(x + r * step + at), NAME(load)(row + at));
                NAME(vec) g = NAME(load)(dy + r * step + at);
                if (RELU) {
                    const NAME(vec) scale = NAME(load)(row + step + at), beta = NAME(load)(row + 2 * step + at);
                    g = NAME(where_positive)(NAME(multiply_add)(d, scale, beta), g);
                }
                products[v] = NAME(multiply_add)(g, d, products[v]);
                sums[v] = NAME(add)(sums[v], g);
            }
        UNROLL for (int v = 0; v < SUM_VECTORS; v++) {
            NAME(store)(product + f + v * LANES, products[v]);
            NAME(store)(sum + f + v * LANES, sums[v]);
        }
    }
}

static void NAME(strip_products)(const REAL *dy, const REAL *x, const REAL *row, int relu, ptrdiff_t rows,
                                 ptrdiff_t step, REAL *product, REAL *sum)
{
    if (relu) NAME(strip_products_body)(1, dy, x, row, rows, step, product, sum);
    else NAME(strip_products_body)(0, dy, x, row, rows, step, product, sum);
}

#if DOUBLE    /* select the float or double version by the type of the elements (see variants/kernels.h) */
#define strip_moments(x, ...) BY_TYPE(x, strip_moments)(x, __VA_ARGS__)
#define strip_products(dy, ...) BY_TYPE(dy, strip_products)(dy, __VA_ARGS__)
#endif
