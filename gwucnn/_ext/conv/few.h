/* Tiles for few outputs: one filter, or the three channels of a gradient by an image.
 *
 * The tiles of tile.h keep a filter in each lane of a vector, so that with one filter 15 lanes of 16 multiply by
 * zero. Here lanes run over something else. `dot`: over the numbers of a run (channels of a pixel, or of a filter's
 * whole row), added up at the end; for runs of at least one vector. `spread`: over the outputs of an image row, pixel
 * after pixel, for images of few channels; `x` then is a copy in which each value is repeated once per filter, so
 * that adjacent outputs read adjacent values.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

/* Pixels in a tile of 1, 2 or 3 outputs: sums, and beside them the weights and a pixel, fit the registers. */
#if TILE_PIXELS == 14
#define DOT_PIXELS(B) ((B) == 1 ? 14 : 7)
#define SPREAD_ROWS 7
#else
#define DOT_PIXELS(B) ((B) == 1 ? 7 : (B) == 2 ? 5 : 3)
#define SPREAD_ROWS 6
#endif

/* y[m * y_pixel + b] = bias[b] + sum over t < taps, r < run of x[m * x_pixel + tap[t] + r] * weight[t, r, b]
 *
 * for M neighbouring output pixels m and B outputs b. Weights come as vectors along r, (t, vectors of the run, B).
 * Where the run ends inside a vector, the last one ends with the run, and its lanes that came before are left out.
 */
INLINE void NAME(dot_body)(
    const int M, const int B,
    const Correlation *c,       /* sizes and strides                                    IN  */
    const REAL *x,              /* where the first pixel's window begins                IN  */
    const REAL *w,              /* (taps, vectors, B, LANES)                            IN  */
    const REAL *bias,           /* (B,) or NULL                                         IN  */
    REAL *y)                    /* (M, y_pixel): B outputs are written                  OUT */
{
    NAME(vec) sum[14][3];
    const ptrdiff_t whole = c->run / LANES * LANES, rest = c->run - whole;
    for (int b = 0; b < B; b++)
        UNROLL for (int m = 0; m < M; m++) sum[m][b] = NAME(zero)();
    for (ptrdiff_t t = 0; t < c->taps; t++) {
        const REAL *xt = x + c->tap[t];
        for (ptrdiff_t r = 0; r < whole; r += LANES) {
            NAME(vec) wv[3];
            for (int b = 0; b < B; b++) wv[b] = NAME(load)(w + b * LANES);
            w += B * LANES;
            UNROLL for (int m = 0; m < M; m++) {
                const NAME(vec) value = B > 1 ? NAME(load_once)(xt + r + m * c->x_pixel)
                                              : NAME(load)(xt + r + m * c->x_pixel);
                for (int b = 0; b < B; b++) sum[m][b] = NAME(multiply_add)(value, wv[b], sum[m][b]);
            }
        }
        if (rest) {
            UNROLL for (int m = 0; m < M; m++) {
                const NAME(vec) value = NAME(last_lanes)(NAME(load)(xt + c->run - LANES + m * c->x_pixel), rest);
                for (int b = 0; b < B; b++)
                    sum[m][b] = NAME(multiply_add)(value, NAME(load)(w + b * LANES), sum[m][b]);
            }
            w += B * LANES;
        }
    }
    UNROLL for (int m = 0; m < M; m++)
        for (int b = 0; b < B; b++) y[m * c->y_pixel + b] = NAME(total)(sum[m][b]) + (bias ? bias[b] : 0);
}

/* A row of pixels, at least one. The last tile ends with the row and computes some pixels again. */
#define DOTS(B) \
INLINE void NAME(dot_row_##B)(ptrdiff_t columns, const Correlation *c, const REAL *x, const REAL *w, \
                              const REAL *bias, REAL *y) \
{ \
    const ptrdiff_t wide = DOT_PIXELS(B), narrow = wide == 14 ? 7 : wide; \
    ptrdiff_t j = 0; \
    if (columns >= wide) \
        for (; j < columns; j += wide) { \
            if (j > columns - wide) j = columns - wide; \
            NAME(dot_body)(DOT_PIXELS(B), B, c, x + j * c->x_pixel, w, bias, y + j * c->y_pixel); \
        } \
    else if (columns >= narrow) \
        for (; j < columns; j += narrow) { \
            if (j > columns - narrow) j = columns - narrow; \
            NAME(dot_body)(B == 1 ? 7 : DOT_PIXELS(B), B, c, x + j * c->x_pixel, w, bias, y + j * c->y_pixel); \
        } \
    else \
        for (; j < columns; j++) \
            NAME(dot_body)(1, B, c, x + j * c->x_pixel, w, bias, y + j * c->y_pixel); \
}
DOTS(1)
DOTS(2)
DOTS(3)
#undef DOTS

static void NAME(dot_row)(int outputs, ptrdiff_t columns, const Correlation *c, const REAL *x, const REAL *w,
                          const REAL *bias, REAL *y)
{
    if (outputs == 1) NAME(dot_row_1)(columns, c, x, w, bias, y);
    else if (outputs == 2) NAME(dot_row_2)(columns, c, x, w, bias, y);
    else NAME(dot_row_3)(columns, c, x, w, bias, y);
}

/* y[i * y_row + at[v] + l] = bias + sum over t < taps of x[i * x_row + tap[t] + at[v] + l] * w[v][t, l]
 *
 * for ROWS rows i, two vectors v and their lanes l.
 */
INLINE void NAME(spread_body)(
    const int ROWS,
    const Correlation *c,       /* taps, and x_row                                      IN  */
    const ptrdiff_t *at,        /* (2,): where the vectors begin in a row               IN  */
    const REAL *x,              /* where the first row's windows begin                  IN  */
    const REAL *const *w,       /* 2 times (1 + taps, LANES): bias, weights             IN  */
    REAL *y, ptrdiff_t y_row)   /* first row                                            OUT */
{
    NAME(vec) sum[SPREAD_ROWS][2];
    for (int v = 0; v < 2; v++)
        UNROLL for (int i = 0; i < ROWS; i++) sum[i][v] = NAME(load)(w[v]);
    for (ptrdiff_t t = 0; t < c->taps; t++) {
        const REAL *xt = x + c->tap[t];
        NAME(vec) wv[2];
        for (int v = 0; v < 2; v++) wv[v] = NAME(load)(w[v] + (t + 1) * LANES);
        UNROLL for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < 2; v++)
                sum[i][v] = NAME(multiply_add)(NAME(load)(xt + i * c->x_row + at[v]), wv[v], sum[i][v]);
    }
    UNROLL for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < 2; v++) NAME(store)(y + i * y_row + at[v], sum[i][v]);
}

/* Whether these are the taps of a 3x3 filter that moves by a pixel, on one channel: three rows of three. */
static int NAME(square)(ptrdiff_t taps, const ptrdiff_t *tap, ptrdiff_t x_row)
{
    if (taps != 9) return 0;
    for (int t = 3; t < 9; t++)
        if (tap[t] != tap[t - 3] + x_row) return 0;
    return 1;
}

/* spread_body for such filters and one vector: a row of x serves three sums while it is in registers. Each sum takes its
 * products in the same order. */
INLINE void NAME(square_body)(const Correlation *c, const REAL *x, const REAL *w, REAL *y, ptrdiff_t y_row)
{
    NAME(vec) sum[SPREAD_ROWS];
    UNROLL for (int i = 0; i < SPREAD_ROWS; i++) sum[i] = NAME(load)(w);
    UNROLL for (int r = 0; r < SPREAD_ROWS + 2; r++)
        UNROLL for (int v = 0; v < 3; v++) {
            const NAME(vec) value = NAME(load_once)(x + r * c->x_row + c->tap[v]);
            UNROLL for (int u = 0; u < 3; u++)
                if (r >= u && r - u < SPREAD_ROWS)
                    sum[r - u] = NAME(multiply_add)(value, NAME(load)(w + (1 + 3 * u + v) * LANES), sum[r - u]);
        }
    UNROLL for (int i = 0; i < SPREAD_ROWS; i++) NAME(store)(y + i * y_row, sum[i]);
}

/* The last tile ends with the rows and computes some of them again. */
static void NAME(spread_rows)(ptrdiff_t rows, const Correlation *c, const ptrdiff_t *at, const REAL *x,
                              const REAL *const *w, REAL *y, ptrdiff_t y_row)
{
    ptrdiff_t i = 0;
    const int square = NAME(square)(c->taps, c->tap, c->x_row);
    if (rows < SPREAD_ROWS)
        for (; i < rows; i++) NAME(spread_body)(1, c, at, x + i * c->x_row, w, y + i * y_row, y_row);
    else
        for (; i < rows; i += SPREAD_ROWS) {
            if (i > rows - SPREAD_ROWS) i = rows - SPREAD_ROWS;
            if (square)
                for (int v = 0; v < 2; v++)
                    NAME(square_body)(c, x + i * c->x_row + at[v], w[v], y + i * y_row + at[v], y_row);
            else
                NAME(spread_body)(SPREAD_ROWS, c, at, x + i * c->x_row, w, y + i * y_row, y_row);
        }
}

/* sum[t, l] += sum over i < rows of x[i * x_row + tap[t] + l] * dy[i * dy_row + l], for T taps t and lanes l;
 * only the last `lanes` of them count. */
INLINE void NAME(spread_outer_body)(
    const int T,
    const Outer *o,             /* rows, x_row, dy_row                                  IN    */
    const REAL *x,              /* where the first row's windows begin, moved to lane 0 IN    */
    const ptrdiff_t *tap,       /* (T,)                                                 IN    */
    const REAL *dy,             /* lane 0 of the first row                              IN    */
    REAL *sums,                 /* (T, LANES)                                           INOUT */
    ptrdiff_t lanes)
{
    NAME(vec) sum[9];
    UNROLL for (int t = 0; t < T; t++) sum[t] = NAME(load)(sums + t * LANES);
    if (lanes >= LANES)
        for (ptrdiff_t i = 0; i < o->rows; i++) {
            const NAME(vec) g = NAME(load)(dy + i * o->dy_row);
            UNROLL for (int t = 0; t < T; t++)
                sum[t] = NAME(multiply_add)(NAME(load)(x + i * o->x_row + tap[t]), g, sum[t]);
        }
    else
        for (ptrdiff_t i = 0; i < o->rows; i++) {
            const NAME(vec) g = NAME(last_lanes)(NAME(load)(dy + i * o->dy_row), lanes);
            UNROLL for (int t = 0; t < T; t++)
                sum[t] = NAME(multiply_add)(NAME(last_lanes)(NAME(load)(x + i * o->x_row + tap[t]), lanes), g, sum[t]);
        }
    UNROLL for (int t = 0; t < T; t++) NAME(store)(sums + t * LANES, sum[t]);
}

/* Add the products of a row of x, at three neighbouring pixels, with the rows of dy whose windows' rows `first` up to
 * `last` lie on it. */
INLINE void NAME(square_row)(const int whole, const int first, const int last, const REAL *x, const ptrdiff_t *tap,
                             const NAME(vec) *g, NAME(vec) *sum, ptrdiff_t lanes)
{
    UNROLL for (int v = 0; v < 3; v++) {
        NAME(vec) value = NAME(load_once)(x + tap[v]);
        if (!whole) value = NAME(last_lanes)(value, lanes);
        UNROLL for (int u = first; u < last; u++)
            sum[3 * u + v] = NAME(multiply_add)(value, g[u], sum[3 * u + v]);
    }
}

/* The next row of dy, before the two that came before it. */
INLINE const REAL *NAME(next_row)(const int whole, const Outer *o, const REAL *dy, NAME(vec) *g, ptrdiff_t lanes)
{
    g[2] = g[1];
    g[1] = g[0];
    g[0] = NAME(load)(dy);
    if (!whole) g[0] = NAME(last_lanes)(g[0], lanes);
    return dy + o->dy_row;
}

/* spread_outer_body for 3x3 filters that move by a pixel, and at least two rows: a row of x serves three of dy while it
 * is in registers. The sums are added up in the same order. */
INLINE void NAME(square_outer_body)(const int whole, const Outer *o, const REAL *x, const ptrdiff_t *tap, const REAL *dy,
                                    REAL *sums, ptrdiff_t lanes)
{
    NAME(vec) sum[9], g[3] = {NAME(zero)(), NAME(zero)(), NAME(zero)()};
    UNROLL for (int t = 0; t < 9; t++) sum[t] = NAME(load)(sums + t * LANES);
    dy = NAME(next_row)(whole, o, dy, g, lanes);
    NAME(square_row)(whole, 0, 1, x, tap, g, sum, lanes);
    dy = NAME(next_row)(whole, o, dy, g, lanes);
    NAME(square_row)(whole, 0, 2, x + o->x_row, tap, g, sum, lanes);
    x += 2 * o->x_row;
    for (ptrdiff_t i = 2; i < o->rows; i++, x += o->x_row) {
        dy = NAME(next_row)(whole, o, dy, g, lanes);
        NAME(square_row)(whole, 0, 3, x, tap, g, sum, lanes);
    }
    g[2] = g[1];
    g[1] = g[0];
    NAME(square_row)(whole, 1, 3, x, tap, g, sum, lanes);
    g[2] = g[1];
    NAME(square_row)(whole, 2, 3, x + o->x_row, tap, g, sum, lanes);
    UNROLL for (int t = 0; t < 9; t++) NAME(store)(sums + t * LANES, sum[t]);
}

static void NAME(spread_outer)(ptrdiff_t taps, const Outer *o, const REAL *x, const ptrdiff_t *tap, const REAL *dy,
                               REAL *sums, ptrdiff_t lanes)
{
    if (o->rows > 1 && NAME(square)(taps, tap, o->x_row)) {
        if (lanes >= LANES) NAME(square_outer_body)(1, o, x, tap, dy, sums, lanes);
        else NAME(square_outer_body)(0, o, x, tap, dy, sums, lanes);
        return;
    }
    for (; taps >= 9; taps -= 9, tap += 9, sums += 9 * LANES) NAME(spread_outer_body)(9, o, x, tap, dy, sums, lanes);
    for (; taps >= 3; taps -= 3, tap += 3, sums += 3 * LANES) NAME(spread_outer_body)(3, o, x, tap, dy, sums, lanes);
    for (; taps >= 1; taps -= 1, tap += 1, sums += LANES) NAME(spread_outer_body)(1, o, x, tap, dy, sums, lanes);
}

/* Write each of `count` numbers, `step` apart, `times` times over. */
INLINE void NAME(repeat_body)(const REAL *x, ptrdiff_t step, ptrdiff_t count, const ptrdiff_t times, REAL *to)
{
    for (ptrdiff_t j = 0; j < count; j++) {
        const REAL value = x[j * step];
        for (ptrdiff_t f = 0; f < times; f++) to[j * times + f] = value;
    }
}

static void NAME(repeat)(const REAL *x, ptrdiff_t step, ptrdiff_t count, ptrdiff_t times, REAL *to)
{
    switch (times) {
    case 1: if (step == 1) NAME(repeat_body)(x, 1, count, 1, to);
            else NAME(repeat_body)(x, step, count, 1, to);
            break;
    case 2: if (step == 1) NAME(repeat_body)(x, 1, count, 2, to);
            else NAME(repeat_body)(x, step, count, 2, to);
            break;
    case 3: NAME(repeat_body)(x, step, count, 3, to); break;
    case 4: NAME(repeat_body)(x, step, count, 4, to); break;
    case 8: NAME(repeat_body)(x, step, count, 8, to); break;
    default: NAME(repeat_body)(x, step, count, times, to);
    }
}

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define dot_row(outputs, columns, c, x, ...) BY_TYPE(x, dot_row)(outputs, columns, c, x, __VA_ARGS__)
#define spread_rows(rows, c, at, x, ...) BY_TYPE(x, spread_rows)(rows, c, at, x, __VA_ARGS__)
#define spread_outer(taps, o, x, ...) BY_TYPE(x, spread_outer)(taps, o, x, __VA_ARGS__)
#define repeat(x, ...) BY_TYPE(x, repeat)(x, __VA_ARGS__)
#endif
