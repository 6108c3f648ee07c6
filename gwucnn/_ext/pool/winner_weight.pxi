# The gradient with respect to weights and bias of a convolution with 2x2 max pooling, with or without relu between,
# from the pooled gradient and the winner bytes.
#
#   dweight[u, v, c, f] += sum over winners q of filter f of g[q] * x[window of q + (u, v), c]
#   dbias[f] += sum over winners q of filter f of g[q]
#
# For each filter the winners in an image, or in several small ones, are listed; then one tile of 9 taps by two vectors
# of channels runs over the list. Images are processed in groups that stay in the second-level cache while all
# filters are processed.
#
# Each filter belongs to one thread, so sums do not depend on the number of threads (but work that pauses to check for
# Ctrl-C is divided into pieces whose length does, and whose sums are added in order).

cdef extern from "variants/kernels.h" nogil:
    enum: WINNER_VECTORS
    void list_windows(const Outer *o, Py_ssize_t filters, const void *dy, const uint8_t *winner, Py_ssize_t pitch,
                      int *counts, int *places, void *g)
    double sum_list(Py_ssize_t count, const void *g)
    void winner_weight_tile(int vectors, Py_ssize_t count, const int *at, const void *g, const void *x,
                            Py_ssize_t x_row, Py_ssize_t x_pixel, void *dw)

# Filters whose lists are made in one pass over an image; bytes of images that share a pass over the filters; and bytes
# under a list, of a tile's channels, which stay in the first-level cache (32 kB) while these filters pass.
cdef enum:
    LISTED_FILTERS = 16
cdef Py_ssize_t LISTED_BYTES = 26 << 10
cdef Py_ssize_t IMAGES_BYTES = 1 << 19


cdef class WinnerBackwardWeight(Step):
    """For 3x3 filters, a whole number of vectors of channels, one group. Adds to dweight, and to dbias if not NULL."""

    cdef Geometry g                 # OH, OW: twice the pooled size
    cdef Py_ssize_t height, width, block, blocks, image_size
    cdef bint bordered, copied
    cdef Py_ssize_t shares          # threads that share the filters
    cdef Py_ssize_t first, last     # units at work
    cdef Py_ssize_t images          # that are taken together
    cdef Py_ssize_t listed          # ... of which so many share a list
    cdef Py_ssize_t list_size
    cdef void *x
    cdef void *dy
    cdef uint8_t *winner
    cdef void *dweight
    cdef void *dbias
    cdef void *copies               # (shares, images, blocks of channels, height, width, block) if copied
    cdef void *gradients            # (shares, LISTED_FILTERS, list_size)
    cdef int *places                # likewise
    cdef void *sums                 # (F, blocks of channels, 9, lanes of a block)

    def __init__(self, x, dy, winner, dweight, dbias, strides, offset):
        cdef Geometry g = pooled_geometry(x.shape, dweight.shape, dy.shape, strides, (1, 1), offset, 1)
        cdef Py_ssize_t image_bytes, tile_bytes
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW // 4 * g.F, False)
        self.winner = <uint8_t *>self.other(winner, g.N * g.OH * g.OW // 4 * g.F, 1, False)
        self.dweight = self.real(dweight, 9 * g.C * g.F, True)
        if dbias is not None:
            self.dbias = self.real(dbias, g.F, True)
        self.out = dweight
        if g.KH != 3 or g.KW != 3 or g.C % lanes_of(self.is_double):
            raise ValueError("WinnerBackwardWeight: expected 3x3 filters and channels in whole vectors")
        self.g = g
        # Pixels of a tile's channels lie side by side, or those of many channels would share few sets of the cache.
        self.block = min(g.C, WINNER_VECTORS * lanes_of(self.is_double))
        self.blocks = (g.C + self.block - 1) // self.block
        self.bordered = border_of(&g, &self.height, &self.width)
        self.copied = self.bordered or self.blocks > 1
        self.image_size = self.blocks * self.height * self.width * self.block
        if self.image_size >= 1 << 31:
            raise ValueError("WinnerBackwardWeight: expected images of less than 2**31 numbers")
        image_bytes = max(self.image_size * (8 if self.is_double else 4), 1)
        self.images = max(min(IMAGES_BYTES // image_bytes, g.N), 1)
        tile_bytes = max(image_bytes // self.blocks, 1)
        # Places in a list are int.
        self.listed = min(LISTED_BYTES // tile_bytes, ((1 << 31) - 1) // max(self.image_size, 1))
        self.listed = max(min(self.listed, self.images), 1)
        self.shares = max(min(self.max_threads, g.F), 1)
        self.list_size = self.listed * (g.OH * g.OW // 4) + lanes_of(self.is_double)
        if self.copied:
            self.copies = self.reserve_reals(self.shares * self.images * self.image_size)
        self.gradients = self.reserve_reals(self.shares * LISTED_FILTERS * self.list_size)
        self.places = <int *>self.reserve(self.shares * LISTED_FILTERS * self.list_size, sizeof(int))
        self.sums = self.reserve_reals(9 * g.C * g.F)
        self.units = max((g.N + self.images - 1) // self.images, 1)
        self.unit_cost = operations_of(&g) / 4 / self.units

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        self.first, self.last = first, last
        self.split_among_threads(0, 0, self.shares, threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            winner_weight_share(self, index, self.first, self.last, <double *>self.x, <double *>self.dy)
        else:
            winner_weight_share(self, index, self.first, self.last, <float *>self.x, <float *>self.dy)


cdef void winner_weight_share(WinnerBackwardWeight self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last,
                              const real_t *x, const real_t *dy) noexcept nogil:
    """Process a range of units of images for the filters of one share."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t first_filter = g.F * share // self.shares, last_filter = g.F * (share + 1) // self.shares
    cdef Py_ssize_t unit, n, k, f, count, pixels = g.OH * g.OW // 4
    cdef real_t *copies = <real_t *>self.copies + share * self.images * self.image_size
    cdef real_t *sums = <real_t *>self.sums
    cdef const real_t *image
    memset(sums + first_filter * 9 * g.C, 0, (last_filter - first_filter) * 9 * g.C * sizeof(real_t))
    for unit in range(first, last):
        n = unit * self.images
        count = min(self.images, g.N - n)
        if self.copied:
            for k in range(count):
                copy_in_blocks(self, x + (n + k) * g.H * g.W * g.C, copies + k * self.image_size)
        f = first_filter
        while f < last_filter:
            k = 0
            while k < count:
                if self.copied:
                    image = copies + k * self.image_size
                else:
                    image = x + (n + k) * g.H * g.W * g.C
                winner_weight_filters(self, share, f, min(LISTED_FILTERS, last_filter - f), min(self.listed, count - k),
                                      image, dy + (n + k) * pixels * g.F, self.winner + (n + k) * pixels * g.F)
                k += self.listed
            f += LISTED_FILTERS
    add_winner_sums(self, first_filter, last_filter, <real_t *>self.dweight)


cdef void copy_in_blocks(
    WinnerBackwardWeight self,
    const real_t *image,            # (H, W, C)                                           IN
    real_t *copy,                   # (blocks, height, width, block), zero outside        OUT
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t b, h, w, width, channels, at
    if self.bordered:
        memset(copy, 0, self.image_size * sizeof(real_t))
    width = min(g.W, self.width - g.left)       # windows may not reach all pixels
    for h in range(min(g.H, self.height - g.top)):
        for b in range(self.blocks):
            at = ((b * self.height + h + g.top) * self.width + g.left) * self.block
            channels = min(self.block, g.C - b * self.block)
            for w in range(width):
                memcpy(copy + at + w * self.block, image + (h * g.W + w) * g.C + b * self.block,
                       channels * sizeof(real_t))


cdef void winner_weight_filters(
    WinnerBackwardWeight self,
    Py_ssize_t share,
    Py_ssize_t f, Py_ssize_t filters,           # the first one and how many
    Py_ssize_t images,
    const real_t *x,                # (images, blocks, height, width, block)              IN
    const real_t *dy,               # (images, PH, PW, F)                                 IN
    const uint8_t *winner,          # (images, PH, PW, F)                                 IN
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), b, c, k, vectors
    cdef real_t *gradients = <real_t *>self.gradients + share * LISTED_FILTERS * self.list_size
    cdef int *places = self.places + share * LISTED_FILTERS * self.list_size
    cdef int[LISTED_FILTERS] counts
    cdef Outer walk
    walk.images, walk.rows, walk.columns = images, g.OH // 2, g.OW // 2
    walk.x_image, walk.x_row, walk.x_pixel = self.image_size, self.width * self.block * g.SH, self.block * g.SW
    walk.dy_pixel = g.F
    list_windows(&walk, filters, dy + f, winner + f, self.list_size, counts, places, gradients)
    for b in range(self.blocks):
        c = b * self.block
        vectors = min(WINNER_VECTORS, (g.C - c) // lanes)
        for k in range(filters):
            winner_weight_tile(<int>vectors, counts[k], places + k * self.list_size, gradients + k * self.list_size,
                               x + c * self.height * self.width, self.width * self.block, self.block,
                               <real_t *>self.sums + (f + k) * 9 * g.C + 9 * c)
    if self.dbias != NULL:
        for k in range(filters):
            if real_t is float:
                (<float *>self.dbias)[f + k] += <float>sum_list(counts[k], gradients + k * self.list_size)
            else:
                (<double *>self.dbias)[f + k] += sum_list(counts[k], gradients + k * self.list_size)


cdef void add_winner_sums(WinnerBackwardWeight self, Py_ssize_t first, Py_ssize_t last, real_t *dweight) noexcept nogil:
    # Each block of channels lies as (9, channels of the block); dweight is (3, 3, C, F).
    cdef Geometry *g = &self.g
    cdef Py_ssize_t f = first, some, b, c, k, t, i, channels
    cdef const real_t *sums
    cdef real_t[32 * LISTED_FILTERS] transposed         # blocks are of 32 channels at most
    while f < last:
        some = min(LISTED_FILTERS, last - f)
        for b in range(self.blocks):
            c = b * self.block
            channels = min(self.block, g.C - c)
            for t in range(9):
                sums = <const real_t *>self.sums + (f * g.C + c) * 9 + t * channels
                transpose_rows(sums, some, channels, 9 * g.C, transposed, LISTED_FILTERS)
                for k in range(channels):
                    for i in range(some):
                        dweight[(t * g.C + c + k) * g.F + f + i] += transposed[k * LISTED_FILTERS + i]
        f += LISTED_FILTERS


