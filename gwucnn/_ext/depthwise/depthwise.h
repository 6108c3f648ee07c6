/* Tiles for convolutions in which lanes do not mix: a vector holds neighbouring channels of one pixel, and each output
 * is the sum over taps of its own lane of the images times its own lane of the weights.
 *
 * That is what a depthwise convolution is, straight from the images. A convolution in groups of few channels becomes
 * one by `gather`, which copies each pixel's channels to the lanes of the outputs that want them.
 *
 * The last vector of a pixel is moved back where it would reach over the pixel's end, so that it repeats some outputs of
 * the vector before it. Spread images and their weights are laid out like that in memory ("slots"), each slot a vector.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

/* y[m, f] = bias[f] + sum over t < taps of x[m * x_pixel + tap[t].x + f] * w[tap[t].w + f], for M pixels, V vectors. */
INLINE void NAME(depth_body)(
    const int M, const int V,
    const Depth *d,             /* sizes, strides and taps                              IN  */
    const REAL *x,              /* where the first pixel's window begins                IN  */
    const REAL *w,              /* V full vectors at each tap                           IN  */
    const REAL *bias,           /* (V * LANES,) or NULL                                 IN  */
    REAL *y,                    /* (M, y_pixel): only the first `lanes` are written     OUT */
    ptrdiff_t lanes)
{
    NAME(vec) sum[DEPTH_PIXELS][2];
    for (int v = 0; v < V; v++) {
        const NAME(vec) start = bias ? NAME(load)(bias + v * LANES) : NAME(zero)();
        UNROLL for (int m = 0; m < M; m++) sum[m][v] = start;
    }
    for (const Tap *t = d->tap; t < d->tap + d->taps; t++) {
        NAME(vec) wv[2];
        for (int v = 0; v < V; v++) wv[v] = NAME(load)(w + t->w + v * LANES);
        UNROLL for (int m = 0; m < M; m++)
            for (int v = 0; v < V; v++) {
                const NAME(vec) value = NAME(load)(x + t->x + m * d->x_pixel + v * LANES);
                sum[m][v] = NAME(multiply_add)(value, wv[v], sum[m][v]);
            }
    }
    if (d->relu)
        UNROLL for (int m = 0; m < M; m++)
            for (int v = 0; v < V; v++) sum[m][v] = NAME(relu)(sum[m][v]);
    UNROLL for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) NAME(store_first)(y + m * d->y_pixel + v * LANES, sum[m][v], lanes - v * LANES);
}

/* All outputs of M pixels side by side: two vectors at a time, then one, the last one moved back or cut off. */
#define CASE(M) \
    case M: \
        for (; f + 2 * LANES <= outputs; f += 2 * LANES) \
            NAME(depth_body)(M, 2, d, x + f, w + f, bias ? bias + f : bias, y + f, 2 * LANES); \
        for (; f < outputs; f += LANES) { \
            const ptrdiff_t at = NAME(slot_begins)(d, f, outputs), in = d->gathered ? f : at; \
            NAME(depth_body)(M, 1, d, x + in, w + in, bias ? bias + in : bias, y + at, outputs - at); \
        } \
        break;

INLINE ptrdiff_t NAME(slot_begins)(const Depth *d, ptrdiff_t f, ptrdiff_t outputs)
{
    return d->whole && f + LANES > outputs ? outputs - LANES : f;
}

static void NAME(depth_tile)(int m, const Depth *d, const REAL *x, const REAL *w, const REAL *bias, REAL *y,
                             ptrdiff_t outputs)
{
    ptrdiff_t f = 0;
    switch (m) { ALL_DEPTHS }
}
#undef CASE

/* The same for 3x3 taps side by side and stride 1: two rows of pixels, each value loaded once for up to six products.
 * `outside` tells which first or last row or column of the windows is not there.
 */
static void NAME(depth_square_tile)(const Depth *d, int outside, const REAL *x, const REAL *w, const REAL *bias, REAL *y,
                                    ptrdiff_t outputs)
{
    const ptrdiff_t depth = d->taps / 9;
    for (ptrdiff_t f = 0; f < outputs; f += LANES) {
        const ptrdiff_t at = NAME(slot_begins)(d, f, outputs), in = d->gathered ? f : at;
        const NAME(vec) start = bias ? NAME(load)(bias + in) : NAME(zero)();
        NAME(vec) sum[2][SQUARE_PIXELS], wv[9];
        UNROLL for (int i = 0; i < 2; i++)
            UNROLL for (int m = 0; m < SQUARE_PIXELS; m++) sum[i][m] = start;
        for (ptrdiff_t r = 0; r < depth; r++) {
            const REAL *xr = x + d->tap[r].x + in;
            UNROLL for (int t = 0; t < 9; t++) wv[t] = NAME(load)(w + d->tap[t * depth + r].w + in);
            UNROLL for (int p = 0; p < 4; p++) {
                if ((p == 0 && outside & OUTSIDE_ABOVE) || (p == 3 && outside & OUTSIDE_BELOW)) continue;
                UNROLL for (int q = 0; q < SQUARE_PIXELS + 2; q++) {
                    if ((q == 0 && outside & OUTSIDE_LEFT) || (q == SQUARE_PIXELS + 1 && outside & OUTSIDE_RIGHT))
                        continue;
                    const NAME(vec) value = NAME(load)(xr + p * d->x_row + q * d->x_pixel);
                    UNROLL for (int i = 0; i < 2; i++)
                        UNROLL for (int m = 0; m < SQUARE_PIXELS; m++)
                            if (p - i >= 0 && p - i < 3 && q - m >= 0 && q - m < 3)
                                sum[i][m] = NAME(multiply_add)(value, wv[3 * (p - i) + q - m], sum[i][m]);
                }
            }
        }
        if (d->relu)
            UNROLL for (int i = 0; i < 2; i++)
                UNROLL for (int m = 0; m < SQUARE_PIXELS; m++) sum[i][m] = NAME(relu)(sum[i][m]);
        UNROLL for (int i = 0; i < 2; i++)
            UNROLL for (int m = 0; m < SQUARE_PIXELS; m++)
                NAME(store_first)(y + i * d->y_row + m * d->y_pixel + at, sum[i][m], outputs - at);
    }
}

/* dw[t, f] += sum over j < pixels of x[j * x_pixel + tap[t].x + f] * y[j * y_pixel + f], for T taps, V vectors. */
INLINE void NAME(depth_outer_body)(
    const int T, const int V,
    const Depth *d,             /* sizes and strides                                    IN    */
    const Tap *tap,             /* (T,)                                                 IN    */
    ptrdiff_t pixels,
    const REAL *x,              /* first window                                         IN    */
    const REAL *y,              /* first output pixel's gradient                        IN    */
    REAL *dw)                   /* (T, w_tap)                                           INOUT */
{
    NAME(vec) sum[DEPTH_PIXELS][2];
    for (int v = 0; v < V; v++)
        UNROLL for (int t = 0; t < T; t++) sum[t][v] = NAME(load)(dw + t * d->w_tap + v * LANES);
    for (ptrdiff_t j = 0; j < pixels; j++) {
        NAME(vec) g[2];
        for (int v = 0; v < V; v++) g[v] = NAME(load)(y + v * LANES);
        UNROLL for (int t = 0; t < T; t++)
            for (int v = 0; v < V; v++)
                sum[t][v] = NAME(multiply_add)(NAME(load)(x + tap[t].x + v * LANES), g[v], sum[t][v]);
        x += d->x_pixel;
        y += d->y_pixel;
    }
    for (int v = 0; v < V; v++)
        UNROLL for (int t = 0; t < T; t++) NAME(store)(dw + t * d->w_tap + v * LANES, sum[t][v]);
}

#define CASE(T) \
    case T: \
        for (; f + 2 * LANES <= outputs; f += 2 * LANES) \
            NAME(depth_outer_body)(T, 2, d, tap, pixels, x + f, y + f, dw + f); \
        for (; f < outputs; f += LANES) { \
            const ptrdiff_t at = NAME(slot_begins)(d, f, outputs); \
            NAME(depth_outer_body)(T, 1, d, tap, pixels, x + (d->gathered ? f : at), y + at, dw + f); \
        } \
        break;
static void NAME(depth_outer_tile)(int t, const Depth *d, const Tap *tap, ptrdiff_t pixels, const REAL *x, const REAL *y,
                                   REAL *dw, ptrdiff_t outputs)
{
    ptrdiff_t f = 0;
    switch (t) { ALL_DEPTHS }
}
#undef CASE

/* The same for 3x3 taps side by side, stride 1 and rows of four pixels: each value is loaded once. */
static void NAME(depth_square_outer_tile)(const Depth *d, const Tap *tap, const REAL *x, const REAL *y, REAL *dw,
                                          ptrdiff_t outputs)
{
    const ptrdiff_t depth = d->taps / 9;
    for (ptrdiff_t f = 0; f < outputs; f += LANES) {
        const ptrdiff_t at = NAME(slot_begins)(d, f, outputs);
        NAME(vec) sum[9], g[SQUARE_ROWS][4];
        UNROLL for (int i = 0; i < SQUARE_ROWS; i++)
            UNROLL for (int m = 0; m < 4; m++) g[i][m] = NAME(load)(y + i * d->y_row + m * d->y_pixel + at);
        for (ptrdiff_t r = 0; r < depth; r++) {
            const REAL *xr = x + tap[r].x + (d->gathered ? f : at);
            REAL *dwr = dw + r * d->w_tap + f;
            UNROLL for (int t = 0; t < 9; t++) sum[t] = NAME(load)(dwr + t * depth * d->w_tap);
            UNROLL for (int p = 0; p < SQUARE_ROWS + 2; p++)
                UNROLL for (int q = 0; q < 6; q++) {
                    const NAME(vec) value = NAME(load)(xr + p * d->x_row + q * d->x_pixel);
                    UNROLL for (int i = 0; i < SQUARE_ROWS; i++)
                        UNROLL for (int m = 0; m < 4; m++)
                            if (p - i >= 0 && p - i < 3 && q - m >= 0 && q - m < 3)
                                sum[3 * (p - i) + q - m] =
                                    NAME(multiply_add)(value, g[i][m], sum[3 * (p - i) + q - m]);
                }
            UNROLL for (int t = 0; t < 9; t++) NAME(store)(dwr + t * depth * d->w_tap, sum[t]);
        }
    }
}

/* out[p, r, lane] = x[p, begins[r] + index[r, lane]], r < depth; `slots` vectors apart in begins, vectors and index. */
static void NAME(gather)(
    ptrdiff_t pixels, ptrdiff_t depth, ptrdiff_t slots,
    const REAL *x,              /* (pixels, x_pixel)                                    IN  */
    ptrdiff_t x_pixel,
    const ptrdiff_t *begins,    /* (depth, slots): so many vectors are loaded from      IN  */
    const ptrdiff_t *vectors,   /*   there on, 0 if they would reach over the pixel     IN  */
    const INTEGER *index,       /* (depth, slots, LANES)                                IN  */
    REAL *out,                  /* (pixels, out_pixel), (depth, out_depth)              OUT */
    ptrdiff_t out_pixel, ptrdiff_t out_depth)
{
    /* Pixel by pixel, so that `out` is written as it lies in memory; the next pixels' lines are far apart. */
    for (ptrdiff_t p = 0; p < pixels; p++, x += x_pixel, out += out_pixel) {
        PREFETCH(x + begins[0] + (p + 12 < pixels ? 12 * x_pixel : 0));
        for (ptrdiff_t r = 0; r < depth; r++) {
            const REAL *from = x + begins[r * slots];
            const INTEGER *lanes = index + r * slots * LANES;
            REAL *at = out + r * out_depth;
            const ptrdiff_t count = vectors[r * slots];
            if (count == 0) {
                for (int lane = 0; lane < LANES; lane++) at[lane] = from[lanes[lane]];
                continue;
            }
            NAME(vec) all = NAME(permute)(from, lanes, 0, NAME(zero)());
            for (ptrdiff_t k = 1; k < count; k++) all = NAME(permute)(from + k * LANES, lanes, k, all);
            NAME(store)(at, all);
        }
    }
}

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define depth_tile(m, d, x, ...) BY_TYPE(x, depth_tile)(m, d, x, __VA_ARGS__)
#define depth_square_tile(d, outside, x, ...) BY_TYPE(x, depth_square_tile)(d, outside, x, __VA_ARGS__)
#define depth_outer_tile(t, d, tap, pixels, x, ...) BY_TYPE(x, depth_outer_tile)(t, d, tap, pixels, x, __VA_ARGS__)
#define depth_square_outer_tile(d, tap, x, ...) BY_TYPE(x, depth_square_outer_tile)(d, tap, x, __VA_ARGS__)
#define gather(pixels, depth, slots, x, ...) BY_TYPE(x, gather)(pixels, depth, slots, x, __VA_ARGS__)
#endif
