# The gradient by weights and bias of a convolution with 2x2 max pooling, with or without relu between, from the pooled gradient and the
# winner bytes.
#
#   dweight[u, v, c, f] += sum over winners q of filter f of g[q] * x[window of q + (u, v), c]
#   dbias[f] += sum over winners q of filter f of g[q]
#
# For each image and filter the winners are listed, then one tile of 9 taps by two vectors of channels runs over the
# list. Images are taken some at a time, so that they stay in the second-level cache while all filters pass.
#
# Threads own filters, so no sum is split by their number (but work that pauses to look for Ctrl-C is cut into pieces,
# whose length depends on it, and each piece's sums are added by themselves).

# Filters whose lists are made in one pass over an image, and bytes of images that share a pass over the filters.
cdef enum:
    LISTED_FILTERS = 16
cdef Py_ssize_t IMAGES_BYTES = 1 << 19


cdef class WinnerBackwardWeight(Step):
    """For 3x3 filters, channels in whole vectors, one group. Adds to dweight, and to dbias if there is one."""

    cdef Geometry g                 # OH, OW: twice the pooled size
    cdef Py_ssize_t height, width, image_size
    cdef bint bordered
    cdef Py_ssize_t shares          # threads that share the filters
    cdef Py_ssize_t first, last     # units at work
    cdef Py_ssize_t images          # that are taken together
    cdef Py_ssize_t share_size      # scratch numbers a share
    cdef Py_ssize_t list_size
    cdef void *x
    cdef void *dy
    cdef uint8_t *winner
    cdef void *dweight
    cdef void *dbias
    cdef void *copies               # (shares, images, height, width, C) if bordered
    cdef void *gradients            # (shares, LISTED_FILTERS, list_size)
    cdef int *places                # likewise
    cdef void *sums                 # (F, blocks of channels, 9, lanes of a block)

    def __init__(self, x, dy, winner, dweight, dbias, strides, offset):
        cdef Geometry g = pooled_geometry(x.shape, dweight.shape, dy.shape, strides, (1, 1), offset, 1)
        cdef Py_ssize_t image_bytes
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
        self.bordered = border_of(&g, &self.height, &self.width)
        self.image_size = self.height * self.width * g.C
        if self.image_size >= 1 << 31:
            raise ValueError("WinnerBackwardWeight: expected images of less than 2**31 numbers")
        image_bytes = max(self.image_size * (8 if self.is_double else 4), 1)
        self.images = max(min(IMAGES_BYTES // image_bytes, g.N), 1)
        self.shares = max(min(self.max_threads, g.F), 1)
        self.list_size = g.OH * g.OW // 4 + lanes_of(self.is_double)
        if self.bordered:
            self.copies = self.reserve_reals(self.shares * self.images * self.image_size)
        self.gradients = self.reserve_reals(self.shares * LISTED_FILTERS * self.list_size)
        self.places = <int *>self.reserve(self.shares * LISTED_FILTERS * self.list_size, sizeof(int))
        self.sums = self.reserve_reals(9 * g.C * g.F)
        self.units = max((g.N + self.images - 1) // self.images, 1)
        self.unit_cost = operations_of(&g) / 4 / self.units

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        self.first, self.last = first, last
        self.share_out(0, 0, self.shares, threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            winner_weight_share(self, index, self.first, self.last, <double *>self.x, <double *>self.dy)
        else:
            winner_weight_share(self, index, self.first, self.last, <float *>self.x, <float *>self.dy)


cdef void winner_weight_share(WinnerBackwardWeight self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last,
                              const real_t *x, const real_t *dy) noexcept nogil:
    """Do some units of images for the filters of one share."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t first_filter = g.F * share // self.shares, last_filter = g.F * (share + 1) // self.shares
    cdef Py_ssize_t unit, n, k, f, at, count, pixels = g.OH * g.OW // 4
    cdef real_t *copies = <real_t *>self.copies + share * self.images * self.image_size
    cdef real_t *sums = <real_t *>self.sums
    cdef const real_t *image
    memset(sums + first_filter * 9 * g.C, 0, (last_filter - first_filter) * 9 * g.C * sizeof(real_t))
    for unit in range(first, last):
        n = unit * self.images
        count = min(self.images, g.N - n)
        if self.bordered:
            for k in range(count):
                copy_with_border(x + (n + k) * g.H * g.W * g.C, copies + k * self.image_size, g.H, g.W, g.C, 0,
                                 self.height, self.width, g.top, g.left)
        f = first_filter
        while f < last_filter:
            for k in range(count):
                if self.bordered:
                    image = copies + k * self.image_size
                else:
                    image = x + (n + k) * g.H * g.W * g.C
                at = (n + k) * pixels * g.F
                winner_weight_filters(self, share, f, min(LISTED_FILTERS, last_filter - f), image, dy + at,
                                      self.winner + at)
            f += LISTED_FILTERS
    add_winner_sums(self, first_filter, last_filter, <real_t *>self.dweight)


cdef void winner_weight_filters(
    WinnerBackwardWeight self,
    Py_ssize_t share,
    Py_ssize_t f, Py_ssize_t filters,           # the first one and how many
    const real_t *x,                # (height, width, C): one image                       IN
    const real_t *dy,               # (PH, PW, F)                                         IN
    const uint8_t *winner,          # (PH, PW, F)                                         IN
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), below = self.width * g.C * g.SH, c = 0, k, vectors
    cdef real_t *gradients = <real_t *>self.gradients + share * LISTED_FILTERS * self.list_size
    cdef int *places = self.places + share * LISTED_FILTERS * self.list_size
    cdef int[LISTED_FILTERS] counts
    if real_t is float:
        list_windows_f32(g.OH // 2, g.OW // 2, filters, dy + f, winner + f, g.F, below, g.C * g.SW, self.list_size,
                         counts, places, gradients)
    else:
        list_windows_f64(g.OH // 2, g.OW // 2, filters, dy + f, winner + f, g.F, below, g.C * g.SW, self.list_size,
                         counts, places, gradients)
    while c < g.C:
        vectors = min(WINNER_VECTORS, (g.C - c) // lanes)
        for k in range(filters):
            winner_weight_tile(<int>vectors, counts[k], places + k * self.list_size, gradients + k * self.list_size,
                               x + c, self.width * g.C, g.C, <real_t *>self.sums + (f + k) * 9 * g.C + 9 * c)
        c += vectors * lanes
    if self.dbias != NULL:
        for k in range(filters):
            if real_t is float:
                (<float *>self.dbias)[f + k] += sum_list_f32(counts[k], gradients + k * self.list_size)
            else:
                (<double *>self.dbias)[f + k] += sum_list_f64(counts[k], gradients + k * self.list_size)


cdef void add_winner_sums(WinnerBackwardWeight self, Py_ssize_t first, Py_ssize_t last, real_t *dweight) noexcept nogil:
    # Each block of channels lies as (9, lanes of the block); dweight is (3, 3, C, F).
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), f, t, c, k, width
    cdef const real_t *sums = <const real_t *>self.sums
    c = 0
    while c < g.C:
        width = min(WINNER_VECTORS, (g.C - c) // lanes) * lanes
        for t in range(9):
            for k in range(width):
                for f in range(first, last):
                    dweight[(t * g.C + c + k) * g.F + f] += sums[f * 9 * g.C + 9 * c + t * width + k]
        c += width


cdef inline void winner_weight_tile(int vectors, Py_ssize_t count, const int *at, const real_t *g, const real_t *x,
                                    Py_ssize_t x_row, Py_ssize_t x_pixel, real_t *dw) noexcept nogil:
    if real_t is float:
        winner_weight_tile_f32(vectors, count, at, g, x, x_row, x_pixel, dw)
    else:
        winner_weight_tile_f64(vectors, count, at, g, x, x_row, x_pixel, dw)
