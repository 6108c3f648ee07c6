/* The transforms of Winograd's minimal filtering F(4x4, 3x3): four by four outputs of a 3x3 filter from 36 products.
 *
 *   outputs = A^T [ (G g G^T) . (B^T d B) ] A          g: 3x3 filter, d: 6x6 pixels, . element by element
 *
 * A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, section 4.3. All run over
 * vectors of channels; the 36 numbers of a tile lie `element` apart, so that the products over channels in between are
 * 36 matrix products.
 *
 * A tile may be short: two outputs high or wide, where an image ends with one or two (section 4.1, F(2, 3)). Its four
 * products are those of the points 0, 1, -1 and infinity, which are four of the six of F(4, 3) but for their scale: so
 * it meets the same transformed filters, takes rows or columns 0, 1, 2 and 5 of their 36 elements, and what the scale
 * differs by, 4 for the first and -3 for the next two, is put on the pixels.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

/* a + k * b */
INLINE NAME(vec) NAME(plus)(NAME(vec) a, REAL k, NAME(vec) b) { return NAME(multiply_add)(NAME(fill)(k), b, a); }

/* Of the six rows of elements, the one that row i of a tile with `side` outputs has. */
#define ELEMENT(side, i) ((side) == 2 && (i) == 3 ? 5 : (i))

/* B^T applied to one column: side + 2 pixels. */
INLINE void NAME(transform_image)(const int side, const NAME(vec) *d, NAME(vec) *o)
{
    if (side == 2) {
        const NAME(vec) zero = NAME(zero)();
        o[0] = NAME(plus)(NAME(plus)(zero, 4, d[0]), -4, d[2]);
        o[1] = NAME(plus)(NAME(plus)(zero, -3, d[1]), -3, d[2]);
        o[2] = NAME(plus)(NAME(plus)(zero, 3, d[1]), -3, d[2]);
        o[3] = NAME(plus)(d[3], -1, d[1]);
        return;
    }
    const NAME(vec) a = NAME(plus)(d[4], -4, d[2]), b = NAME(plus)(d[3], -4, d[1]);
    const NAME(vec) c = NAME(plus)(d[4], -1, d[2]), e = NAME(plus)(d[3], -1, d[1]);
    o[0] = NAME(plus)(NAME(plus)(d[4], -5, d[2]), 4, d[0]);
    o[1] = NAME(add)(a, b);
    o[2] = NAME(plus)(a, -1, b);
    o[3] = NAME(plus)(c, 2, e);
    o[4] = NAME(plus)(c, -2, e);
    o[5] = NAME(plus)(NAME(plus)(d[5], -5, d[3]), 4, d[1]);
}

/* A^T applied to one column of side + 2 products: as many as the side is long. */
INLINE void NAME(transform_products)(const int side, const NAME(vec) *m, NAME(vec) *o)
{
    if (side == 2) {
        o[0] = NAME(add)(NAME(add)(m[0], m[1]), m[2]);
        o[1] = NAME(add)(NAME(plus)(m[1], -1, m[2]), m[3]);
        return;
    }
    const NAME(vec) a = NAME(add)(m[1], m[2]), b = NAME(plus)(m[1], -1, m[2]);
    const NAME(vec) c = NAME(add)(m[3], m[4]), d = NAME(plus)(m[3], -1, m[4]);
    o[0] = NAME(add)(NAME(add)(m[0], a), c);
    o[1] = NAME(plus)(b, 2, d);
    o[2] = NAME(plus)(a, 4, c);
    o[3] = NAME(add)(NAME(plus)(b, 8, d), m[5]);
}

/* A applied to one column of as many as the side is long: side + 2. */
INLINE void NAME(transform_gradient)(const int side, const NAME(vec) *y, NAME(vec) *o)
{
    if (side == 2) {
        o[0] = y[0];
        o[1] = NAME(add)(y[0], y[1]);
        o[2] = NAME(plus)(y[0], -1, y[1]);
        o[3] = y[1];
        return;
    }
    const NAME(vec) a = NAME(add)(y[0], y[2]), b = NAME(add)(y[1], y[3]);
    const NAME(vec) c = NAME(plus)(y[0], 4, y[2]), d = NAME(plus)(y[1], 4, y[3]);
    o[0] = y[0];
    o[1] = NAME(add)(a, b);
    o[2] = NAME(plus)(a, -1, b);
    o[3] = NAME(plus)(c, 2, d);
    o[4] = NAME(plus)(c, -2, d);
    o[5] = y[3];
}

/* G applied to one column of three: six. */
INLINE void NAME(transform_filter)(const int side, const NAME(vec) *g, NAME(vec) *o)
{
    (void)side;
    const NAME(vec) zero = NAME(zero)();
    const NAME(vec) ends = NAME(add)(g[0], g[2]), skew = NAME(plus)(NAME(plus)(zero, (REAL)(1 / 24.0), g[0]),
                                                                   (REAL)(1 / 6.0), g[2]);
    o[0] = NAME(plus)(zero, (REAL)0.25, g[0]);
    o[1] = NAME(plus)(zero, (REAL)(-1 / 6.0), NAME(add)(ends, g[1]));
    o[2] = NAME(plus)(zero, (REAL)(-1 / 6.0), NAME(plus)(ends, -1, g[1]));
    o[3] = NAME(plus)(skew, (REAL)(1 / 12.0), g[1]);
    o[4] = NAME(plus)(skew, (REAL)(-1 / 12.0), g[1]);
    o[5] = g[2];
}

/* G^T applied to one column of six: three. */
INLINE void NAME(transform_sums)(const int side, const NAME(vec) *s, NAME(vec) *o)
{
    (void)side;
    const NAME(vec) zero = NAME(zero)();
    const NAME(vec) a = NAME(add)(s[1], s[2]), b = NAME(plus)(s[2], -1, s[1]);
    const NAME(vec) c = NAME(add)(s[3], s[4]), d = NAME(plus)(s[3], -1, s[4]);
    const NAME(vec) sixths = NAME(plus)(zero, (REAL)(-1 / 6.0), a);
    o[0] = NAME(plus)(NAME(plus)(sixths, (REAL)0.25, s[0]), (REAL)(1 / 24.0), c);
    o[1] = NAME(plus)(NAME(plus)(zero, (REAL)(1 / 6.0), b), (REAL)(1 / 12.0), d);
    o[2] = NAME(add)(NAME(plus)(sixths, (REAL)(1 / 6.0), c), s[5]);
}

/* Apply a transform to all columns, then to all rows. A side of d outputs goes from d + n numbers to d + k: t is
 * (down + n, across + n), o is (down + k, across + k). */
#define BOTH_WAYS(transform, down, across, n, k, t, o) \
    do { \
        NAME(vec) half[6][6]; \
        UNROLL for (int j = 0; j < (across) + (n); j++) { \
            NAME(vec) column[6], made[6]; \
            UNROLL for (int i = 0; i < (down) + (n); i++) column[i] = t[i][j]; \
            NAME(transform)(down, column, made); \
            UNROLL for (int i = 0; i < (down) + (k); i++) half[i][j] = made[i]; \
        } \
        UNROLL for (int i = 0; i < (down) + (k); i++) NAME(transform)(across, half[i], o[i]); \
    } while (0)

/* One function for each kind of tile, so that the compiler knows the sides. */
#define SIDES(CALL) \
    do { \
        if (down == 4 && across == 4) CALL(4, 4); \
        else if (down == 4) CALL(4, 2); \
        else if (across == 4) CALL(2, 4); \
        else CALL(2, 2); \
    } while (0)

/* v = B^T d B of the pixels under a tile. */
INLINE void NAME(winograd_image_body)(const int down, const int across, const REAL *d, ptrdiff_t x_row,
                                      ptrdiff_t x_pixel, ptrdiff_t C, REAL *v, ptrdiff_t element)
{
    for (ptrdiff_t c = 0; c < C; c += LANES) {
        NAME(vec) t[6][6], o[6][6];
        UNROLL for (int i = 0; i < down + 2; i++)
            UNROLL for (int j = 0; j < across + 2; j++) t[i][j] = NAME(load)(d + i * x_row + j * x_pixel + c);
        BOTH_WAYS(transform_image, down, across, 2, 2, t, o);
        UNROLL for (int i = 0; i < down + 2; i++)
            UNROLL for (int j = 0; j < across + 2; j++)
                NAME(store)(v + (ELEMENT(down, i) * 6 + ELEMENT(across, j)) * element + c, o[i][j]);
    }
}

static void NAME(winograd_image)(
    int down, int across,       /* 4 or 2: sides of the tile of outputs                     */
    const REAL *d,              /* (down + 2, across + 2, C), x_row and x_pixel apart   IN  */
    ptrdiff_t x_row, ptrdiff_t x_pixel, ptrdiff_t C,
    REAL *v,                    /* (36, C), `element` apart                             OUT */
    ptrdiff_t element)
{
#define CALL(D, A) NAME(winograd_image_body)(D, A, d, x_row, x_pixel, C, v, element)
    SIDES(CALL);
#undef CALL
}

/* z = A dy A^T of a tile's gradients. */
INLINE void NAME(winograd_gradient_body)(const int down, const int across, const REAL *dy, ptrdiff_t y_row,
                                         ptrdiff_t y_pixel, ptrdiff_t F, REAL *z, ptrdiff_t element)
{
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        NAME(vec) t[6][6], o[6][6];
        UNROLL for (int i = 0; i < down; i++)
            UNROLL for (int j = 0; j < across; j++) t[i][j] = NAME(load)(dy + i * y_row + j * y_pixel + f);
        BOTH_WAYS(transform_gradient, down, across, 0, 2, t, o);
        UNROLL for (int i = 0; i < down + 2; i++)
            UNROLL for (int j = 0; j < across + 2; j++)
                NAME(store)(z + (ELEMENT(down, i) * 6 + ELEMENT(across, j)) * element + f, o[i][j]);
    }
}

static void NAME(winograd_gradient)(
    int down, int across,       /* 4 or 2: sides of the tile of outputs                     */
    const REAL *dy,             /* (down, across, F), y_row and y_pixel apart           IN  */
    ptrdiff_t y_row, ptrdiff_t y_pixel, ptrdiff_t F,
    REAL *z,                    /* (36, F), `element` apart                             OUT */
    ptrdiff_t element)
{
#define CALL(D, A) NAME(winograd_gradient_body)(D, A, dy, y_row, y_pixel, F, z, element)
    SIDES(CALL);
#undef CALL
}

/* u = G g G^T for one vector of outputs of one input channel. */
static void NAME(winograd_filter)(
    const REAL *g,              /* (9, LANES), `tap` apart                              IN  */
    ptrdiff_t tap,
    REAL *u,                    /* (36, LANES), `element` apart                         OUT */
    ptrdiff_t element)
{
    NAME(vec) t[6][6], o[6][6];
    UNROLL for (int i = 0; i < 3; i++)
        UNROLL for (int j = 0; j < 3; j++) t[i][j] = NAME(load)(g + (i * 3 + j) * tap);
    BOTH_WAYS(transform_filter, 3, 3, 0, 3, t, o);
    UNROLL for (int i = 0; i < 6; i++)
        UNROLL for (int j = 0; j < 6; j++) NAME(store)(u + (i * 6 + j) * element, o[i][j]);
}

/* The same for LANES input channels of the filters of the gradient: rotated by 180 degrees, with inputs and outputs
 * exchanged. */
static void NAME(winograd_transposed)(
    const REAL *g,              /* (9, outputs, inputs): LANES of each, `tap` apart     IN  */
    ptrdiff_t tap, ptrdiff_t g_row,
    REAL *u,                    /* (36, inputs, outputs), `element` apart               OUT */
    ptrdiff_t element, ptrdiff_t u_row)
{
    REAL rotated[9][VECTOR_BYTES / sizeof(REAL)][VECTOR_BYTES / sizeof(REAL)];
    for (int t = 0; t < 9; t++) NAME(transpose)(g + t * tap, g_row, rotated[8 - t][0], LANES);
    for (int i = 0; i < LANES; i++) NAME(winograd_filter)(rotated[0][i], LANES * LANES, u + i * u_row, element);
}

/* dg (+)= before + G^T s G for one vector. What comes before is laid out to be read in one go. */
static void NAME(winograd_filter_gradient)(
    const REAL *s,              /* (36, LANES), `element` apart                         IN    */
    ptrdiff_t element,
    const REAL *before,         /* (9, LANES), or NULL                                  IN    */
    int add,                    /* to what dg holds                                           */
    REAL *dg,                   /* (9, LANES), `tap` apart, or the same as `before`     INOUT */
    ptrdiff_t tap)
{
    NAME(vec) t[6][6], o[6][6];
    UNROLL for (int i = 0; i < 6; i++)
        UNROLL for (int j = 0; j < 6; j++) t[i][j] = NAME(load)(s + (i * 6 + j) * element);
    BOTH_WAYS(transform_sums, 3, 3, 3, 0, t, o);
    UNROLL for (int i = 0; i < 3; i++)
        UNROLL for (int j = 0; j < 3; j++) {
            NAME(vec) sum = o[i][j];
            if (before) sum = NAME(add)(NAME(load)(before + (i * 3 + j) * LANES), sum);
            if (add) sum = NAME(add)(NAME(load)(dg + (i * 3 + j) * tap), sum);
            NAME(store)(dg + (i * 3 + j) * tap, sum);
        }
}

/* y = A^T m A + bias for the pixels of a tile that count. */
INLINE void NAME(winograd_outputs_body)(const int down, const int across, const REAL *m, ptrdiff_t element, ptrdiff_t F,
                                        const REAL *bias, REAL *y, int relu, ptrdiff_t y_row, ptrdiff_t y_pixel,
                                        int rows, int columns)
{
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        NAME(vec) t[6][6], o[6][6];
        const NAME(vec) b = bias ? NAME(load)(bias + f) : NAME(zero)();
        UNROLL for (int i = 0; i < down + 2; i++)
            UNROLL for (int j = 0; j < across + 2; j++)
                t[i][j] = NAME(load)(m + (ELEMENT(down, i) * 6 + ELEMENT(across, j)) * element + f);
        BOTH_WAYS(transform_products, down, across, 2, 0, t, o);
        UNROLL for (int i = 0; i < down; i++)
            UNROLL for (int j = 0; j < across; j++)
                if (i < rows && j < columns) {
                    const NAME(vec) sum = NAME(add)(o[i][j], b);
                    NAME(store)(y + i * y_row + j * y_pixel + f, relu ? NAME(relu)(sum) : sum);
                }
    }
}

static void NAME(winograd_outputs)(
    int down, int across,       /* 4 or 2: sides of the tile                                */
    const REAL *m,              /* (36, F), `element` apart                             IN  */
    ptrdiff_t element, ptrdiff_t F,
    const REAL *bias,           /* (F,) or NULL                                         IN  */
    REAL *y,                    /* (rows, columns, F)                                   OUT */
    int relu,
    ptrdiff_t y_row, ptrdiff_t y_pixel, int rows, int columns)
{
#define CALL(D, A) NAME(winograd_outputs_body)(D, A, m, element, F, bias, y, relu, y_row, y_pixel, rows, columns)
    SIDES(CALL);
#undef CALL
}

/* The same through relu, if asked for, and 2x2 max pooling: the pooled pixels that count, and their winners. */
INLINE void NAME(winograd_pooled_body)(const int down, const int across, const REAL *m, ptrdiff_t element, ptrdiff_t F,
                                       const REAL *bias, REAL *y, unsigned char *winner, int relu, ptrdiff_t y_row,
                                       ptrdiff_t y_pixel, int rows, int columns)
{
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        NAME(vec) t[6][6], o[6][6];
        const NAME(vec) b = bias ? NAME(load)(bias + f) : NAME(zero)();
        UNROLL for (int i = 0; i < down + 2; i++)
            UNROLL for (int j = 0; j < across + 2; j++)
                t[i][j] = NAME(load)(m + (ELEMENT(down, i) * 6 + ELEMENT(across, j)) * element + f);
        BOTH_WAYS(transform_products, down, across, 2, 0, t, o);
        UNROLL for (int i = 0; i < down / 2; i++)
            UNROLL for (int j = 0; j < across / 2; j++)
                if (i < rows && j < columns) {
                    const NAME(vec) four[4] = {
                        NAME(add)(o[2 * i][2 * j], b), NAME(add)(o[2 * i][2 * j + 1], b),
                        NAME(add)(o[2 * i + 1][2 * j], b), NAME(add)(o[2 * i + 1][2 * j + 1], b)};
                    const ptrdiff_t at = i * y_row + j * y_pixel + f;
                    unsigned char who[VECTOR_BYTES / sizeof(REAL)];
                    NAME(store)(y + at, NAME(largest_of_four)(four, relu, who));
                    if (winner) memcpy(winner + at, who, sizeof(who));
                }
    }
}

static void NAME(winograd_pooled)(
    int down, int across,       /* 4 or 2: sides of the tile                                */
    const REAL *m,              /* (36, F), `element` apart                             IN  */
    ptrdiff_t element, ptrdiff_t F,
    const REAL *bias,           /* (F,) or NULL                                         IN  */
    REAL *y,                    /* (rows, columns, F)                                   OUT */
    unsigned char *winner,      /* as y, or NULL                                        OUT */
    int relu,
    ptrdiff_t y_row, ptrdiff_t y_pixel, int rows, int columns)
{
#define CALL(D, A) NAME(winograd_pooled_body)(D, A, m, element, F, bias, y, winner, relu, y_row, y_pixel, rows, columns)
    SIDES(CALL);
#undef CALL
}
#undef BOTH_WAYS
#undef SIDES
#undef ELEMENT

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define winograd_image(down, across, d, ...) BY_TYPE(d, winograd_image)(down, across, d, __VA_ARGS__)
#define winograd_gradient(down, across, dy, ...) BY_TYPE(dy, winograd_gradient)(down, across, dy, __VA_ARGS__)
#define winograd_filter(g, ...) BY_TYPE(g, winograd_filter)(g, __VA_ARGS__)
#define winograd_transposed(g, ...) BY_TYPE(g, winograd_transposed)(g, __VA_ARGS__)
#define winograd_filter_gradient(s, ...) BY_TYPE(s, winograd_filter_gradient)(s, __VA_ARGS__)
#define winograd_outputs(down, across, m, ...) BY_TYPE(m, winograd_outputs)(down, across, m, __VA_ARGS__)
#define winograd_pooled(down, across, m, ...) BY_TYPE(m, winograd_pooled)(down, across, m, __VA_ARGS__)
#endif
