# The gradient with respect to weights and bias of a convolution with 2x2 max pooling for images of few channels, from
# the pooled gradient and the winner bytes: winner_weight.pxi does the same with lists of winners, which here would cost
# more than they save. Vectors run over filters, and a mask of the winner bytes selects the pixel that each gradient
# goes to.
#
# The weights are few, so images are divided among threads, and each thread's sums are added in order.

cdef extern from "variants/kernels.h" nogil:
    void masked_outer_tile(int m, const Outer *o, const void *x, const ptrdiff_t *value, const void *dy,
                           const uint8_t *winner, void *dw, Py_ssize_t lanes)


cdef class MaskedBackwardWeight(Step):
    """For any filter size, whole vectors of filters, one group. Adds to dweight, and to dbias if not NULL."""

    cdef Geometry g
    cdef Outer walk
    cdef Py_ssize_t height, width, image_size, tiles, tile_rows, shares, size
    cdef Py_ssize_t first, last     # images at work
    cdef bint bordered
    cdef ptrdiff_t *places          # (KH*KW*C,): of each weight row's value in an image
    cdef void *x
    cdef void *dy
    cdef uint8_t *winner
    cdef void *dweight
    cdef void *dbias
    cdef void *copies               # (shares, height, width, C) if bordered
    cdef void *partial              # (shares, KH*KW*C + 1, F)

    def __init__(self, x, dy, winner, dweight, dbias, strides, dilation, offset):
        cdef Geometry g = pooled_geometry(x.shape, dweight.shape, dy.shape, strides, dilation, offset, 1)
        cdef Py_ssize_t u, v, c, rows = g.KH * g.KW * g.C
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW // 4 * g.F, False)
        self.winner = <uint8_t *>self.other(winner, g.N * g.OH * g.OW // 4 * g.F, 1, False)
        self.dweight = self.real(dweight, rows * g.F, True)
        if dbias is not None:
            self.dbias = self.real(dbias, g.F, True)
        self.out = dweight
        if g.F % lanes_of(self.is_double):
            raise ValueError("MaskedBackwardWeight: expected filters in whole vectors")
        self.g = g
        self.bordered = border_of(&g, &self.height, &self.width)
        self.image_size = self.height * self.width * g.C
        self.walk.rows, self.walk.columns = g.OH // 2, g.OW // 2
        self.walk.x_row, self.walk.x_pixel = g.SH * self.width * g.C, g.SW * g.C
        self.walk.dy_pixel = self.walk.dw_step = g.F
        self.walk.dy_row = g.OW // 2 * g.F
        self.tiles = (rows + TILE_PIXELS - 1) // TILE_PIXELS
        self.tile_rows = (rows + self.tiles - 1) // self.tiles
        self.places = <ptrdiff_t *>self.reserve(rows, sizeof(ptrdiff_t))
        for u in range(g.KH):
            for v in range(g.KW):
                for c in range(g.C):
                    self.places[(u * g.KW + v) * g.C + c] = (u * g.DH * self.width + v * g.DW) * g.C + c
        # Images are shared out, each thread has sums of its own, added in order: the weights are few.
        self.shares = max(min(self.max_threads, g.N), 1)
        self.size = (rows + 1) * g.F
        self.partial = self.reserve_reals(self.shares * self.size)
        if self.bordered:
            self.copies = self.reserve_reals(self.shares * self.image_size)
        self.units = max(g.N, 1)
        self.unit_cost = operations_of(&g) / self.units

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t share
        self.first, self.last = first, min(last, self.g.N)
        self.split_among_threads(0, 0, self.shares, threads)
        for share in range(self.shares):
            if self.is_double:
                add_share(self, <double *>self.partial + share * self.size, <double *>self.dweight,
                          <double *>self.dbias)
            else:
                add_share(self, <float *>self.partial + share * self.size, <float *>self.dweight, <float *>self.dbias)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            masked_share(self, index, self.first, self.last, <double *>self.x, <double *>self.dy)
        else:
            masked_share(self, index, self.first, self.last, <float *>self.x, <float *>self.dy)


cdef void masked_share(MaskedBackwardWeight self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last,
                       const real_t *x, const real_t *dy) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), n, f, tile, row, p, k, rows = g.KH * g.KW * g.C
    cdef Py_ssize_t pixels = g.OH * g.OW // 4
    cdef real_t *dweight = <real_t *>self.partial + share * self.size
    cdef real_t *dbias = dweight + rows * g.F
    cdef real_t *copy = <real_t *>self.copies + share * self.image_size
    cdef const real_t *image
    cdef const real_t *d
    cdef const uint8_t *winner
    memset(dweight, 0, self.size * sizeof(real_t))
    for n in range(first + (last - first) * share // self.shares, first + (last - first) * (share + 1) // self.shares):
        image, d, winner = x + n * g.H * g.W * g.C, dy + n * pixels * g.F, self.winner + n * pixels * g.F
        if self.bordered:
            copy_with_border(image, copy, g.H, g.W, g.C, 0, self.height, self.width, g.top, g.left)
            image = copy
        for tile in range(self.tiles):
            row = tile * self.tile_rows
            f = 0
            while f < g.F:
                masked_outer_tile(<int>min(self.tile_rows, rows - row), &self.walk, image, self.places + row, d + f,
                                  winner + f, dweight + row * g.F + f, min(g.F - f, TILE_VECTORS * lanes))
                f += TILE_VECTORS * lanes
        for p in range(pixels):
            for k in range(g.F):
                dbias[k] += d[p * g.F + k] if winner[p * g.F + k] < 4 else 0


cdef void add_share(MaskedBackwardWeight self, const real_t *partial, real_t *dweight, real_t *dbias) noexcept nogil:
    cdef Py_ssize_t k, size = self.size - self.g.F
    for k in range(size):
        dweight[k] += partial[k]
    if dbias != NULL:
        for k in range(self.g.F):
            dbias[k] += partial[size + k]


