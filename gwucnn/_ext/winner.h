/* Tiles for a convolution with 2x2 max pooling, with or without relu between, forward and backward.
 *
 * Forward, the sums of a window's four pixels are compared while they are in registers: the full-size images are never
 * written. A byte for each pooled pixel and filter records which pixel won, 0 to 3, or 4 where relu shut all.
 *
 * Backward, only one pixel in four carries a gradient, and none where relu shut. The sums over pixels become sums over
 * a list of the winners, which needs a quarter to an eighth of the multiply-adds. Vectors then run over input channels,
 * which are neighbours in memory, since each filter has other winners.
 *
 * Included once for float and once for double by tiles.h. Nothing here checks anything: the caller has.
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
            NAME(store_some)(y + at, NAME(largest_of_four)(four, relu, who), some);
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
        const REAL *xq = x + at[q];
        const NAME(vec) gq = NAME(fill)(g[q]);
        UNROLL for (int t = 0; t < 9; t++)
            for (int v = 0; v < V; v++)
                sum[t][v] = NAME(multiply_add)(gq, NAME(load)(xq + t / 3 * x_row + t % 3 * x_pixel + v * LANES),
                                               sum[t][v]);
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

/* dx[t's place + c] += sum over q < count of g[q] * w[filter[q], t, c], for the 9 taps t of a 3x3 filter. */
INLINE void NAME(winner_input_body)(
    const int V,
    ptrdiff_t count,            /* filters that this pixel won                          IN    */
    const int *filter,          /* (count,)                                             IN    */
    const REAL *g,              /* (count,): gradients                                  IN    */
    const REAL *w,              /* (F, 9, V * LANES)                                    IN    */
    REAL *dx,                   /* image, from where the window begins                  INOUT */
    ptrdiff_t x_row, ptrdiff_t x_pixel)
{
    NAME(vec) sum[9][2];
    UNROLL for (int t = 0; t < 9; t++)
        for (int v = 0; v < V; v++) sum[t][v] = NAME(load)(dx + t / 3 * x_row + t % 3 * x_pixel + v * LANES);
    for (ptrdiff_t q = 0; q < count; q++) {
        const REAL *wq = w + (ptrdiff_t)filter[q] * 9 * V * LANES;
        const NAME(vec) gq = NAME(fill)(g[q]);
        UNROLL for (int t = 0; t < 9; t++)
            for (int v = 0; v < V; v++)
                sum[t][v] = NAME(multiply_add)(gq, NAME(load)(wq + (t * V + v) * LANES), sum[t][v]);
    }
    UNROLL for (int t = 0; t < 9; t++)
        for (int v = 0; v < V; v++) NAME(store)(dx + t / 3 * x_row + t % 3 * x_pixel + v * LANES, sum[t][v]);
}

static void NAME(winner_input_tile)(int vectors, ptrdiff_t count, const int *filter, const REAL *g, const REAL *w,
                                    REAL *dx, ptrdiff_t x_row, ptrdiff_t x_pixel)
{
#if WINNER_VECTORS == 2
    if (vectors == 2) { NAME(winner_input_body)(2, count, filter, g, w, dx, x_row, x_pixel); return; }
#endif
    (void)vectors;
    NAME(winner_input_body)(1, count, filter, g, w, dx, x_row, x_pixel);
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

/* Pool 2 * 2 pixels of two rows, `outputs` of the F filters. Values are gathered into vectors, as they would not
 * fill one where they lie. */
INLINE void NAME(pool_few_body)(const REAL *full, ptrdiff_t row, const ptrdiff_t F, const ptrdiff_t outputs,
                                ptrdiff_t columns, int relu, REAL *y, unsigned char *winner)
{
    const ptrdiff_t count = columns * outputs;
    ptrdiff_t j = 0, f = 0;
    for (ptrdiff_t first = 0; first < count; first += LANES) {
        const ptrdiff_t some = count - first < LANES ? count - first : LANES;
        REAL s[4][VECTOR_BYTES / sizeof(REAL)];
        unsigned char who[VECTOR_BYTES / sizeof(REAL)];
        for (ptrdiff_t i = 0; i < some; i++) {
            const REAL *at = full + 2 * j * F + f;
            s[0][i] = at[0];
            s[1][i] = at[F];
            s[2][i] = at[row];
            s[3][i] = at[row + F];
            if (++f == outputs) f = 0, j++;
        }
        for (ptrdiff_t i = some; i < LANES; i++) s[0][i] = s[1][i] = s[2][i] = s[3][i] = 0;
        const NAME(vec) four[4] = {NAME(load)(s[0]), NAME(load)(s[1]), NAME(load)(s[2]), NAME(load)(s[3])};
        NAME(store_some)(y + first, NAME(largest_of_four)(four, relu, who), some);
        if (winner) memcpy(winner + first, who, (size_t)some);
    }
}

/* The same for all of F filters, which divide a vector, and at least a vector of outputs: a vector of outputs comes
 * from two neighbouring vectors of each row, the left pixels of its windows and the right ones. The last vector ends
 * with the row and computes some outputs again. */
INLINE void NAME(pool_pairs)(const REAL *full, ptrdiff_t row, const ptrdiff_t F, ptrdiff_t columns, int relu, REAL *y,
                             unsigned char *winner)
{
    const ptrdiff_t count = columns * F;
    INTEGER left[VECTOR_BYTES / sizeof(REAL)], right[VECTOR_BYTES / sizeof(REAL)];
    UNROLL for (int i = 0; i < LANES; i++) {
        left[i] = (INTEGER)(2 * (i / F) * F + i % F);
        right[i] = left[i] + (INTEGER)F;
    }
    for (ptrdiff_t first = 0; first < count; first += LANES) {
        if (first > count - LANES) first = count - LANES;
        const REAL *at = full + 2 * first;
        const NAME(vec) up[2] = {NAME(load)(at), NAME(load)(at + LANES)};
        const NAME(vec) down[2] = {NAME(load)(at + row), NAME(load)(at + row + LANES)};
        const NAME(vec) four[4] = {NAME(mix)(up[0], up[1], left), NAME(mix)(up[0], up[1], right),
                                   NAME(mix)(down[0], down[1], left), NAME(mix)(down[0], down[1], right)};
        unsigned char who[VECTOR_BYTES / sizeof(REAL)];
        NAME(store)(y + first, NAME(largest_of_four)(four, relu, who));
        if (winner) memcpy(winner + first, who, sizeof(who));
    }
}

static void NAME(pool_few)(const REAL *full, ptrdiff_t row, ptrdiff_t F, ptrdiff_t outputs, ptrdiff_t columns,
                           int relu, REAL *y, unsigned char *winner)
{
    if (outputs == F && columns * F >= LANES && F == 1)
        NAME(pool_pairs)(full, row, 1, columns, relu, y, winner);
    else if (outputs == F && columns * F >= LANES && F == 2)
        NAME(pool_pairs)(full, row, 2, columns, relu, y, winner);
    else if (outputs == F && columns * F >= LANES && F == 4 && LANES >= 4)
        NAME(pool_pairs)(full, row, 4, columns, relu, y, winner);
    else if (outputs == F)
        NAME(pool_few_body)(full, row, F, F, columns, relu, y, winner);
    else
        for (ptrdiff_t j = 0; j < columns; j++)
            NAME(pool_few_body)(full + 2 * j * F, row, F, outputs, 1, relu, y + j * F,
                                winner ? winner + j * F : winner);
}

/* The way back from a 2x2 max pool alone, for a row of windows side by side: their two rows of dx, each gradient at
 * its window's winner and 0 elsewhere. F channels, which divide a vector, and at least a vector of outputs; the last
 * vector ends with the row and is written again in part. */
INLINE void NAME(unpool_pairs)(const REAL *dy, const unsigned char *winner, const ptrdiff_t F, ptrdiff_t columns,
                               REAL *dx, ptrdiff_t row)
{
    const ptrdiff_t count = columns * F;
    INTEGER lower[VECTOR_BYTES / sizeof(REAL)], upper[VECTOR_BYTES / sizeof(REAL)];
    UNROLL for (int i = 0; i < LANES; i++) {    /* window i / F / 2, its left pixel or its right one, channel i % F */
        lower[i] = (INTEGER)(i / F / 2 * F + i % F + i / F % 2 * LANES);
        upper[i] = lower[i] + (INTEGER)LANES / 2;
    }
    for (ptrdiff_t first = 0; first < count; first += LANES) {
        if (first > count - LANES) first = count - LANES;
        const NAME(vec) g = NAME(load)(dy + first);
        for (int k = 0; k < 4; k += 2) {
            const NAME(vec) left = NAME(won_by)(winner + first, k, g), right = NAME(won_by)(winner + first, k + 1, g);
            REAL *to = dx + k / 2 * row + 2 * first;
            NAME(store)(to, NAME(mix)(left, right, lower));
            NAME(store)(to + LANES, NAME(mix)(left, right, upper));
        }
    }
}

/* Whether unpool_row takes rows of so many windows. */
static int NAME(unpools)(ptrdiff_t F, ptrdiff_t columns)
{
    return (F == 1 || F == 2 || F == 4) && 2 * F <= LANES && columns * F >= LANES;
}

static void NAME(unpool_row)(const REAL *dy, const unsigned char *winner, ptrdiff_t F, ptrdiff_t columns, REAL *dx,
                             ptrdiff_t row)
{
    if (F == 1) NAME(unpool_pairs)(dy, winner, 1, columns, dx, row);
    else if (F == 2) NAME(unpool_pairs)(dy, winner, 2, columns, dx, row);
    else NAME(unpool_pairs)(dy, winner, 4, columns, dx, row);
}
