/* Tiles for few pixels: weights are used where they lie, as to copy them would take longer than to multiply by them.
 *
 * `along_run`: lanes run along a run of dy and of the weights, the filters of one channel, and are added up at the end.
 * `add_rows`: a block of rows of the weights is multiplied by all pixels before the next is read, so that memory is read
 * from end to end, and each number once.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

/* y[m * y_pixel + b] = sum over t < taps, r < run of x[m * x_pixel + tap[t] + r] * w[w_tap[t] + b * w_step + r]
 *
 * for M neighbouring output pixels m and B outputs b; a run is a number of whole vectors.
 */
INLINE void NAME(along_run_body)(
    const int M, const int B,
    const Correlation *c,       /* sizes and strides                                    IN  */
    const ptrdiff_t *w_tap,     /* (taps,): where in the weights a tap begins           IN  */
    const REAL *x,              /* where the first pixel's window begins                IN  */
    const REAL *w,              /* of the first output                                  IN  */
    ptrdiff_t ahead,            /* asks for weights of two outputs so far away             */
    REAL *y)                    /* (M, y_pixel): B outputs are written                  OUT */
{
    NAME(vec) sum[RUN_PIXELS][RUN_OUTPUTS];
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int b = 0; b < B; b++) sum[m][b] = NAME(zero)();
    for (ptrdiff_t t = 0; t < c->taps; t++) {
        const REAL *xt = x + c->tap[t], *wt = w + w_tap[t];
        for (ptrdiff_t r = 0; r < c->run; r += LANES) {
            NAME(vec) value[RUN_PIXELS];
            PREFETCH_L2(wt + r + ahead);
            PREFETCH_L2(wt + r + ahead + c->w_step);
            UNROLL for (int m = 0; m < M; m++) value[m] = NAME(load_once)(xt + r + m * c->x_pixel);
            UNROLL for (int b = 0; b < B; b++) {
                const NAME(vec) wv = NAME(load_once)(wt + r + b * c->w_step);
                UNROLL for (int m = 0; m < M; m++) sum[m][b] = NAME(multiply_add)(value[m], wv, sum[m][b]);
            }
        }
    }
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int b = 0; b < B; b++) y[m * c->y_pixel + b] = NAME(total)(sum[m][b]);
}

#define CASE(M) case M: NAME(along_run_body)(M, RUN_OUTPUTS, c, w_tap, x, w, ahead, y); break;
static void NAME(along_run)(int m, const Correlation *c, const ptrdiff_t *w_tap, const REAL *x, const REAL *w,
                            ptrdiff_t ahead, REAL *y)
{
    switch (m) { ALL_RUNS }
}
#undef CASE

/* y[at[m] + f] += sum over r < rows of x[r * M + m] * w[r * w_step + f] for M pixels m and V vectors of filters f.
 *
 * Meanwhile asks for `rows` * V vectors at `next`, which are wanted soon.
 */
INLINE void NAME(add_rows_body)(
    const int M, const int V,
    ptrdiff_t rows,
    const REAL *x,              /* (rows, M)                                            IN    */
    const REAL *w,              /* (rows, w_step): V vectors of each                    IN    */
    ptrdiff_t w_step,
    const REAL *next,
    const ptrdiff_t *at,        /* (M,): where each pixel's outputs begin               IN    */
    REAL *y)
{
    NAME(vec) sum[TILE_PIXELS][2];
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) sum[m][v] = NAME(load)(y + at[m] + v * LANES);
    for (ptrdiff_t r = 0; r < rows; r++) {
        NAME(vec) wv[2];
        for (int v = 0; v < V; v++) {
            wv[v] = NAME(load)(w + v * LANES);
            PREFETCH(next + v * LANES);
        }
        w += w_step;
        next += V * LANES;
        UNROLL for (int m = 0; m < M; m++) {
            const NAME(vec) value = NAME(fill)(x[m]);
            for (int v = 0; v < V; v++) sum[m][v] = NAME(multiply_add)(value, wv[v], sum[m][v]);
        }
        x += M;
    }
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) NAME(store)(y + at[m] + v * LANES, sum[m][v]);
}

#define CASE(M) \
    case M: if (vectors == 2) NAME(add_rows_body)(M, 2, rows, x, w, w_step, next, at, y); \
            else NAME(add_rows_body)(M, 1, rows, x, w, w_step, next, at, y); \
            break;
static void NAME(add_rows)(int m, int vectors, ptrdiff_t rows, const REAL *x, const REAL *w, ptrdiff_t w_step,
                           const REAL *next, const ptrdiff_t *at, REAL *y)
{
    switch (m) { ALL_TILES }
}
#undef CASE

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define along_run(m, c, w_tap, x, ...) BY_TYPE(x, along_run)(m, c, w_tap, x, __VA_ARGS__)
#define add_rows(m, vectors, rows, x, ...) BY_TYPE(x, add_rows)(m, vectors, rows, x, __VA_ARGS__)
#endif
