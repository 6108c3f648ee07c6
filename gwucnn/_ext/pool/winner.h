/* Tiles for a convolution with 2x2 max pooling, with or without relu between, forward and backward.
 *
 * Forward, the sums of a window's four pixels are compared while they are in registers: the full-size images are never
 * written. A byte for each pooled pixel and filter records which pixel was the maximum, 0 to 3, or 4 where relu zeroed
 * all four.
 *
 * Backward, only one pixel in four carries a gradient, and none where relu gave zero. The sums over pixels become sums
 * over a list of the winners, which needs a quarter to an eighth of the multiply-adds. Vectors then run over input
 * channels, which are neighbours in memory, since each filter has other winners.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

/* M pooled pixels side by side by V vectors of filters. */
INLINE void NAME(pooled_body)(
    const int M, const int V,
    const Correlation *c,       /* sizes and strides; x_row between the two rows        IN  */
    const REAL *x,              /* where the first window of the first row begins       IN  */
    const REAL *w,              /* (taps * run, w_step): V full vectors in each row     IN  */
    const REAL *bias,           /* (V * LANES,) or NULL                                 IN  */
    REAL *y,                    /* (M, y_pixel): only the first `lanes` are written     OUT */
    unsigned char *winner,      /* as y, or NULL                                        OUT */
    int relu,
    ptrdiff_t lanes)
{
    NAME(vec) sum[TILE_PIXELS][2];
    NAME(correlate_sums)(2, 2 * M, V, sum, c, x, w, bias);
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) {
            const NAME(vec) four[4] = {sum[2 * m][v], sum[2 * m + 1][v], sum[2 * M + 2 * m][v],
                                       sum[2 * M + 2 * m + 1][v]};
            const ptrdiff_t at = m * c->y_pixel + v * LANES, some = lanes - v * LANES;
            unsigned char who[VECTOR_BYTES / sizeof(REAL)];
            NAME(store_first)(y + at, NAME(largest_of_four)(four, relu, who), some);
            if (winner && some > 0) memcpy(winner + at, who, (size_t)(some < LANES ? some : LANES));
        }
}

static void NAME(pooled_tile)(int m, const Correlation *c, const REAL *x, const REAL *w, const REAL *bias, REAL *y,
                              unsigned char *winner, int relu, ptrdiff_t lanes)
{
    const int wide = lanes > LANES;
#define CASE(M) \
    case M: if (wide) NAME(pooled_body)(M, 2, c, x, w, bias, y, winner, relu, lanes); \
            else NAME(pooled_body)(M, 1, c, x, w, bias, y, winner, relu, lanes); \
            break;
    switch (m) {
        CASE(1)
#if TILE_POOLED == 3
        CASE(2) CASE(3)
#endif
    }
#undef CASE
}

/* dw[t, c] += sum over q < count of g[q] * x[at[q] + t's place + c], for the 9 taps t of a 3x3 filter. */
INLINE void NAME(winner_weight_body)(
    const int V,
    ptrdiff_t count,            /* winners                                              IN    */
    const int *at,              /* (count,): where each winner's window begins in x     IN    */
    const REAL *g,              /* (count,): gradients                                  IN    */
    const REAL *x,              /* image, from the first of V vectors of channels       IN    */
    ptrdiff_t x_row, ptrdiff_t x_pixel,
    REAL *dw)                   /* (9, V * LANES)                                       INOUT */
{
    NAME(vec) sum[9][2];
    UNROLL for (int t = 0; t < 9; t++)
        for (int v = 0; v < V; v++) sum[t][v] = NAME(load)(dw + (t * V + v) * LANES);
    for (ptrdiff_t q = 0; q < count; q++) {
        const REAL *row = x + at[q];
        const NAME(vec) gq = NAME(fill)(g[q]);
        UNROLL for (int i = 0; i < 3; i++) {
            UNROLL for (int j = 0; j < 3; j++)
                for (int v = 0; v < V; v++)
                    sum[3 * i + j][v] = NAME(multiply_add)(gq, NAME(load)(row + j * x_pixel + v * LANES),
                                                           sum[3 * i + j][v]);
            row += x_row;
            OPAQUE(row);
        }
    }
    UNROLL for (int t = 0; t < 9; t++)
        for (int v = 0; v < V; v++) NAME(store)(dw + (t * V + v) * LANES, sum[t][v]);
}

static void NAME(winner_weight_tile)(int vectors, ptrdiff_t count, const int *at, const REAL *g, const REAL *x,
                                     ptrdiff_t x_row, ptrdiff_t x_pixel, REAL *dw)
{
#if WINNER_VECTORS == 2
    if (vectors == 2) { NAME(winner_weight_body)(2, count, at, g, x, x_row, x_pixel, dw); return; }
#endif
    (void)vectors;
    NAME(winner_weight_body)(1, count, at, g, x, x_row, x_pixel, dw);
}

/* sum[t, c] += sum over q < count of g[q] * w[filter[q], t, c], for the 9 taps t of a 3x3 filter and a vector of c. The
 * taps lie in rows of `pitch` sums. */
INLINE void NAME(add_filters)(NAME(vec) *sum, const int pitch, ptrdiff_t count, const int *filter, const REAL *g,
                              const REAL *w)
{
    for (ptrdiff_t q = 0; q < count; q++) {
        const REAL *wq = w + (ptrdiff_t)filter[q] * 9 * LANES;
        const NAME(vec) gq = NAME(fill)(g[q]);
        UNROLL for (int t = 0; t < 9; t++)
            sum[t / 3 * pitch + t % 3] = NAME(multiply_add)(gq, NAME(load)(wq + t * LANES),
                                                            sum[t / 3 * pitch + t % 3]);
    }
}

/* dx[t's place + c] += sum over q < count of g[q] * w[filter[q], t, c]. */
static void NAME(winner_input_pixel)(
    ptrdiff_t count,            /* filters that this pixel won                          IN    */
    const int *filter,          /* (count,)                                             IN    */
    const REAL *g,              /* (count,): gradients                                  IN    */
    const REAL *w,              /* (F, 9, LANES)                                        IN    */
    REAL *dx,                   /* image, from where the window begins                  INOUT */
    ptrdiff_t x_row, ptrdiff_t x_pixel)
{
    NAME(vec) sum[9];
    UNROLL for (int t = 0; t < 9; t++) sum[t] = NAME(load)(dx + t / 3 * x_row + t % 3 * x_pixel);
    NAME(add_filters)(sum, 3, count, filter, g, w);
    UNROLL for (int t = 0; t < 9; t++) NAME(store)(dx + t / 3 * x_row + t % 3 * x_pixel, sum[t]);
}

/* The same for all pixels of a row of pooling windows side by side, of a convolution of stride 1. The windows of the
 * four pixels are 4x4 pixels of dx together, whose sums stay in registers from one to the next, and the right half of
 * them for the next pooling window. Returns the length of all lists. */
static ptrdiff_t NAME(winner_input_row)(
    ptrdiff_t windows,
    const int *counts,          /* (windows, 4): filters that each pixel won            IN    */
    const int *filter,          /* their lists, one behind the other                    IN    */
    const REAL *g,              /* likewise                                             IN    */
    const REAL *w,              /* (F, 9, LANES)                                        IN    */
    REAL *dx,                   /* image, from where the first window begins            INOUT */
    ptrdiff_t x_row, ptrdiff_t x_pixel)
{
    NAME(vec) sum[16];
    const int *start = filter;
    UNROLL for (int i = 0; i < 8; i++) sum[i / 2 * 4 + i % 2] = NAME(load)(dx + i / 2 * x_row + i % 2 * x_pixel);
    for (ptrdiff_t j = 0; j < windows; j++) {
        REAL *right = dx + 2 * x_pixel;
        UNROLL for (int i = 0; i < 8; i++)
            sum[i / 2 * 4 + i % 2 + 2] = NAME(load)(right + i / 2 * x_row + i % 2 * x_pixel);
        UNROLL for (int k = 0; k < 4; k++) {
            NAME(add_filters)(sum + k / 2 * 4 + k % 2, 4, counts[k], filter, g, w);
            filter += counts[k];
            g += counts[k];
        }
        counts += 4;
        UNROLL for (int i = 0; i < 8; i++) {
            NAME(store)(dx + i / 2 * x_row + i % 2 * x_pixel, sum[i / 2 * 4 + i % 2]);
            sum[i / 2 * 4 + i % 2] = sum[i / 2 * 4 + i % 2 + 2];
        }
        dx = right;
    }
    UNROLL for (int i = 0; i < 8; i++) NAME(store)(dx + i / 2 * x_row + i % 2 * x_pixel, sum[i / 2 * 4 + i % 2]);
    return filter - start;
}

/* dw[m, f] += sum over i < rows, j < columns, k < 4 of x[pixel k of window (i, j), value[m]] * dy[i, j, f] where k won.
 *
 * For images of few channels, where a list for each filter would be longer than the work it saves: the gradient of all
 * four pixels is taken from (dy, winner) in registers.
 */
INLINE void NAME(masked_outer_body)(
    const int M, const int V,
    const Outer *o,             /* rows and columns are pooled; x_row, x_pixel of x's own pixels   IN    */
    const REAL *x,              /* first pixel of the first window                      IN    */
    const ptrdiff_t *value,     /* (M,): offsets into x                                 IN    */
    const REAL *dy,             /* (rows, columns, dy_pixel): V full vectors            IN    */
    const unsigned char *winner,    /* as dy                                            IN    */
    REAL *dw)                   /* (M, dw_step): V full vectors                         INOUT */
{
    NAME(vec) sum[TILE_PIXELS][2];
    for (int v = 0; v < V; v++)
        UNROLL for (int m = 0; m < M; m++) sum[m][v] = NAME(zero)();
    for (ptrdiff_t i = 0; i < o->rows; i++) {
        const REAL *xp = x + 2 * i * o->x_row;
        const REAL *dp = dy + i * o->dy_row;
        const unsigned char *wp = winner + i * o->dy_row;
        for (ptrdiff_t j = 0; j < o->columns; j++) {
            for (int k = 0; k < 4; k++) {
                const REAL *xk = xp + k / 2 * o->x_row + k % 2 * o->x_pixel;
                NAME(vec) g[2];
                for (int v = 0; v < V; v++) g[v] = NAME(won_by)(wp + v * LANES, k, NAME(load)(dp + v * LANES));
                UNROLL for (int m = 0; m < M; m++) {
                    const NAME(vec) a = NAME(fill)(xk[value[m]]);
                    for (int v = 0; v < V; v++) sum[m][v] = NAME(multiply_add)(a, g[v], sum[m][v]);
                }
            }
            xp += 2 * o->x_pixel;
            dp += o->dy_pixel;
            wp += o->dy_pixel;
        }
    }
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) {
            REAL *p = dw + m * o->dw_step + v * LANES;
            NAME(store)(p, NAME(add)(NAME(load)(p), sum[m][v]));
        }
}

#define CASE(M) \
    case M: if (wide) NAME(masked_outer_body)(M, 2, o, x, value, dy, winner, dw); \
            else NAME(masked_outer_body)(M, 1, o, x, value, dy, winner, dw); \
            break;
static void NAME(masked_outer_tile)(int m, const Outer *o, const REAL *x, const ptrdiff_t *value, const REAL *dy,
                                    const unsigned char *winner, REAL *dw, ptrdiff_t lanes)
{
    const int wide = lanes > LANES;
    switch (m) { ALL_TILES }
}
#undef CASE

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define pooled_tile(m, c, x, ...) BY_TYPE(x, pooled_tile)(m, c, x, __VA_ARGS__)
#define winner_weight_tile(vectors, count, at, g, ...) BY_TYPE(g, winner_weight_tile)(vectors, count, at, g, __VA_ARGS__)
#define winner_input_pixel(count, filter, g, ...) BY_TYPE(g, winner_input_pixel)(count, filter, g, __VA_ARGS__)
#define winner_input_row(windows, counts, filter, g, ...) BY_TYPE(g, winner_input_row)(windows, counts, filter, g, __VA_ARGS__)
#define masked_outer_tile(m, o, x, ...) BY_TYPE(x, masked_outer_tile)(m, o, x, __VA_ARGS__)
#endif
