# Batch normalisation: the statistics of each channel over all images and pixels, and the normalisation with them. The
# gradients are in batch_norm_backward.pxi.
#
#   x (R, C), R rows of pixels or samples                                     S. Ioffe, C. Szegedy, arXiv:1502.03167
#   mean[c] = sum of x / R        variance[c] = sum of (x - mean)**2 / R      root = 1 / sqrt(variance + epsilon)
#   y = (x - mean) * root * gamma + beta
#   dgamma = sum of dy * (x - mean) * root        dbeta = sum of dy
#   dx = gamma * root * (dy - dbeta / R - (x - mean) * root * dgamma / R)
#
# If relu follows, y is max(y, 0), and dy counts only where y is above 0 (or NaN): the backward pass recomputes y, which
# costs less than reading it.
#
# An array is processed as K rows of `width` elements. If there are few channels, such a row comprises several rows of
# the array, so that vectors are full: its element f belongs to channel f % C. The last row may be shorter.
#
# Sums are computed in blocks that stay in the L1 cache, in two passes: one for the mean of the block, one for the
# squares of the differences from it. Computing the variance as the mean of x**2 less mean**2 would lose all digits
# where the mean is large. The results of the blocks are merged in double (T. Chan, G. Golub, R. LeVeque, The American
# Statistician 37, 1983, formula 2.1), in an order that does not depend on the number of threads.

cdef extern from "variants/kernels.h" nogil:
    enum: SUM_COLUMNS
    void strip_moments(const void *x, Py_ssize_t rows, Py_ssize_t step, void *centre, void *square, void *off)


cdef enum:
    STRIP = SUM_COLUMNS             # adjacent elements of a row that are processed together: 64
    ROWS_PER_BLOCK = 32             # a block is ROWS_PER_BLOCK x STRIP elements: 8 kB of float32
    PARTS = 128                     # largest number of partial results


cdef class PerChannel(Step):
    """Arrays of R rows of C channels."""

    cdef Py_ssize_t R, C, K, width, size
    cdef Py_ssize_t rows_per_unit   # rows of `width` elements in a work unit

    cdef int rows(self, array, Py_ssize_t C) except -1:
        if C < 1 or array.size % C:
            raise ValueError(f"{type(self).__name__}: expected rows of {C} channels, got {array.size} elements")
        self.size = array.size
        self.C = C
        self.R = self.size // C
        self.width = C * max(STRIP // C, 1)
        self.K = (self.size + self.width - 1) // self.width
        self.rows_per_unit = max(ELEMENTS // self.width, 1)
        self.units = (self.K + self.rows_per_unit - 1) // self.rows_per_unit
        self.unit_cost = 60.0 * self.rows_per_unit * self.width
        return 0

    cdef Py_ssize_t unit_start(self, Py_ssize_t unit) noexcept nogil:
        """Return the offset of the first element of a unit; for unit == units, the end of the last one."""
        return min(unit * self.rows_per_unit * self.width, self.size)

    cdef void finish(self) noexcept nogil:
        """Merge the results of all units; called once, after the last of them."""

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        self.split_among_threads(0, first, last, threads)
        if last == self.units:
            self.finish()


cdef class ChannelSums(PerChannel):
    """Two sums for each channel, computed for each unit first and then merged."""

    cdef double *parts              # (units, 2, C)

    cdef int reserve_parts(self) except -1:
        self.rows_per_unit = max((self.K + PARTS - 1) // PARTS, 1)
        self.rows_per_unit = (self.rows_per_unit + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK * ROWS_PER_BLOCK
        self.units = max((self.K + self.rows_per_unit - 1) // self.rows_per_unit, 1)
        self.unit_cost = 100.0 * self.rows_per_unit * self.width
        self.parts = <double *>self.reserve(self.units * 2 * self.C, 8)
        return 0


cdef class BatchStatistics(ChannelSums):
    cdef void *x
    cdef void *mean
    cdef void *variance

    def __init__(self, x, mean, variance):
        self.rows(x, mean.size)
        self.x = self.real(x, self.size, False)
        self.mean = self.real(mean, self.C, True)
        self.variance = self.real(variance, self.C, True)
        self.reserve_parts()
        self.out = mean

    cdef void part(self, int phase, Py_ssize_t unit, int thread) noexcept nogil:
        cdef Py_ssize_t first = self.unit_start(unit), size = self.unit_start(unit + 1) - first
        if self.is_double:
            moments(<double *>self.x + first, <double *>self.x, size, self.width, self.C,
                    self.parts + unit * 2 * self.C)
        else:
            moments(<float *>self.x + first, <float *>self.x, size, self.width, self.C,
                    self.parts + unit * 2 * self.C)

    cdef void finish(self) noexcept nogil:
        cdef Py_ssize_t unit, c, before, more
        cdef double *total = self.parts
        cdef double *part
        for unit in range(1, self.units):
            part = self.parts + unit * 2 * self.C
            before = self.unit_start(unit) // self.C
            more = self.unit_start(unit + 1) // self.C - before
            merge(total, total + self.C, before, part, part + self.C, more, self.C)
        if self.is_double:
            store_moments(total, <double *>self.x, <double *>self.mean, <double *>self.variance, self.R, self.C)
        else:
            store_moments(total, <float *>self.x, <float *>self.mean, <float *>self.variance, self.R, self.C)


cdef void store_moments(const double *total, const real_t *pivot, real_t *mean, real_t *variance, Py_ssize_t R,
                        Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(C):
        mean[c] = <real_t>(pivot[c] + total[c]) if R else 0
        variance[c] = <real_t>(total[C + c] / max(R, 1))


cdef void moments(
    const real_t *x,                # (size,): rows of `width`, the last may be shorter   IN
    const real_t *pivot,            # (C,): the first row of the batch                    IN
    Py_ssize_t size, Py_ssize_t width, Py_ssize_t C,
    double *part,                   # (2, C): mean - pivot, sum of squared differences    OUT
) noexcept nogil:
    cdef Py_ssize_t K = size // width, k, strip, columns, rows, rest = size - K * width
    cdef double count = 0
    memset(part, 0, 2 * C * sizeof(double))
    for strip in range(0, width, 64):  # STRIP; Cython needs a literal step for a plain C loop
        count = 0
        columns = min(width - strip, STRIP)
        for k in range(0, K, 32):  # ROWS_PER_BLOCK
            rows = min(K - k, ROWS_PER_BLOCK)
            block_moments(x + k * width + strip, pivot + strip, rows, width, columns, C, part + strip, &count)
    if rest:
        # The last row is shorter only if a row comprises several rows of the array; it is then at most a strip long.
        block_moments(x + K * width, pivot, 1, width, rest, C, part, &count)


cdef void block_moments(const real_t *x, const real_t *pivot, Py_ssize_t rows, Py_ssize_t step, Py_ssize_t columns,
                        Py_ssize_t C, double *part, double *count) noexcept nogil:
    """Merge the moments of a block, of `columns` elements in rows `step` apart, into those of `count` rows in part."""
    cdef real_t centre[STRIP]
    cdef real_t square[STRIP]
    cdef real_t off[STRIP]
    cdef double mean[STRIP]
    cdef double squares[STRIP]
    cdef double share = 1.0 / rows
    cdef Py_ssize_t f, g = 0, channels = min(columns, C)
    if columns < STRIP:
        narrow_moments(x, rows, step, columns, centre, square, off)
    else:
        strip_moments(x, rows, step, centre, square, off)
    while g < columns:
        for f in range(channels):
            # A large mean must not cost digits of the variance: subtract the pivot, which all blocks share, and
            # correct for the rounding of the centre.
            mean[f] = <double>centre[g + f] - pivot[f] + <double>off[g + f] * share
            squares[f] = square[g + f] - <double>off[g + f] * off[g + f] * share
            squares[f] = 0 if squares[f] < 0 else squares[f]
        merge(part, part + C, count[0], mean, squares, rows, channels)
        count[0] += rows
        g += channels


cdef void narrow_moments(const real_t *x, Py_ssize_t rows, Py_ssize_t step, Py_ssize_t columns, real_t *centre,
                         real_t *square, real_t *off) noexcept nogil:
    """Compute the same as strip_moments, for fewer columns."""
    cdef real_t share = <real_t>(1.0 / rows), difference
    cdef Py_ssize_t r, f
    for f in range(columns):
        centre[f] = square[f] = off[f] = 0
    for r in range(rows):
        for f in range(columns):
            centre[f] += x[r * step + f]
    for f in range(columns):
        centre[f] *= share
    for r in range(rows):
        for f in range(columns):
            difference = x[r * step + f] - centre[f]
            square[f] += difference * difference
            off[f] += difference


cdef void merge(double *mean, double *square, double count, const double *m, const double *s, double more,
                Py_ssize_t C) noexcept nogil:
    """Merge (m, s) of `more` rows into (mean, square) of `count` rows, channel by channel."""
    cdef double share = more / (count + more) if more > 0 else 0, difference
    cdef Py_ssize_t c
    for c in range(C):
        difference = m[c] - mean[c]
        mean[c] += difference * share
        square[c] += s[c] + difference * difference * count * share


cdef inline double root_of(double variance, double epsilon) noexcept nogil:
    # NaN if the variance is infinite: otherwise all outputs would be beta, and an overflow would go unnoticed.
    return 1 / sqrt(variance + epsilon) + (variance - variance)


cdef void repeat_row(real_t *row, Py_ssize_t C, Py_ssize_t width) noexcept nogil:
    """Repeat the first C elements of a row up to its end."""
    cdef Py_ssize_t f
    for f in range(C, width):
        row[f] = row[f - C]


cdef class BatchNorm(PerChannel):
    cdef double epsilon
    cdef bint relu                  # whether negative outputs become 0
    cdef void *x
    cdef void *y
    cdef void *gamma
    cdef void *beta
    cdef void *mean
    cdef void *variance
    cdef void *line                 # (2, C): scale and beta; or NULL                     OUT
    cdef void *row                  # (3, width): mean, scale and beta for each element of a row

    def __init__(self, x, gamma, beta, mean, variance, y, double epsilon, bint relu=False, line=None):
        self.rows(x, gamma.size)
        self.x = self.real(x, self.size, False)
        self.y = self.real(y, self.size, True)
        self.gamma = self.real(gamma, self.C, False)
        self.beta = self.real(beta, self.C, False)
        self.mean = self.real(mean, self.C, False)
        self.variance = self.real(variance, self.C, False)
        if line is not None:
            self.line = self.real(line, 2 * self.C, True)
        self.row = self.reserve_reals(3 * self.width)
        self.epsilon = epsilon
        self.relu = relu
        self.out = y

    cdef void prepare(self) noexcept nogil:
        if self.is_double:
            norm_row(<double *>self.row, <double *>self.gamma, <double *>self.beta, <double *>self.mean,
                     <double *>self.variance, self.epsilon, <double *>self.line, self.C, self.width)
        else:
            norm_row(<float *>self.row, <float *>self.gamma, <float *>self.beta, <float *>self.mean,
                     <float *>self.variance, self.epsilon, <float *>self.line, self.C, self.width)

    cdef void part(self, int phase, Py_ssize_t unit, int thread) noexcept nogil:
        cdef Py_ssize_t at = self.unit_start(unit), size = self.unit_start(unit + 1) - at
        if self.is_double:
            normalise(<double *>self.x + at, <double *>self.row, <double *>self.y + at, size, self.width, self.relu)
        else:
            normalise(<float *>self.x + at, <float *>self.row, <float *>self.y + at, size, self.width, self.relu)


cdef void norm_row(real_t *row, const real_t *gamma, const real_t *beta, const real_t *mean, const real_t *variance,
                   double epsilon, real_t *line, Py_ssize_t C, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(C):
        row[c] = mean[c]
        row[width + c] = <real_t>(gamma[c] * root_of(variance[c], epsilon))
        row[2 * width + c] = beta[c]
        if line != NULL:
            line[c], line[C + c] = row[width + c], beta[c]
    for c in range(3):
        repeat_row(row + c * width, C, width)


cdef void normalise(const real_t *x, const real_t *row, real_t *y, Py_ssize_t size, Py_ssize_t width,
                    bint relu) noexcept nogil:
    cdef const real_t *scale = row + width
    cdef const real_t *beta = row + 2 * width
    cdef Py_ssize_t k, f, at
    cdef real_t value
    for k in range((size + width - 1) // width):
        at = k * width
        if relu:
            for f in range(min(width, size - at)):
                value = normal(x[at + f], row[f], scale[f], beta[f])
                y[at + f] = 0 if value <= 0 else value
        else:
            for f in range(min(width, size - at)):
                y[at + f] = normal(x[at + f], row[f], scale[f], beta[f])


cdef inline real_t normal(real_t x, real_t mean, real_t scale, real_t beta) noexcept nogil:
    # Subtract the mean first: x * scale + (beta - mean * scale) would lose digits where the mean is large.
    return (x - mean) * scale + beta
