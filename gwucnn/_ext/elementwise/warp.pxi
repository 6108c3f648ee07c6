# Affine warps (translation, rotation, scaling, flips) with bilinear interpolation. A matrix m for each image maps every
# pixel of y to a position in x,
#
#   r = m[0]*i + m[1]*j + m[2],   c = m[3]*i + m[4]*j + m[5]                    i, j: row and column in y; r, c: in x
#
# and the pixel is interpolated from the four pixels of x around (r, c). The image is first copied into a buffer with a
# border one pixel wide, which represents everything outside the image. Coordinates are clipped to the border, so that
# no further checks are needed and a row is computed in vectors. For coordinates beyond the border, or NaN, only border
# pixels are interpolated.
#
# The gradient follows the same path backwards: each pixel of dy is added to the four pixels that it was interpolated
# from, in a buffer whose border is then discarded. An image is a work unit, so that the order of summation does not
# depend on the number of threads.

cdef class Warping(Step):
    cdef Py_ssize_t H, W, C, pixels         # pixels of the copy, including the border
    cdef Py_ssize_t copy_size               # elements per thread in copies, rounded up to whole cache lines
    cdef void *source                       # (N, H, W, C)                                        IN
    cdef void *target                       # (N, H, W, C)                                        OUT
    cdef void *matrix                       # (N, 2, 3)                                           IN
    cdef void *copies                       # (threads, copy_size)
    cdef void *down                         # (threads, W): distance below the upper of the two rows, 0 to 1
    cdef void *across                       # (threads, W): distance right of the left of the two columns, 0 to 1
    cdef int32_t *corner                    # (threads, W): offset of the upper left of the four pixels

    def __init__(self, x, matrices, y):
        cdef Py_ssize_t N
        N, self.H, self.W, self.C = x.shape
        self.pixels = (self.H + 2) * (self.W + 2)
        if self.pixels > 2147483647 or self.C < 1:
            raise ValueError(f"{type(self).__name__}: expected at least one channel and less than 2**31 pixels in an "
                             f"image, got {x.shape}")
        self.source = self.real(x, N * self.H * self.W * self.C, False)
        self.matrix = self.real(matrices, N * 6, False)
        self.target = self.real(y, N * self.H * self.W * self.C, True)
        self.copy_size = (self.pixels * self.C + 15) // 16 * 16
        self.copies = self.reserve_reals(self.max_threads * self.copy_size)
        self.down = self.reserve_reals(self.max_threads * self.W)
        self.across = self.reserve_reals(self.max_threads * self.W)
        self.corner = <int32_t *>self.reserve(self.max_threads * self.W, sizeof(int32_t))
        self.out = y
        self.units = N
        self.unit_cost = self.H * self.W * (600.0 + 150.0 * self.C)

    cdef void fill(self, double value) noexcept nogil:
        if self.is_double:
            fill_with(<double *>self.copies, self.max_threads * self.copy_size, value)
        else:
            fill_with(<float *>self.copies, self.max_threads * self.copy_size, <float>value)


cdef void fill_with(real_t *x, Py_ssize_t count, real_t value) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        x[k] = value


cdef void locate_pixels(
    const real_t *m,                # (2, 3)                                              IN
    Py_ssize_t i, int32_t H, int32_t W,
    int32_t *corner,                # (W)                                                 OUT
    real_t *down,                   # (W)                                                 OUT
    real_t *across,                 # (W)                                                 OUT
) noexcept nogil:
    # Compute the coordinates in the copy in double: in an image of a thousand columns the error in float32 would be a
    # ten-thousandth of a pixel. The last pair of rows is (H, H + 1), so that all four pixels are within the copy.
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
        corner[j] = row * (W + 2) + column
        down[j] = <real_t>(r - row)
        across[j] = <real_t>(c - column)


cdef class Warp(Warping):
    """Compute y from x, where every pixel outside of x has the value `fill_value`."""

    def __init__(self, x, matrices, y, double fill_value):
        Warping.__init__(self, x, matrices, y)
        self.fill(fill_value)

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t image = n * self.H * self.W * self.C, copy = thread * self.copy_size, row = thread * self.W
        if self.is_double:
            warp_image(<double *>self.source + image, <double *>self.matrix + n * 6, <double *>self.target + image,
                       <double *>self.copies + copy, self.corner + row, <double *>self.down + row,
                       <double *>self.across + row, self.H, self.W, self.C)
        else:
            warp_image(<float *>self.source + image, <float *>self.matrix + n * 6, <float *>self.target + image,
                       <float *>self.copies + copy, self.corner + row, <float *>self.down + row,
                       <float *>self.across + row, self.H, self.W, self.C)


cdef void warp_image(
    const real_t *x,                # (H, W, C)                                           IN
    const real_t *m,                # (2, 3)                                              IN
    real_t *y,                      # (H, W, C)                                           OUT
    real_t *copy,                   # (H + 2, W + 2, C), with its border filled           INOUT
    int32_t *corner, real_t *down, real_t *across, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(H):
        memcpy(copy + ((i + 1) * (W + 2) + 1) * C, x + i * W * C, W * C * sizeof(real_t))
    for i in range(H):
        locate_pixels(m, i, <int32_t>H, <int32_t>W, corner, down, across)
        if C == 1:
            interpolate_row(copy, corner, down, across, y + i * W, W)
        else:
            interpolate_row_of_channels(copy, corner, down, across, y + i * W * C, W, C)


cdef void interpolate_row(const real_t *copy, const int32_t *corner, const real_t *down, const real_t *across,
                          real_t *y, Py_ssize_t W) noexcept nogil:
    # Separate from the next function, because a single channel is gathered in vectors along the row.
    cdef Py_ssize_t j
    cdef const real_t *above
    cdef const real_t *below
    cdef real_t a, b
    for j in range(W):
        above, below, a, b = copy + corner[j], copy + corner[j] + W + 2, down[j], across[j]
        y[j] = (1 - a) * ((1 - b) * above[0] + b * above[1]) + a * ((1 - b) * below[0] + b * below[1])


cdef void interpolate_row_of_channels(const real_t *copy, const int32_t *corner, const real_t *down,
                                      const real_t *across, real_t *y, Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t j, k
    cdef const real_t *above
    cdef const real_t *below
    cdef real_t a, b
    for j in range(W):
        above, a, b = copy + corner[j] * C, down[j], across[j]
        below = above + (W + 2) * C
        for k in range(C):
            y[j * C + k] = ((1 - a) * ((1 - b) * above[k] + b * above[C + k])
                            + a * ((1 - b) * below[k] + b * below[C + k]))


cdef class WarpBackward(Warping):
    """Compute dx from dy; gradients with respect to pixels outside of x are discarded."""

    def __init__(self, dy, matrices, dx):
        Warping.__init__(self, dy, matrices, dx)

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t image = n * self.H * self.W * self.C, copy = thread * self.copy_size, row = thread * self.W
        if self.is_double:
            unwarp_image(<double *>self.source + image, <double *>self.matrix + n * 6, <double *>self.target + image,
                         <double *>self.copies + copy, self.corner + row, <double *>self.down + row,
                         <double *>self.across + row, self.H, self.W, self.C)
        else:
            unwarp_image(<float *>self.source + image, <float *>self.matrix + n * 6, <float *>self.target + image,
                         <float *>self.copies + copy, self.corner + row, <float *>self.down + row,
                         <float *>self.across + row, self.H, self.W, self.C)


cdef void unwarp_image(
    const real_t *dy,               # (H, W, C)                                           IN
    const real_t *m,                # (2, 3)                                              IN
    real_t *dx,                     # (H, W, C)                                           OUT
    real_t *copy,                   # (H + 2, W + 2, C)                                   OUT
    int32_t *corner, real_t *down, real_t *across, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C,
) noexcept nogil:
    cdef Py_ssize_t i
    memset(copy, 0, (H + 2) * (W + 2) * C * sizeof(real_t))
    for i in range(H):
        locate_pixels(m, i, <int32_t>H, <int32_t>W, corner, down, across)
        scatter_row(dy + i * W * C, corner, down, across, copy, W, C)
    for i in range(H):
        memcpy(dx + i * W * C, copy + ((i + 1) * (W + 2) + 1) * C, W * C * sizeof(real_t))


cdef void scatter_row(const real_t *dy, const int32_t *corner, const real_t *down, const real_t *across, real_t *copy,
                      Py_ssize_t W, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t j, k
    cdef real_t *above
    cdef real_t *below
    cdef real_t a, b, g
    for j in range(W):
        above, a, b = copy + corner[j] * C, down[j], across[j]
        below = above + (W + 2) * C
        for k in range(C):
            g = dy[j * C + k]
            above[k] += (1 - a) * (1 - b) * g
            above[C + k] += (1 - a) * b * g
            below[k] += a * (1 - b) * g
            below[C + k] += a * b * g
