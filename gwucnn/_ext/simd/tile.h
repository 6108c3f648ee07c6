/* Register tiles: the inner loops in which convolutions and dense layers spend their time.
 *
 * A tile of sums, M values by V vectors, stays in registers from the first product to the last. Each iteration of the
 * inner loop loads V vectors and M single elements and does M * V multiply-adds, so that the arithmetic units, not the
 * load units, are the bottleneck: 14 x 2 sums fill the 32 registers of AVX-512, 6 x 2 the 16 of AVX2. A loop that
 * stores its sum for every filter tap runs at a twentieth of this speed (see textbook/convolution.pxi for such loops).
 *
 * Compiled once for float and once for double; see variants/kernels.h. Nothing is checked here: the caller has done it.
 */

/* Store the first `lanes` lanes of a vector, at most all; none if `lanes` is not positive. */
INLINE void NAME(store_first)(REAL *p, NAME(vec) v, ptrdiff_t lanes)
{
    if (lanes >= LANES) {
        NAME(store)(p, v);
    } else if (lanes > 0) {
        REAL all[VECTOR_BYTES / sizeof(REAL)];
        NAME(store)(all, v);
        memcpy(p, all, (size_t)lanes * sizeof(REAL));
    }
}

/* y[m, f] = sum[m, f], or += unless `overwrite`, for the first `lanes` lanes of each row. */
static APART void NAME(write_lanes)(int M, const NAME(vec) sum[][2], REAL *y, ptrdiff_t y_step, ptrdiff_t lanes,
                                    int overwrite)
{
    for (int m = 0; m < M; m++) {
        const REAL *from = (const REAL *)sum[m];
        REAL *to = y + m * y_step;
        if (overwrite)      /* lanes is a sum of powers of two: a few moves of constant size, where memcpy would be called */
            UNROLL for (ptrdiff_t some = LANES; some > 0; some /= 2) {
                if (lanes & some) {
                    memcpy(to, from, (size_t)some * sizeof(REAL));
                    from += some;
                    to += some;
                }
            }
        else
            for (ptrdiff_t f = 0; f < lanes; f++) to[f] += from[f];
    }
}

/* The same for the sums of a tile, which must be copied first: registers have no address. Tiles come in many sizes, and
 * this rare case was most of their code as long as each contained its own. */
INLINE void NAME(write_part)(const int M, const int V, NAME(vec) sum[TILE_PIXELS][2], REAL *y, ptrdiff_t y_step,
                             ptrdiff_t lanes, int overwrite)
{
    NAME(vec) copy[TILE_PIXELS][2];
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) copy[m][v] = sum[m][v];
    NAME(write_lanes)(M, copy, y, y_step, lanes, overwrite);
}

/* y[m, f] = bias[f] + sum over t < taps, r < run of x[m * x_pixel + tap[t] + r] * w[(t * run + r) * w_step + f]
 *
 * for M neighbouring output pixels m and V vectors of filters f; likewise for each of ROWS rows of output pixels.
 */
INLINE void NAME(correlate_sums_ahead)(
    const int ROWS, const int M, const int V,
    NAME(vec) sum[TILE_PIXELS][2],  /* (ROWS * M, V), pixels row by row                 OUT */
    const Correlation *c, const REAL *x, const REAL *w, const REAL *bias,
    ptrdiff_t ahead)            /* distance at which weights are prefetched; 0: not at all  */
{
    for (int v = 0; v < V; v++) {
        const NAME(vec) start = bias ? NAME(load)(bias + v * LANES) : NAME(zero)();
        UNROLL for (int m = 0; m < ROWS * M; m++) sum[m][v] = start;
    }
    for (ptrdiff_t t = 0; t < c->taps; t++) {
        const REAL *xt = x + c->tap[t];
        for (ptrdiff_t r = 0; r < c->run; r++) {
            NAME(vec) wv[2];
            for (int v = 0; v < V; v++) wv[v] = NAME(load)(w + v * LANES);
            if (ahead)
                for (int v = 0; v < V; v++) PREFETCH_L2(w + ahead + v * LANES);
            w += c->w_step;
            const REAL *xr = xt + r;
            UNROLL for (int i = 0; i < ROWS; i++) {
                UNROLL for (int m = 0; m < M; m++) {
                    const NAME(vec) value = NAME(fill)(xr[m * c->x_pixel]);
                    for (int v = 0; v < V; v++)
                        sum[i * M + m][v] = NAME(multiply_add)(value, wv[v], sum[i * M + m][v]);
                }
                if (i + 1 < ROWS) {     /* only tiles of two rows set x_row */
                    xr += c->x_row;
                    OPAQUE(xr);
                }
            }
        }
        w += c->w_skip * c->w_step;
    }
}

INLINE void NAME(correlate_sums)(const int ROWS, const int M, const int V, NAME(vec) sum[TILE_PIXELS][2],
                                 const Correlation *c, const REAL *x, const REAL *w, const REAL *bias)
{
    NAME(correlate_sums_ahead)(ROWS, M, V, sum, c, x, w, bias, 0);
}

INLINE void NAME(correlate_body)(
    const int M, const int V,
    const Correlation *c,       /* sizes and strides                                    IN  */
    const REAL *x,              /* start of the first pixel's window                    IN  */
    const REAL *w,              /* (taps * run, w_step): V whole vectors in each row    IN  */
    const REAL *bias,           /* (V * LANES,) or NULL                                 IN  */
    REAL *y,                    /* (M, y_pixel): only the first `lanes` are written     OUT */
    ptrdiff_t lanes, ptrdiff_t ahead)
{
    NAME(vec) sum[TILE_PIXELS][2];
    NAME(correlate_sums_ahead)(1, M, V, sum, c, x, w, bias, ahead);
    if (c->relu)
        UNROLL for (int m = 0; m < M; m++)
            for (int v = 0; v < V; v++) sum[m][v] = NAME(relu)(sum[m][v]);
    if (lanes < V * LANES) {
        NAME(write_part)(M, V, sum, y, c->y_pixel, lanes, 1);
        return;
    }
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) NAME(store)(y + m * c->y_pixel + v * LANES, sum[m][v]);
}

/* dw[m, f] += sum over n < images, i < rows, j < columns of x[n, i, j, value[m]] * dy[n, i, j, f], or = if `overwrite`,
 *
 * for M rows m of the weights and V vectors of filters f. With CONSECUTIVE the offsets are value[0] + m: adjacent
 * channels of one tap. Otherwise they are read from `value`, at the cost of one more load for each m: this is for
 * images of few channels, where the rows of the tile belong to different taps.
 */
INLINE void NAME(outer_body)(
    const int M, const int V, const int CONSECUTIVE,
    const Outer *o,             /* sizes and strides                                    IN    */
    const REAL *x,              /* first pixel of the first window                      IN    */
    const ptrdiff_t *value,     /* (M,), or (1,) if CONSECUTIVE: offsets into x         IN    */
    const REAL *dy,             /* first output pixel: V whole vectors can be read      IN    */
    REAL *dw,                   /* (M, dw_step): only the first `lanes` are touched     INOUT */
    ptrdiff_t lanes, int overwrite)
{
    NAME(vec) sum[TILE_PIXELS][2];
    for (int v = 0; v < V; v++)
        UNROLL for (int m = 0; m < M; m++) {
            sum[m][v] = NAME(zero)();
            PREFETCH_TO_WRITE(dw + m * o->dw_step + v * LANES);     /* now: with few pixels, later is too late */
        }
    for (ptrdiff_t n = 0; n < o->images; n++)
        for (ptrdiff_t i = 0; i < o->rows; i++) {
            const REAL *xp = x + n * o->x_image + i * o->x_row + (CONSECUTIVE ? value[0] : 0);
            const REAL *dp = dy + n * o->dy_image + i * o->dy_row;
            for (ptrdiff_t j = 0; j < o->columns; j++) {
                NAME(vec) g[2];
                for (int v = 0; v < V; v++) g[v] = NAME(load)(dp + v * LANES);
                UNROLL for (int m = 0; m < M; m++) {
                    const NAME(vec) a = NAME(fill)(CONSECUTIVE ? xp[m] : xp[value[m]]);
                    for (int v = 0; v < V; v++) sum[m][v] = NAME(multiply_add)(a, g[v], sum[m][v]);
                }
                xp += o->x_pixel;
                dp += o->dy_pixel;
            }
        }
    if (lanes < V * LANES) {
        NAME(write_part)(M, V, sum, dw, o->dw_step, lanes, overwrite);
        return;
    }
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) {
            REAL *p = dw + m * o->dw_step + v * LANES;
            NAME(store)(p, overwrite ? sum[m][v] : NAME(add)(NAME(load)(p), sum[m][v]));
        }
}

/* One case for each tile size, so that the lengths of the loops are constants and the sums stay in registers. */
#define CASE(M) \
    case M: if (wide) NAME(correlate_body)(M, 2, c, x, w, bias, y, lanes, ahead); \
            else NAME(correlate_body)(M, 1, c, x, w, bias, y, lanes, ahead); \
            break;
static void NAME(correlate_tile_ahead)(int m, const Correlation *c, const REAL *x, const REAL *w, const REAL *bias,
                                       REAL *y, ptrdiff_t lanes, ptrdiff_t ahead)
{
    const int wide = lanes > LANES;
    switch (m) { ALL_TILES }
}
#undef CASE

static void NAME(correlate_tile)(int m, const Correlation *c, const REAL *x, const REAL *w, const REAL *bias, REAL *y,
                                 ptrdiff_t lanes)
{
    NAME(correlate_tile_ahead)(m, c, x, w, bias, y, lanes, 0);
}

#define CASE(M) \
    case M: if (wide) NAME(outer_body)(M, 2, 1, o, x, value, dy, dw, lanes, overwrite); \
            else NAME(outer_body)(M, 1, 1, o, x, value, dy, dw, lanes, overwrite); \
            break;
static ONE_COPY void NAME(outer_tile)(int m, const Outer *o, const REAL *x, const ptrdiff_t *value, const REAL *dy,
                                      REAL *dw, ptrdiff_t lanes, int overwrite)
{
    const int wide = lanes > LANES;
    switch (m) { ALL_TILES }
}
#undef CASE

#define CASE(M) \
    case M: if (wide) NAME(outer_body)(M, 2, 0, o, x, value, dy, dw, lanes, overwrite); \
            else NAME(outer_body)(M, 1, 0, o, x, value, dy, dw, lanes, overwrite); \
            break;
static ONE_COPY void NAME(scattered_outer_tile)(int m, const Outer *o, const REAL *x, const ptrdiff_t *value,
                                                const REAL *dy, REAL *dw, ptrdiff_t lanes, int overwrite)
{
    const int wide = lanes > LANES;
    switch (m) { ALL_TILES }
}
#undef CASE

#if DOUBLE    /* select the float or double version by the type of the elements (see variants/kernels.h) */
#define correlate_tile(m, c, x, ...) BY_TYPE(x, correlate_tile)(m, c, x, __VA_ARGS__)
#define correlate_tile_ahead(m, c, x, ...) BY_TYPE(x, correlate_tile_ahead)(m, c, x, __VA_ARGS__)
#define outer_tile(m, o, x, ...) BY_TYPE(x, outer_tile)(m, o, x, __VA_ARGS__)
#define scattered_outer_tile(m, o, x, ...) BY_TYPE(x, scattered_outer_tile)(m, o, x, __VA_ARGS__)
#endif
