/* 2x2 max pooling of few channels, forward and backward: the pixels of a row are gathered into vectors.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

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
        NAME(store_first)(y + first, NAME(largest_of_four)(four, relu, who), some);
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
        const NAME(vec) four[4] = {NAME(shuffle)(up[0], up[1], left), NAME(shuffle)(up[0], up[1], right),
                                   NAME(shuffle)(down[0], down[1], left), NAME(shuffle)(down[0], down[1], right)};
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
            NAME(store)(to, NAME(shuffle)(left, right, lower));
            NAME(store)(to + LANES, NAME(shuffle)(left, right, upper));
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

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define pool_few(full, ...) BY_TYPE(full, pool_few)(full, __VA_ARGS__)
#define unpools(dy, F, columns) BY_TYPE(dy, unpools)(F, columns)
#define unpool_row(dy, ...) BY_TYPE(dy, unpool_row)(dy, __VA_ARGS__)
#endif
