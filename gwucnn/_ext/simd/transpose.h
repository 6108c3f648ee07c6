/* Transposition of a square of LANES x LANES elements in registers.
 *
 * Each round interleaves the first half of the vectors with the second half, lane by lane. This rotates the binary
 * index of an element, whose high bits are the number of its vector and whose low bits are its lane, by one bit. After
 * log2(LANES) rounds both halves of the index have changed places, and rows have become columns.
 *
 * Compiled once for float and once for double; see variants/kernels.h. Nothing is checked here: the caller has done it.
 */

static void NAME(transpose)(
    const REAL *x,              /* (LANES, LANES), rows `x_step` apart                  IN  */
    ptrdiff_t x_step,
    REAL *y,                    /* (LANES, LANES), rows `y_step` apart; may be x        OUT */
    ptrdiff_t y_step)
{
    enum { N = VECTOR_BYTES / sizeof(REAL), H = N / 2 };
    static const INTEGER low[16] = {0, N, 1, N + 1, 2, N + 2, 3, N + 3, 4, N + 4, 5, N + 5, 6, N + 6, 7, N + 7};
    static const INTEGER high[16] = {H, N + H, H + 1, N + H + 1, H + 2, N + H + 2, H + 3, N + H + 3,
                                     H + 4, N + H + 4, H + 5, N + H + 5, H + 6, N + H + 6, H + 7, N + H + 7};
    NAME(vec) row[N], woven[N];
    UNROLL for (int i = 0; i < N; i++) row[i] = NAME(load)(x + i * x_step);
    UNROLL for (int round = 1; round < N; round *= 2) {
        UNROLL for (int i = 0; i < H; i++) {
            woven[2 * i] = NAME(shuffle)(row[i], row[i + H], low);
            woven[2 * i + 1] = NAME(shuffle)(row[i], row[i + H], high);
        }
        UNROLL for (int i = 0; i < N; i++) row[i] = woven[i];
    }
    UNROLL for (int i = 0; i < N; i++) NAME(store)(y + i * y_step, row[i]);
}

#if DOUBLE    /* select the float or double version by the type of the elements (see variants/kernels.h) */
#define transpose(x, ...) BY_TYPE(x, transpose)(x, __VA_ARGS__)
#endif
