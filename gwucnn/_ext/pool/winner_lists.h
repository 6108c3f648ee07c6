/* Lists of the winners of 2x2 max pooling: which of a window's four pixels carries a filter's gradient, if any does.
 *
 * A byte tells it, 0 to 3, or more where relu zeroed all four. Which one it is can't be foreseen, so nothing here branches
 * on it: an entry is written where the next one belongs and counts, or not.
 *
 * Compiled once for float and once for double; see variants/kernels.h. The callers check the arguments.
 */

/* List the filters that each of a window's pixels won, pixel by pixel; returns the length of all four lists. */
static ptrdiff_t NAME(list_filters)(
    ptrdiff_t filters,          /* at most 4095                                         */
    const REAL *dy,             /* (filters,): gradients of one window                  IN  */
    const unsigned char *winner,    /* likewise                                         IN  */
    int *counts,                /* (4,): how many each pixel won                        OUT */
    int *lists,                 /* (filters + LANES,): which                            OUT */
    REAL *g)                    /* likewise: their gradients                            OUT */
{
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    const int *start = lists;
    for (int k = 0; k < 4; k++) {
        const int *first = lists;
        for (ptrdiff_t f = 0; f < filters; f += LANES) {
            const ptrdiff_t left = filters - f;
            const unsigned there = left < LANES ? (1u << left) - 1 : (1u << LANES) - 1;
            const __m128i who = _mm_maskz_loadu_epi8((__mmask16)there, winner + f);
            const unsigned won = _mm_mask_cmpeq_epi8_mask((__mmask16)there, who, _mm_set1_epi8((char)k));
#if DOUBLE
            const __m512d some = _mm512_maskz_loadu_pd((__mmask8)there, dy + f);
            const __m256i which = _mm256_add_epi32(_mm256_set1_epi32((int)f), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            _mm512_storeu_pd(g, _mm512_maskz_compress_pd((__mmask8)won, some));
            _mm256_storeu_si256((__m256i *)lists, _mm256_maskz_compress_epi32((__mmask8)won, which));
#else
            const __m512 some = _mm512_maskz_loadu_ps((__mmask16)there, dy + f);
            const __m512i which = _mm512_add_epi32(_mm512_set1_epi32((int)f), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7,
                                                   8, 9, 10, 11, 12, 13, 14, 15));
            _mm512_storeu_ps(g, _mm512_maskz_compress_ps((__mmask16)won, some));
            _mm512_storeu_si512(lists, _mm512_maskz_compress_epi32((__mmask16)won, which));
#endif
            lists += _mm_popcnt_u32(won);
            g += _mm_popcnt_u32(won);
        }
        counts[k] = (int)(lists - first);
    }
    return lists - start;
#else
    /* Five numbers of 12 bits, for the four pixels and, behind them, for none. */
    unsigned long long count = 0, next = 0;
    int all = 0;
    for (ptrdiff_t f = 0; f < filters; f++) count += 1ull << 12 * (winner[f] < 4 ? winner[f] : 4);
    for (int k = 0; k < 4; k++) {
        counts[k] = (int)(count >> 12 * k & 4095);
        next |= (unsigned long long)all << 12 * k;
        all += counts[k];
    }
    next |= (unsigned long long)all << 48;
    for (ptrdiff_t f = 0; f < filters; f++) {
        const int shift = 12 * (winner[f] < 4 ? winner[f] : 4);
        const ptrdiff_t at = next >> shift & 4095;
        lists[at] = (int)f;
        g[at] = dy[f];
        next += 1ull << shift;
    }
    return all;
#endif
}

/* List the windows that one filter's winners have; returns how many. */
static ptrdiff_t NAME(list_one)(const Outer *o, const REAL *dy, const unsigned char *winner, int *places, REAL *g)
{
    const int place[8] = {0, (int)o->x_pixel, (int)o->x_row, (int)(o->x_row + o->x_pixel)};
    ptrdiff_t count = 0;
    for (ptrdiff_t n = 0; n < o->images; n++)
        for (ptrdiff_t i = 0; i < o->rows; i++) {
            ptrdiff_t at = n * o->x_image + 2 * i * o->x_row;
            for (ptrdiff_t j = 0; j < o->columns; j++) {
                const unsigned char who = *winner;
                g[count] = *dy;
                places[count] = (int)at + place[who & 7];
                count += who < 4;
                at += 2 * o->x_pixel;
                dy += o->dy_pixel;
                winner += o->dy_pixel;
            }
        }
    return count;
}

#if defined(__AVX512BW__) && defined(__AVX512VL__)
/* The same for a vector of filters: as many pixels are transposed, so that those of a filter form a vector. */
static void NAME(list_lanes)(const Outer *o, const REAL *dy, const unsigned char *winner, ptrdiff_t pitch, int *counts,
                             int *places, REAL *g)
{
    enum { N = VECTOR_BYTES / sizeof(REAL) };
    const int place[16] = {0, (int)o->x_pixel, (int)o->x_row, (int)(o->x_row + o->x_pixel)};
    const ptrdiff_t pixels = o->images * o->rows * o->columns;
    ptrdiff_t n = 0, i = 0, j = 0;
    for (int k = 0; k < N; k++) counts[k] = 0;
    for (ptrdiff_t p = 0; p < pixels; p += N) {
        const ptrdiff_t some = pixels - p < N ? pixels - p : N;
        REAL slope[N][N];
        INTEGER who[N][N];
        int at[N];
        for (ptrdiff_t q = 0; q < N; q++) {
            const ptrdiff_t pixel = (p + (q < some ? q : some - 1)) * o->dy_pixel;  /* the last one again, for none */
            NAME(store)(slope[q], NAME(load)(dy + pixel));
            for (int k = 0; k < N; k++) who[q][k] = winner[pixel + k];
            at[q] = (int)(n * o->x_image + 2 * i * o->x_row + 2 * j * o->x_pixel);
            j = j + 1 < o->columns ? j + 1 : 0;
            i = j ? i : i + 1 < o->rows ? i + 1 : 0;
            n = i || j ? n : n + 1;
        }
        NAME(transpose)(slope[0], N, slope[0], N);
        NAME(transpose)((REAL *)who[0], N, (REAL *)who[0], N);
        for (int k = 0; k < N; k++) {
            const ptrdiff_t to = k * pitch + counts[k];
            const unsigned there = some < N ? (1u << some) - 1 : (1u << N) - 1;
#if DOUBLE
            const __m256i w = _mm512_cvtepi64_epi32(_mm512_loadu_si512(who[k]));
            const unsigned won = _mm256_mask_cmplt_epu32_mask((__mmask8)there, w, _mm256_set1_epi32(4));
            const __m256i where = _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)at),
                _mm256_permutexvar_epi32(w, _mm256_loadu_si256((const __m256i *)place)));
            _mm512_storeu_pd(g + to, _mm512_maskz_compress_pd((__mmask8)won, _mm512_loadu_pd(slope[k])));
            _mm256_storeu_si256((__m256i *)(places + to), _mm256_maskz_compress_epi32((__mmask8)won, where));
#else
            const __m512i w = _mm512_loadu_si512(who[k]);
            const unsigned won = _mm512_mask_cmplt_epu32_mask((__mmask16)there, w, _mm512_set1_epi32(4));
            const __m512i where = _mm512_add_epi32(_mm512_loadu_si512(at),
                                                   _mm512_permutexvar_epi32(w, _mm512_loadu_si512(place)));
            _mm512_storeu_ps(g + to, _mm512_maskz_compress_ps((__mmask16)won, _mm512_loadu_ps(slope[k])));
            _mm512_storeu_si512(places + to, _mm512_maskz_compress_epi32((__mmask16)won, where));
#endif
            counts[k] += (int)_mm_popcnt_u32(won);
        }
    }
}
#endif

/* List the windows that each filter's winners have. */
static void NAME(list_windows)(
    const Outer *o,             /* rows and columns are pooled; x_row, x_pixel of x's own output pixels     IN  */
    ptrdiff_t filters,
    const REAL *dy,             /* (images, rows, columns, dy_pixel): the first filters count               IN  */
    const unsigned char *winner,    /* likewise                                                             IN  */
    ptrdiff_t pitch,            /* at least images * rows * columns + LANES                                 */
    int *counts,                /* (filters,)                                                               OUT */
    int *places,                /* (filters, pitch): where they begin in x                                  OUT */
    REAL *g)                    /* likewise: their gradients                                                OUT */
{
    ptrdiff_t f = 0;
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    for (; f + LANES <= filters; f += LANES)
        NAME(list_lanes)(o, dy + f, winner + f, pitch, counts + f, places + f * pitch, g + f * pitch);
#endif
    for (; f < filters; f++)
        counts[f] = (int)NAME(list_one)(o, dy + f, winner + f, places + f * pitch, g + f * pitch);
}

/* The sum of a list, behind which a vector can be read. */
static REAL NAME(sum_list)(ptrdiff_t count, const REAL *g)
{
    NAME(vec) sum = NAME(zero)();
    ptrdiff_t q = 0;
    for (; q + LANES <= count; q += LANES) sum = NAME(add)(sum, NAME(load)(g + q));
    return NAME(total)(NAME(add)(sum, NAME(first_lanes)(NAME(load)(g + q), count - q)));
}

#if DOUBLE    /* both builds are there now: a call finds its own by the type of its numbers */
#define list_filters(filters, dy, ...) BY_TYPE(dy, list_filters)(filters, dy, __VA_ARGS__)
#define list_windows(o, filters, dy, ...) BY_TYPE(dy, list_windows)(o, filters, dy, __VA_ARGS__)
#define sum_list(count, g) BY_TYPE(g, sum_list)(count, g)
#endif
