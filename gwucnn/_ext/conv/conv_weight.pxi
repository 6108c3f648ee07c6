# The gradient of a convolution with respect to its weights.
#
#   dweight[u, v, c, f] (+)= sum over n, i < OH, j < OW of
#                            x[n, i*SH + u*DH - top, j*SW + v*DW - left, c] * dy[n, i, j, f]
#
# Seen as a matrix, dweight has a row for each (u, v, c) and a column for each filter. A register tile holds up to 14
# rows (6 without AVX-512) by two vectors of filters and runs over all pixels of an image before it is added to memory. Rows of one tap
# are neighbouring channels; with few channels a tile combines taps and reads the offsets of its rows from a table.
#
# Each tile is computed by one thread, so the bits do not depend on the number of threads. Only where there are fewer
# tiles than threads (a first layer with one channel) are images divided into shares as well, whose sums are added in
# order.

cdef extern from "variants/kernels.h" nogil:
    void outer_tile(int m, const Outer *o, const void *x, const ptrdiff_t *value, const void *dy, void *dw,
                    Py_ssize_t lanes, bint overwrite)
    void scattered_outer_tile(int m, const Outer *o, const void *x, const ptrdiff_t *value, const void *dy, void *dw,
                              Py_ssize_t lanes, bint overwrite)

# Images of more than LARGE pixels are processed in strips of about STRIP_PIXELS: their values for one block of filters
# then stay in the first-level cache from tile to tile (56x56 images of 256 channels: 73 before, 140 GFLOP/s after).
cdef enum:
    LARGE = 1024
    STRIP_PIXELS = 256

# Small images that together with their gradients have at most so many bytes stay in the second-level cache from tile to
# tile: the gradients of the weights, often larger than any cache, are then traversed only once for all of them.
cdef enum:
    GROUP_BYTES = 1 << 19

# Size of an image's gradients that stay in the first-level cache.
cdef enum:
    FEW_BYTES = 1 << 15

# Below this many channels a tile of one tap would leave most registers empty.
cdef enum:
    FEW_CHANNELS = 8


cdef class Conv2DBackwardWeight(Step):
    """The gradient with respect to the weights; written to `dweight`, or added if `accumulate`."""

    cdef Geometry g
    cdef Outer walk
    cdef bint accumulate, padded, scattered
    cdef bint bordered              # whether images are copied with their border, for tiles that mix taps
    cdef Py_ssize_t height, width   # image with its border, as far as windows reach
    cdef Py_ssize_t Fg, Fgp         # filters of a group, rounded up to vectors if `padded`
    cdef Py_ssize_t flat_pixels
    cdef Py_ssize_t tile_rows, row_tiles, column_tiles
    cdef bint rows_adjacent                # whether tiles of the same rows follow each other
    cdef Py_ssize_t tile_shares, image_shares
    cdef Py_ssize_t first, last     # range of images being processed
    cdef Py_ssize_t strip_rows      # output rows that a tile runs over before its sums are added to memory
    cdef Py_ssize_t together        # images whose sums are added to a tile before the next tile
    cdef Py_ssize_t image_size, dy_size         # scratch elements per thread
    cdef ptrdiff_t *places          # (KH*KW*Cg,): of each row's value in an image
    cdef void *x
    cdef void *dy
    cdef void *dweight
    cdef void *image_scratch
    cdef void *partial              # (image_shares, dweight) where images are shared out

    def __init__(self, x, dy, dweight, strides, dilation, offset, Py_ssize_t groups, bint accumulate):
        cdef Geometry g = geometry_of(x.shape, dweight.shape, dy.shape, strides, dilation, offset, groups)
        cdef double operations = operations_of(&g)
        cdef Py_ssize_t Cg = g.C // groups, lanes
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.dweight = self.real(dweight, g.KH * g.KW * Cg * g.F, True)
        self.out = dweight
        self.accumulate = accumulate
        lanes = lanes_of(self.is_double)
        self.flatten(&g)
        self.g = g
        self.scattered = Cg < FEW_CHANNELS
        self.bordered = border_of(&g, &self.height, &self.width) and self.scattered
        if not self.bordered:
            self.width = g.W
        # A tile reads whole vectors of dy. Where the filters of a group end inside one, dy is copied with room.
        self.Fg = g.F // groups
        self.padded = self.Fg % lanes != 0
        self.Fgp = round_up(self.Fg, lanes)
        self.walk.images, self.walk.rows, self.walk.columns = 1, g.OH, g.OW
        self.walk.x_image, self.walk.dy_image = g.H * g.W * g.C, g.OH * g.OW * g.F
        self.walk.x_row, self.walk.x_pixel = g.SH * self.width * g.C, g.SW * g.C
        self.walk.dy_pixel = self.Fgp * groups
        self.walk.dy_row = g.OW * self.walk.dy_pixel
        self.walk.dw_step = g.F
        self.cut(operations, lanes)

    cdef int flatten(self, Geometry *g) except -1:
        """Treat a batch with 1x1 filters (a dense layer, say) as one row of pixels: tiles cross images."""
        cdef Py_ssize_t pixels = g.N * g.H * g.W, chunk
        if not (g.KH == g.KW == g.SH == g.SW == 1 and g.top == g.left == 0 and g.OH == g.H and g.OW == g.W):
            return 0
        # 256 pixels: their values for one tile, a cache line each, and their gradients fit the first-level cache.
        chunk = min(max(pixels, 1), 256)
        self.flat_pixels = pixels
        g.N = (pixels + chunk - 1) // chunk
        g.H = g.OH = 1
        g.W = g.OW = chunk
        return 0

    cdef int cut(self, double operations, Py_ssize_t lanes) except -1:
        """Divide the weights into tiles and the work into shares, and reserve memory."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t Cg = g.C // g.groups, rows = g.KH * g.KW * Cg, u, v, c, span = rows if self.scattered else Cg
        cdef Py_ssize_t tiles = (span + TILE_PIXELS - 1) // TILE_PIXELS
        self.tile_rows = (span + tiles - 1) // tiles
        self.row_tiles = tiles if self.scattered else tiles * g.KH * g.KW
        self.rows_adjacent = g.OH * g.OW * self.Fg * (8 if self.is_double else 4) <= FEW_BYTES
        self.column_tiles = (self.Fg + TILE_VECTORS * lanes - 1) // (TILE_VECTORS * lanes)
        tiles = self.row_tiles * self.column_tiles * g.groups
        self.tile_shares = min(tiles, self.max_threads) if tiles >= 4 * self.max_threads else 1
        self.image_shares = max(min(self.max_threads, g.N), 1) if self.tile_shares == 1 else 1
        self.places = <ptrdiff_t *>self.reserve(rows, sizeof(ptrdiff_t))
        for u in range(g.KH):
            for v in range(g.KW):
                for c in range(Cg):
                    self.places[(u * g.KW + v) * Cg + c] = (u * g.DH * self.width + v * g.DW) * g.C + c
                    if not self.bordered:
                        self.places[(u * g.KW + v) * Cg + c] -= (g.top * g.W + g.left) * g.C
        if self.bordered:
            self.image_size = round_up(self.height * self.width * g.C, 16)
        if self.padded:
            self.dy_size = round_up(g.OH * g.OW * self.walk.dy_pixel, 16)
        self.strip_rows = g.OH if g.OH * g.OW <= LARGE else max(STRIP_PIXELS // g.OW, 1)
        if not (self.bordered or self.padded or self.flat_pixels or self.strip_rows < g.OH):
            self.together = GROUP_BYTES // ((g.H * g.W * g.C + g.OH * g.OW * g.F) * (8 if self.is_double else 4))
        self.together = max(self.together, 1)
        self.image_scratch = self.reserve_reals(
            (self.image_size + self.dy_size) * self.tile_shares * self.image_shares)
        if self.image_shares > 1:
            self.partial = self.reserve_reals(self.image_shares * rows * g.F)
        self.units = max(g.N, 1)        # an empty batch has a gradient too: zero
        self.unit_cost = operations / self.units
        return 0

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t size = self.g.KH * self.g.KW * (self.g.C // self.g.groups) * self.g.F, share
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4
        if first == 0 and not self.accumulate and (self.image_shares > 1 or self.g.N == 0):
            memset(self.dweight, 0, size * itemsize)
        self.first, self.last = first, min(last, self.g.N)
        if self.image_shares == 1:
            self.split_among_threads(0, 0, self.tile_shares, threads)
            return
        memset(self.partial, 0, self.image_shares * size * itemsize)
        self.split_among_threads(0, 0, self.image_shares, threads)
        for share in range(self.image_shares):
            if self.is_double:
                add_to(<double *>self.dweight, <double *>self.partial + share * size, size)
            else:
                add_to(<float *>self.dweight, <float *>self.partial + share * size, size)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            weight_share(self, index, <double *>self.dweight)
        else:
            weight_share(self, index, <float *>self.dweight)


cdef inline void add_to(real_t *sums, const real_t *terms, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(size):
        sums[k] += terms[k]


cdef void weight_share(
    Conv2DBackwardWeight self,
    Py_ssize_t share,               # of the tiles, or of the images
    real_t *dweight,                # (KH*KW*Cg, F)                                       INOUT
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t tiles = self.row_tiles * self.column_tiles * g.groups, images = self.last - self.first
    cdef Py_ssize_t first_tile = tiles * share // self.tile_shares, last_tile = tiles * (share + 1) // self.tile_shares
    cdef Py_ssize_t first = self.first, last = self.last
    cdef real_t *image_copy = <real_t *>self.image_scratch + share * (self.image_size + self.dy_size)
    cdef real_t *dy_copy = image_copy + self.image_size
    cdef const real_t *x
    cdef const real_t *dy
    cdef Outer walk = self.walk
    cdef Py_ssize_t n, tile, row
    cdef bint overwrite = self.image_shares == 1 and not self.accumulate
    if self.image_shares > 1:
        first_tile, last_tile = 0, tiles
        first += images * share // self.image_shares
        last = self.first + images * (share + 1) // self.image_shares
        dweight = <real_t *>self.partial + share * (g.KH * g.KW * (g.C // g.groups) * g.F)
    n = first
    while n < last:
        x = <const real_t *>self.x + n * walk.x_image
        dy = <const real_t *>self.dy + n * walk.dy_image
        walk.images = min(self.together, last - n)
        if self.flat_pixels:
            walk.columns = min(g.OW, self.flat_pixels - n * g.OW)
        if self.bordered:
            copy_with_border(x, image_copy, g.H, g.W, g.C, 0, self.height, self.width, g.top, g.left)
            x = image_copy
        if self.padded:
            pad_filters(dy, dy_copy, g.OH * walk.columns * g.groups, self.Fg, self.Fgp)
            dy = dy_copy
        row = 0
        while row < g.OH:
            walk.rows = min(self.strip_rows, g.OH - row)
            for tile in range(first_tile, last_tile):
                weight_tile(self, &walk, tile, row, x, dy, dweight, overwrite and n == 0 and row == 0)
            row += self.strip_rows
        n += walk.images


cdef inline void weight_tile(Conv2DBackwardWeight self, const Outer *strip, Py_ssize_t tile, Py_ssize_t first_row,
                             const real_t *x, const real_t *dy, real_t *dweight, bint overwrite) noexcept nogil:
    """Add the products of output rows from `first_row` on to a tile of the gradient, or overwrite it if `overwrite`."""
    # Tiles of one block of filters follow each other, so that its gradients stay in the first-level cache; if those of
    # all filters fit, tiles of the same rows, which are adjacent in memory.
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double)
    cdef Py_ssize_t column_tile = (tile if self.rows_adjacent else tile // self.row_tiles) % self.column_tiles
    cdef Py_ssize_t row_tile = (tile // self.column_tiles if self.rows_adjacent else tile) % self.row_tiles
    cdef Py_ssize_t block = column_tile * TILE_VECTORS * lanes
    cdef Py_ssize_t group = tile // (self.row_tiles * self.column_tiles)
    cdef Py_ssize_t Cg = g.C // g.groups, row, rows, of_tap, tap, first = first_row, left = 0
    cdef Outer walk = strip[0]
    if self.scattered:
        row = row_tile * self.tile_rows
        rows = min(self.tile_rows, g.KH * g.KW * Cg - row)
    else:
        of_tap = self.row_tiles // (g.KH * g.KW)
        tap = row_tile // of_tap
        row = row_tile % of_tap * self.tile_rows
        rows = min(self.tile_rows, Cg - row)
        row += tap * Cg
        # Only pixels of the image: a tap of a 3x3 filter meets 9 of 16 in a corner of a 4x4 image.
        clip_to_image(first_row, first_row + strip.rows, tap // g.KW * g.DH - g.top, g.SH, g.H, &first, &walk.rows)
        clip_to_image(0, strip.columns, tap % g.KW * g.DW - g.left, g.SW, g.W, &left, &walk.columns)
    if rows <= 0:
        return
    x += first * walk.x_row + left * walk.x_pixel + group * Cg
    dy += first * walk.dy_row + left * walk.dy_pixel + group * self.Fgp + block
    dweight += row * g.F + group * self.Fg + block
    block = min(self.Fg - block, TILE_VECTORS * lanes)
    if self.scattered:
        scattered_outer_tile(<int>rows, &walk, x, self.places + row, dy, dweight, block, overwrite)
    else:
        outer_tile(<int>rows, &walk, x, self.places + row, dy, dweight, block, overwrite)


cdef inline void clip_to_image(Py_ssize_t low, Py_ssize_t high, Py_ssize_t shift, Py_ssize_t stride, Py_ssize_t size,
                        Py_ssize_t *first, Py_ssize_t *count) noexcept nogil:
    """Set which of the outputs low <= i < high have 0 <= i * stride + shift < size."""
    first[0] = max(low, (-shift + stride - 1) // stride if shift < 0 else 0)
    high = min(high, (size - 1 - shift) // stride + 1 if shift < size else 0)
    count[0] = max(high - first[0], 0)


cdef inline void pad_filters(
    const real_t *narrow,           # (rows, Fg)                                          IN
    real_t *wide,                   # (rows, Fgp), the rest zero                          OUT
    Py_ssize_t rows, Py_ssize_t Fg, Py_ssize_t Fgp,
) noexcept nogil:
    cdef Py_ssize_t r, f
    for r in range(rows):
        for f in range(Fg):
            wide[r * Fgp + f] = narrow[r * Fg + f]
        for f in range(Fg, Fgp):
            wide[r * Fgp + f] = 0
