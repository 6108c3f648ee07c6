/* The transforms of Winograd's minimal filtering F(4x4, 3x3): four by four outputs of a 3x3 filter from 36 products.
 *
 *   outputs = A^T [ (G g G^T) . (B^T d B) ] A          g: 3x3 filter, d: 6x6 pixels, . element by element
 *
 * A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, section 4.3. All run over
 * vectors of channels; the 36 numbers of a tile lie `element` apart, so that the products over channels in between are
 * 36 matrix products.
 *
 * Included once for float and once for double by tiles.h. Nothing here checks anything: the caller has.
 */

/* a + k * b */
INLINE NAME(vec) NAME(plus)(NAME(vec) a, REAL k, NAME(vec) b) { return NAME(multiply_add)(NAME(fill)(k), b, a); }

/* B^T applied to one column of six. */
INLINE void NAME(transform_image)(const NAME(vec) *d, NAME(vec) *o)
{
    const NAME(vec) a = NAME(plus)(d[4], -4, d[2]), b = NAME(plus)(d[3], -4, d[1]);
    const NAME(vec) c = NAME(plus)(d[4], -1, d[2]), e = NAME(plus)(d[3], -1, d[1]);
    o[0] = NAME(plus)(NAME(plus)(d[4], -5, d[2]), 4, d[0]);
    o[1] = NAME(add)(a, b);
    o[2] = NAME(plus)(a, -1, b);
    o[3] = NAME(plus)(c, 2, e);
    o[4] = NAME(plus)(c, -2, e);
    o[5] = NAME(plus)(NAME(plus)(d[5], -5, d[3]), 4, d[1]);
}

/* A^T applied to one column of six: four. */
INLINE void NAME(transform_products)(const NAME(vec) *m, NAME(vec) *o)
{
    const NAME(vec) a = NAME(add)(m[1], m[2]), b = NAME(plus)(m[1], -1, m[2]);
    const NAME(vec) c = NAME(add)(m[3], m[4]), d = NAME(plus)(m[3], -1, m[4]);
    o[0] = NAME(add)(NAME(add)(m[0], a), c);
    o[1] = NAME(plus)(b, 2, d);
    o[2] = NAME(plus)(a, 4, c);
    o[3] = NAME(add)(NAME(plus)(b, 8, d), m[5]);
}

/* A applied to one column of four: six. */
INLINE void NAME(transform_gradient)(const NAME(vec) *y, NAME(vec) *o)
{
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
INLINE void NAME(transform_filter)(const NAME(vec) *g, NAME(vec) *o)
{
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
INLINE void NAME(transform_sums)(const NAME(vec) *s, NAME(vec) *o)
{
    const NAME(vec) zero = NAME(zero)();
    const NAME(vec) a = NAME(add)(s[1], s[2]), b = NAME(plus)(s[2], -1, s[1]);
    const NAME(vec) c = NAME(add)(s[3], s[4]), d = NAME(plus)(s[3], -1, s[4]);
    const NAME(vec) sixths = NAME(plus)(zero, (REAL)(-1 / 6.0), a);
    o[0] = NAME(plus)(NAME(plus)(sixths, (REAL)0.25, s[0]), (REAL)(1 / 24.0), c);
    o[1] = NAME(plus)(NAME(plus)(zero, (REAL)(1 / 6.0), b), (REAL)(1 / 12.0), d);
    o[2] = NAME(add)(NAME(plus)(sixths, (REAL)(1 / 6.0), c), s[5]);
}

/* Apply a transform of n numbers to k to all columns, then to all rows: t is n x n, o is k x k. */
#define BOTH_WAYS(transform, n, k, t, o) \
    do { \
        NAME(vec) half[k][n]; \
        UNROLL for (int j = 0; j < n; j++) { \
            NAME(vec) column[n], made[k]; \
            UNROLL for (int i = 0; i < n; i++) column[i] = t[i][j]; \
            NAME(transform)(column, made); \
            UNROLL for (int i = 0; i < k; i++) half[i][j] = made[i]; \
        } \
        UNROLL for (int i = 0; i < k; i++) NAME(transform)(half[i], o[i]); \
    } while (0)

/* v = B^T d B of 6x6 pixels. */
static void NAME(winograd_image)(
    const REAL *d,              /* (6, 6, C), rows x_row and pixels x_pixel apart       IN  */
    ptrdiff_t x_row, ptrdiff_t x_pixel, ptrdiff_t C,
    REAL *v,                    /* (36, C), `element` apart                             OUT */
    ptrdiff_t element)
{
    for (ptrdiff_t c = 0; c < C; c += LANES) {
        NAME(vec) t[6][6], o[6][6];
        UNROLL for (int i = 0; i < 6; i++)
            UNROLL for (int j = 0; j < 6; j++) t[i][j] = NAME(load)(d + i * x_row + j * x_pixel + c);
        BOTH_WAYS(transform_image, 6, 6, t, o);
        UNROLL for (int i = 0; i < 6; i++)
            UNROLL for (int j = 0; j < 6; j++) NAME(store)(v + (i * 6 + j) * element + c, o[i][j]);
    }
}

/* z = A dy A^T of 4x4 gradients. */
static void NAME(winograd_gradient)(
    const REAL *dy,             /* (4, 4, F), rows y_row and pixels y_pixel apart       IN  */
    ptrdiff_t y_row, ptrdiff_t y_pixel, ptrdiff_t F,
    REAL *z,                    /* (36, F), `element` apart                             OUT */
    ptrdiff_t element)
{
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        NAME(vec) t[4][4], o[6][6];
        UNROLL for (int i = 0; i < 4; i++)
            UNROLL for (int j = 0; j < 4; j++) t[i][j] = NAME(load)(dy + i * y_row + j * y_pixel + f);
        BOTH_WAYS(transform_gradient, 4, 6, t, o);
        UNROLL for (int i = 0; i < 6; i++)
            UNROLL for (int j = 0; j < 6; j++) NAME(store)(z + (i * 6 + j) * element + f, o[i][j]);
    }
}

/* u = G g G^T for one vector of outputs of one input channel. */
static void NAME(winograd_filter)(
    const REAL *g,              /* (9, LANES), `tap` apart                              IN  */
    ptrdiff_t tap,
    REAL *u,                    /* (36, LANES), `element` apart                         OUT */
    ptrdiff_t element)
{
    NAME(vec) t[3][3], o[6][6];
    for (int i = 0; i < 9; i++) t[i / 3][i % 3] = NAME(load)(g + i * tap);
    BOTH_WAYS(transform_filter, 3, 6, t, o);
    for (int i = 0; i < 36; i++) NAME(store)(u + i * element, o[i / 6][i % 6]);
}

/* dg += G^T s G for one vector. */
static void NAME(winograd_filter_gradient)(
    const REAL *s,              /* (36, LANES), `element` apart                         IN    */
    ptrdiff_t element,
    REAL *dg,                   /* (9, LANES), `tap` apart                              INOUT */
    ptrdiff_t tap)
{
    NAME(vec) t[6][6], o[3][3];
    for (int i = 0; i < 36; i++) t[i / 6][i % 6] = NAME(load)(s + i * element);
    BOTH_WAYS(transform_sums, 6, 3, t, o);
    for (int i = 0; i < 9; i++)
        NAME(store)(dg + i * tap, NAME(add)(NAME(load)(dg + i * tap), o[i / 3][i % 3]));
}

/* y = A^T m A + bias for up to 4x4 pixels. */
static void NAME(winograd_outputs)(
    const REAL *m,              /* (36, F), `element` apart                             IN  */
    ptrdiff_t element, ptrdiff_t F,
    const REAL *bias,           /* (F,) or NULL                                         IN  */
    REAL *y,                    /* (rows, columns, F)                                   OUT */
    int relu,
    ptrdiff_t y_row, ptrdiff_t y_pixel, int rows, int columns)
{
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        NAME(vec) t[6][6], o[4][4];
        const NAME(vec) b = bias ? NAME(load)(bias + f) : NAME(zero)();
        UNROLL for (int i = 0; i < 6; i++)
            UNROLL for (int j = 0; j < 6; j++) t[i][j] = NAME(load)(m + (i * 6 + j) * element + f);
        BOTH_WAYS(transform_products, 6, 4, t, o);
        UNROLL for (int i = 0; i < 4; i++)
            UNROLL for (int j = 0; j < 4; j++)
                if (i < rows && j < columns) {
                    const NAME(vec) sum = NAME(add)(o[i][j], b);
                    NAME(store)(y + i * y_row + j * y_pixel + f, relu ? NAME(relu)(sum) : sum);
                }
    }
}

/* The same through relu, if asked for, and 2x2 max pooling: up to 2x2 pooled pixels and their winners. */
static void NAME(winograd_pooled)(
    const REAL *m,              /* (36, F), `element` apart                             IN  */
    ptrdiff_t element, ptrdiff_t F,
    const REAL *bias,           /* (F,) or NULL                                         IN  */
    REAL *y,                    /* (rows, columns, F)                                   OUT */
    unsigned char *winner,      /* as y, or NULL                                        OUT */
    int relu,
    ptrdiff_t y_row, ptrdiff_t y_pixel, int rows, int columns)
{
    for (ptrdiff_t f = 0; f < F; f += LANES) {
        NAME(vec) t[6][6], o[4][4];
        const NAME(vec) b = bias ? NAME(load)(bias + f) : NAME(zero)();
        UNROLL for (int i = 0; i < 6; i++)
            UNROLL for (int j = 0; j < 6; j++) t[i][j] = NAME(load)(m + (i * 6 + j) * element + f);
        BOTH_WAYS(transform_products, 6, 4, t, o);
        UNROLL for (int i = 0; i < 2; i++)
            UNROLL for (int j = 0; j < 2; j++)
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
#undef BOTH_WAYS
