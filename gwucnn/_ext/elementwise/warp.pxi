# Images moved, turned, stretched and flipped: each pixel of y is taken from where a matrix m of its image says,
#
#   r = m[0]*i + m[1]*j + m[2],   c = m[3]*i + m[4]*j + m[5]                    i, j: row and column in y; r, c: in x
#
# and mixed from the four pixels of x around (r, c), nearer ones more. A copy of the image with a border one pixel wide
# stands in for all that lies outside: coordinates are cut off at the border, so that nothing else need be asked and a
# row is done in vectors. Of coordinates beyond it (NaN counts as such) only the border is mixed.
#
# The gradient goes the same way back: each pixel of dy adds to the four pixels that it was mixed from, in a copy whose
# border is then left behind. An image is a unit of work, so that sums have one order, whatever the number of threads.

cdef class Warping(Step):
    cdef Py_ssize_t H, W, C, pixels         # pixels of the copy, border and all
    cdef Py_ssize_t place                   # numbers of a thread's copy, in whole cache lines
    cdef void *from_                        # (N, H, W, C)                                        IN
    cdef void *to                           # (N, H, W, C)                                        OUT
    cdef void *matrix                       # (N, 2, 3)                                           IN
    cdef void *copies                       # (threads, place)
    cdef void *down                         # (threads, W): how far below the upper of the two rows
    cdef void *across                       # (threads, W): how far right of the left of the two columns
    cdef int32_t *at                        # (threads, W): the first of the four pixels

    def __init__(self, x, matrices, y):
        cdef Py_ssize_t N
        N, self.H, self.W, self.C = x.shape
        self.pixels = (self.H + 2) * (self.W + 2)
        if self.pixels > 2147483647 or self.C < 1:
            raise ValueError(f"expected a channel, and less than 2**31 pixels in an image, got {x.shape}")
        self.from_ = self.real(x, N * self.H * self.W * self.C, False)
        self.matrix = self.real(matrices, N * 6, False)
        self.to = self.real(y, N * self.H * self.W * self.C, True)
        self.place = (self.pixels * self.C + 15) // 16 * 16
        self.copies = self.reserve_reals(self.max_threads * self.place)
        self.down = self.reserve_reals(self.max_threads * self.W)
        self.across = self.reserve_reals(self.max_threads * self.W)
        self.at = <int32_t *>self.reserve(self.max_threads * self.W, sizeof(int32_t))
        self.out = y
        self.units = N
        self.unit_cost = self.H * self.W * (600.0 + 150.0 * self.C)

    cdef void fill(self, double value) noexcept nogil:
        if self.is_double:
            fill_with(<double *>self.copies, self.max_threads * self.place, value)
        else:
            fill_with(<float *>self.copies, self.max_threads * self.place, <float>value)


cdef void fill_with(real_t *x, Py_ssize_t count, real_t value) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        x[k] = value


cdef void find_places(
    const real_t *m,                # (2, 3)                                              IN
    Py_ssize_t i, int32_t H, int32_t W,
    int32_t *at,                    # (W)                                                 OUT
    real_t *down,                   # (W)                                                 OUT
    real_t *across,                 # (W)                                                 OUT
) noexcept nogil:
    # Coordinates in the copy, in double: in an image of a thousand columns float32 would miss by a ten-thousandth of a
    # pixel. The last pair of rows is (H, H + 1), so that all four pixels are in the copy.
    cdef double r0 = <double>m[0] * i + m[2] + 1, c0 = <double>m[3] * i + m[5] + 1, r_step = m[1], c_step = m[4], r, c
    cdef int32_t j, row, column
    for j in range(W):
        r, c = r0 + r_step * j, c0 + c_step * j
        r = r if r > 0 else 0
        c = c if c > 0 else 0
        r = r if r < H + 1 else H + 1
        c = c if c < W + 1 else W + 1
        row, column = <int32_t>r, <int32_t>c
        row = row if row < H else H
        column = column if column < W else W
        at[j] = row * (W + 2) + column
        down[j] = <real_t>(r - row)
        across[j] = <real_t>(c - column)


cdef class Warp(Warping):
    """y from x; outside of x there is nothing but `fill_value`."""

    def __init__(self, x, matrices, y, double fill_value):
        Warping.__init__(self, x, matrices, y)
        self.fill(fill_value)

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t image = n * self.H * self.W * self.C, copy = thread * self.place, row = thread * self.W
        if self.is_double:
            warp_image(<double *>self.from_ + image, <double *>self.matrix + n * 6, <double *>self.to + image,
                       <double *>self.copies + copy, self.at + row, <double *>self.down + row,
                       <double *>self.across + row, self.H, self.W, self.C)
        else:
            warp_image(<float *>self.from_ + image, <float *>self.matrix + n * 6, <float *>self.to + image,
                       <float *>self.copies + copy, self.at + row, <float *>self.down + row,
                       <float *>self.across + row, self.H, self.W, self.C)


cdef void warp_image(
    const real_t *x,                # (H, W, C)                                           IN
    const real_t *m,                # (2, 3)                                              IN
    real_t *y,                      # (H, W, C)                                           OUT
    real_t *copy,                   # (H + 2, W + 2, C)                                   INOUT, border filled
    int32_t *at, real_t *down, real_t *across, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(H):
        memcpy(copy + ((i + 1) * (W + 2) + 1) * C, x + i * W * C, W * C * sizeof(real_t))
    for i in range(H):
        find_places(m, i, <int32_t>H, <int32_t>W, at, down, across)
        if C == 1:
            mix_row(copy, at, down, across, y + i * W, W)
        else:
            mix_row_of_channels(copy, at, down, across, y + i * W * C, W, C)


cdef void mix_row(const real_t *copy, const int32_t *at, const real_t *down, const real_t *across, real_t *y,
                  Py_ssize_t W) noexcept nogil:
    # Apart from the next function: one channel is gathered in vectors along the row.
    cdef Py_ssize_t j
    cdef const real_t *above
    cdef const real_t *below
    cdef real_t a, b
    for j in range(W):
        above, below, a, b = copy + at[j], copy + at[j] + W + 2, down[j], across[j]
        y[j] = (1 - a) * ((1 - b) * above[0] + b * above[1]) + a * ((1 - b) * below[0] + b * below[1])


cdef void mix_row_of_channels(const real_t *copy, const int32_t *at, const real_t *down, const real_t *across,
                              real_t *y, Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t j, k
    cdef const real_t *above
    cdef const real_t *below
    cdef real_t a, b
    for j in range(W):
        above, a, b = copy + at[j] * C, down[j], across[j]
        below = above + (W + 2) * C
        for k in range(C):
            y[j * C + k] = ((1 - a) * ((1 - b) * above[k] + b * above[C + k])
                            + a * ((1 - b) * below[k] + b * below[C + k]))


cdef class WarpBackward(Warping):
    """dx from dy; what was mixed from outside of x is lost."""

    def __init__(self, dy, matrices, dx):
        Warping.__init__(self, dy, matrices, dx)

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t image = n * self.H * self.W * self.C, copy = thread * self.place, row = thread * self.W
        if self.is_double:
            unwarp_image(<double *>self.from_ + image, <double *>self.matrix + n * 6, <double *>self.to + image,
                         <double *>self.copies + copy, self.at + row, <double *>self.down + row,
                         <double *>self.across + row, self.H, self.W, self.C)
        else:
            unwarp_image(<float *>self.from_ + image, <float *>self.matrix + n * 6, <float *>self.to + image,
                         <float *>self.copies + copy, self.at + row, <float *>self.down + row,
                         <float *>self.across + row, self.H, self.W, self.C)


cdef void unwarp_image(
    const real_t *dy,               # (H, W, C)                                           IN
    const real_t *m,                # (2, 3)                                              IN
    real_t *dx,                     # (H, W, C)                                           OUT
    real_t *copy,                   # (H + 2, W + 2, C)                                   OUT
    int32_t *at, real_t *down, real_t *across, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C,
) noexcept nogil:
    cdef Py_ssize_t i
    memset(copy, 0, (H + 2) * (W + 2) * C * sizeof(real_t))
    for i in range(H):
        find_places(m, i, <int32_t>H, <int32_t>W, at, down, across)
        spread_row(dy + i * W * C, at, down, across, copy, W, C)
    for i in range(H):
        memcpy(dx + i * W * C, copy + ((i + 1) * (W + 2) + 1) * C, W * C * sizeof(real_t))


cdef void spread_row(const real_t *dy, const int32_t *at, const real_t *down, const real_t *across, real_t *copy,
                     Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t j, k
    cdef real_t *above
    cdef real_t *below
    cdef real_t a, b, g
    for j in range(W):
        above, a, b = copy + at[j] * C, down[j], across[j]
        below = above + (W + 2) * C
        for k in range(C):
            g = dy[j * C + k]
            above[k] += (1 - a) * (1 - b) * g
            above[C + k] += (1 - a) * b * g
            below[k] += a * (1 - b) * g
            below[C + k] += a * b * g
