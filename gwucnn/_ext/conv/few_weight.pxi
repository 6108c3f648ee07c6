# The gradient of a convolution with respect to the weights of a few filters, where conv_weight.pxi with its lanes over
# filters would leave most of them idle. One group.
#
# Many channels: the roles of images and gradients are exchanged. A tile's vectors run over channels of x, its rows
# over (u, v, f), and the gradients are looked up where the border is:
#
#   dweight[u, v, c, f] (+)= sum over n, h, w of x[n, h, w, c] * dy[n, (h + top - u*DH) / SH, (w + left - v*DW) / SW, f]
#
# with dy zero outside: a NaN at the edge of x reaches all taps of its channel. Pixels of one phase, (h + top) % SH and
# (w + left) % SW, use the same taps, as in Conv2DBackwardInput.
#
# Few channels: lanes run over the outputs of a row, pixel after pixel, as in few_outputs.pxi, and are added up at the
# end. Filters are padded to 1, 2, 4 or 8, so that a lane always belongs to one filter.
#
# The weights are few, so images are divided among threads, and each thread's sums are added in order.

cdef extern from "variants/kernels.h" nogil:
    void spread_outer(Py_ssize_t taps, const Outer *o, const void *x, const ptrdiff_t *tap, const void *dy,
                      void *sums, Py_ssize_t lanes)


cdef class FewFiltersBackwardWeight(Step):
    """The base class of both algorithms, which differ in `some_images` and `collect`."""

    cdef Geometry g
    cdef bint accumulate
    cdef Py_ssize_t shares, sums    # sums of one share
    cdef Py_ssize_t first, last     # images at work
    cdef void *x
    cdef void *dy
    cdef void *dweight
    cdef void *partial              # (shares, sums)

    cdef int hold(self, x, dy, dweight, strides, dilation, offset, bint accumulate) except -1:
        cdef Geometry g = geometry_of(x.shape, dweight.shape, dy.shape, strides, dilation, offset, 1)
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.dweight = self.real(dweight, g.KH * g.KW * g.C * g.F, True)
        self.out = dweight
        self.accumulate = accumulate
        self.g = g
        self.shares = max(min(self.max_threads, g.N), 1)
        self.units = max(g.N, 1)        # an empty batch has a gradient too: zero
        self.unit_cost = operations_of(&g) / self.units
        return 0

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4, share
        if first == 0 and not self.accumulate:
            memset(self.dweight, 0, self.g.KH * self.g.KW * self.g.C * self.g.F * itemsize)
        self.first, self.last = first, min(last, self.g.N)
        memset(self.partial, 0, self.shares * self.sums * itemsize)
        self.split_among_threads(0, 0, self.shares, threads)
        for share in range(self.shares):
            self.collect(share)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t images = self.last - self.first
        self.some_images(index, self.first + images * index // self.shares,
                         self.first + images * (index + 1) // self.shares)

    cdef void some_images(self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """Add the products of images `first` to `last` to the sums of a share."""

    cdef void collect(self, Py_ssize_t share) noexcept nogil:
        """Add the sums of a share to dweight."""


cdef struct Phase:
    Outer walk
    Py_ssize_t first, rows          # rows of the sums
    Py_ssize_t x_first              # its first pixel in an image


cdef class ChannelsBackwardWeight(FewFiltersBackwardWeight):
    """Vectors run over channels."""

    cdef Phase *phases
    cdef Py_ssize_t phase_count
    cdef Py_ssize_t met             # rows of the sums: a tap that meets no pixel of a small image has none
    cdef Py_ssize_t height, width, top, left    # dy with its border
    cdef bint bordered, padded
    cdef Py_ssize_t Cp              # channels, rounded up to vectors
    cdef Py_ssize_t dy_size, x_size # scratch numbers a share
    cdef ptrdiff_t *places          # (rows,): of each row's value in dy
    cdef ptrdiff_t *targets         # (rows,): of each row's first channel in dweight
    cdef void *copies

    def __init__(self, x, dy, dweight, strides, dilation, offset, bint accumulate):
        self.hold(x, dy, dweight, strides, dilation, offset, accumulate)
        cdef Geometry *g = &self.g
        cdef Py_ssize_t rows = g.KH * g.KW * g.F, row = 0, h, w, p = 0
        self.top = max((g.KH - 1) * g.DH // g.SH - g.top // g.SH, 0)
        self.left = max((g.KW - 1) * g.DW // g.SW - g.left // g.SW, 0)
        self.height = self.top + (g.H - 1 + g.top) // g.SH + 1
        self.width = self.left + (g.W - 1 + g.left) // g.SW + 1
        self.bordered = self.top > 0 or self.left > 0 or self.height > g.OH or self.width > g.OW
        if self.bordered:
            self.dy_size = round_up(self.height * self.width * g.F, 16)
        else:
            self.width = g.OW
        self.Cp = round_up(g.C, lanes_of(self.is_double))
        self.padded = self.Cp != g.C
        if self.padded:
            self.x_size = g.H * g.W * self.Cp
        self.phase_count = min(g.SH, g.H) * min(g.SW, g.W)
        self.phases = <Phase *>self.reserve(self.phase_count, sizeof(Phase))
        self.places = <ptrdiff_t *>self.reserve(rows, sizeof(ptrdiff_t))
        self.targets = <ptrdiff_t *>self.reserve(rows, sizeof(ptrdiff_t))
        for h in range(min(g.SH, g.H)):
            for w in range(min(g.SW, g.W)):
                row = self.lay_out(&self.phases[p], h, w, row)
                p += 1
        self.met = row
        self.sums = row * g.C
        self.partial = self.reserve_reals(self.shares * self.sums)
        self.copies = self.reserve_reals(self.shares * (self.dy_size + self.x_size))

    cdef Py_ssize_t lay_out(self, Phase *phase, Py_ssize_t h, Py_ssize_t w, Py_ssize_t row) noexcept nogil:
        """Describe the phase whose first pixel is (h, w) and whose sums begin with `row`; return where they end."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t u, v, f, i, j, up = g.OH, down = -g.H, left = g.OW, right = -g.W, rows, columns
        phase.first = row
        for u in range(g.KH):
            i = tap_shift(u * g.DH, h + g.top, g.SH)
            for v in range(g.KW):
                j = tap_shift(v * g.DW, w + g.left, g.SW)
                if i == NO_TAP or j == NO_TAP:
                    continue
                up, down, left, right = min(up, i), max(down, i), min(left, j), max(right, j)
                for f in range(g.F):
                    self.places[row] = ((i + self.top) * self.width + j + self.left) * g.F + f
                    self.targets[row] = (u * g.KW + v) * g.C * g.F + f
                    row += 1
        phase.rows = row - phase.first
        # Pixels that no window reaches stay out, as a NaN may stand there: the first (down, right) and the last.
        down, right = max(-down, 0), max(-right, 0)
        rows, columns = (g.H - h + g.SH - 1) // g.SH, (g.W - w + g.SW - 1) // g.SW
        phase.walk.rows, phase.walk.columns = min(rows, g.OH - up) - down, min(columns, g.OW - left) - right
        phase.x_first = ((h + down * g.SH) * g.W + w + right * g.SW) * self.Cp
        for i in range(phase.first, row):
            self.places[i] += (down * self.width + right) * g.F
        phase.walk.x_row, phase.walk.x_pixel = self.width * g.F, g.F
        phase.walk.dy_row, phase.walk.dy_pixel = g.SH * g.W * self.Cp, g.SW * self.Cp
        phase.walk.images, phase.walk.dw_step = 1, g.C
        return row

    cdef void some_images(self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            channels_share(self, share, first, last, <double *>self.x, <double *>self.dy)
        else:
            channels_share(self, share, first, last, <float *>self.x, <float *>self.dy)

    cdef void collect(self, Py_ssize_t share) noexcept nogil:
        if self.is_double:
            add_transposed(self, <double *>self.partial + share * self.sums, <double *>self.dweight)
        else:
            add_transposed(self, <float *>self.partial + share * self.sums, <float *>self.dweight)


cdef void channels_share(ChannelsBackwardWeight self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last,
                         const real_t *x, const real_t *dy) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef real_t *dy_copy = <real_t *>self.copies + share * (self.dy_size + self.x_size)
    cdef real_t *x_copy = dy_copy + self.dy_size
    cdef real_t *sums = <real_t *>self.partial + share * self.sums
    cdef const real_t *image
    cdef const real_t *gradient
    cdef Py_ssize_t n, p
    for n in range(first, last):
        image, gradient = x + n * g.H * g.W * g.C, dy + n * g.OH * g.OW * g.F
        if self.padded:
            pad_filters(image, x_copy, g.H * g.W, g.C, self.Cp)
            image = x_copy
        if self.bordered:
            copy_with_border(gradient, dy_copy, g.OH, g.OW, g.F, 0, self.height, self.width, self.top, self.left)
            gradient = dy_copy
        for p in range(self.phase_count):
            phase_sums(self, &self.phases[p], image, gradient, sums)


cdef inline void phase_sums(ChannelsBackwardWeight self, const Phase *phase, const real_t *x, const real_t *dy,
                            real_t *sums) noexcept nogil:
    cdef Py_ssize_t block = TILE_VECTORS * lanes_of(real_t is double), c, row, C = self.g.C
    cdef Py_ssize_t rows = even_share(phase.rows, TILE_PIXELS), last = phase.first + phase.rows
    c = 0
    while c < C:
        row = phase.first
        while row < last:
            scattered_outer_tile(<int>min(rows, last - row), &phase.walk, dy, self.places + row,
                                 x + phase.x_first + c, sums + row * C + c, min(C - c, block), False)
            row += rows
        c += block


cdef inline void add_transposed(ChannelsBackwardWeight self, const real_t *sums, real_t *dweight) noexcept nogil:
    cdef Py_ssize_t row, c, F = self.g.F, C = self.g.C
    cdef real_t *to
    for row in range(self.met):
        to = dweight + self.targets[row]
        for c in range(C):
            to[c * F] += sums[row * C + c]


cdef class PixelsBackwardWeight(FewFiltersBackwardWeight):
    """Lanes run over the outputs of a row, at least a vector of them."""

    cdef Spread spread
    cdef Outer walk
    cdef Py_ssize_t Fp              # filters, filled up
    cdef Py_ssize_t height, reach, strip_rows
    cdef Py_ssize_t x_size, dy_size # scratch numbers a share
    cdef ptrdiff_t *taps            # (KH*KW*C,): places in the copy of x
    cdef void *copies

    def __init__(self, x, dy, dweight, strides, dilation, offset, bint accumulate):
        self.hold(x, dy, dweight, strides, dilation, offset, accumulate)
        cdef Geometry *g = &self.g
        cdef Spread *s = &self.spread
        cdef Py_ssize_t lanes = lanes_of(self.is_double), rows = g.KH * g.KW * g.C, u, v, c
        self.Fp = 1
        while self.Fp < g.F:
            self.Fp *= 2
        if self.Fp > lanes or g.OW * self.Fp < lanes:
            raise ValueError("PixelsBackwardWeight: expected rows of outputs of at least one vector")
        s.H, s.W, s.C, s.top, s.left = g.H, g.W, g.C, g.top, g.left
        s.bordered = border_of(g, &self.height, &s.width)
        set_spread(s, g.SW, self.Fp)
        self.reach = (g.KH - 1) * g.DH + 1
        self.strip_rows = min(g.OH, max(STRIP_BYTES // (s.pitch * g.SH * (8 if self.is_double else 4)), 4))
        self.walk.x_row, self.walk.dy_row = g.SH * s.pitch, g.OW * self.Fp
        self.taps = <ptrdiff_t *>self.reserve(rows, sizeof(ptrdiff_t))
        for u in range(g.KH):
            for v in range(g.KW):
                for c in range(g.C):
                    self.taps[(u * g.KW + v) * g.C + c] = spread_place(s, u * g.DH, v * g.DW, c)
        if s.copies:
            self.x_size = round_up(((self.strip_rows - 1) * g.SH + self.reach) * s.pitch, 16)
        if self.Fp != g.F:
            self.dy_size = round_up(self.strip_rows * g.OW * self.Fp, 16)
        self.sums = rows * lanes
        self.partial = self.reserve_reals(self.shares * self.sums)
        self.copies = self.reserve_reals(self.shares * (self.x_size + self.dy_size))

    cdef void some_images(self, Py_ssize_t share, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef Py_ssize_t n, row
        for n in range(first, last):
            row = 0
            while row < self.g.OH:
                if self.is_double:
                    pixels_strip(self, share, n, row, <double *>self.x, <double *>self.dy)
                else:
                    pixels_strip(self, share, n, row, <float *>self.x, <float *>self.dy)
                row += self.strip_rows

    cdef void collect(self, Py_ssize_t share) noexcept nogil:
        if self.is_double:
            add_lanes(self, <double *>self.partial + share * self.sums, <double *>self.dweight)
        else:
            add_lanes(self, <float *>self.partial + share * self.sums, <float *>self.dweight)


cdef void pixels_strip(PixelsBackwardWeight self, Py_ssize_t share, Py_ssize_t n, Py_ssize_t first_row,
                       const real_t *x, const real_t *dy) noexcept nogil:
    """Add the products of output rows of image n from `first_row` on to the sums of a share."""
    cdef Geometry *g = &self.g
    cdef real_t *x_copy = <real_t *>self.copies + share * (self.x_size + self.dy_size)
    cdef real_t *dy_copy = x_copy + self.x_size
    cdef real_t *sums = <real_t *>self.partial + share * self.sums
    cdef Py_ssize_t lanes = lanes_of(real_t is double), length = g.OW * self.Fp, taps = g.KH * g.KW * g.C, p, at
    cdef Outer walk = self.walk
    walk.rows = min(self.strip_rows, g.OH - first_row)
    x += n * g.H * g.W * g.C
    dy += (n * g.OH + first_row) * g.OW * g.F
    if self.spread.copies:
        spread_strip(&self.spread, x, x_copy, first_row * g.SH, (walk.rows - 1) * g.SH + self.reach)
        x = x_copy
    else:
        x += first_row * walk.x_row
    if self.Fp != g.F:
        pad_filters(dy, dy_copy, walk.rows * g.OW, g.F, self.Fp)
        dy = dy_copy
    p = 0
    while p < length:
        # The last vector ends with the row, and its lanes that came before are left out.
        at = min(p, length - lanes)
        spread_outer(taps, &walk, x + at, self.taps, dy + at, sums, length - p)
        p += lanes


cdef inline void add_lanes(PixelsBackwardWeight self, const real_t *sums, real_t *dweight) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), row, f, k, F = self.g.F
    cdef real_t total
    for row in range(self.g.KH * self.g.KW * self.g.C):
        for f in range(F):
            total = 0
            for k in range(lanes // self.Fp):
                total += sums[row * lanes + k * self.Fp + f]
            dweight[row * F + f] += total
