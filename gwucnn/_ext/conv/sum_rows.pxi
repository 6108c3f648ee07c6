# Sums over the pixels of all images: the gradient of a convolution's or a dense layer's bias.

cdef class SumRows(Step):
    """total[f] = sum over r of rows[r, f]: the gradient of a bias; written, or added if `accumulate`."""

    cdef Py_ssize_t R, F
    cdef bint accumulate
    cdef void *rows
    cdef void *total

    def __init__(self, rows, total, bint accumulate):
        self.F = total.size
        self.R = rows.size // max(self.F, 1)
        self.rows = self.real(rows, self.R * self.F, False)
        self.total = self.real(total, self.F, True)
        self.out = total
        self.accumulate = accumulate

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        if self.is_double:
            sum_rows(<double *>self.rows, <double *>self.total, self.R, self.F, self.accumulate)
        else:
            sum_rows(<float *>self.rows, <float *>self.total, self.R, self.F, self.accumulate)


cdef void sum_rows(const real_t *rows, real_t *total, Py_ssize_t R, Py_ssize_t F, bint accumulate) noexcept nogil:
    # Sums of 256 rows are added up at the end of each: over a million pixels, one running sum in float32 would lose
    # four digits, this loses two (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).
    cdef Py_ssize_t r, f, block, first, last
    cdef real_t some[64]
    cdef Py_ssize_t width
    for first in range(0, F, 64):
        width = min(F - first, 64)
        if not accumulate:
            memset(total + first, 0, width * sizeof(real_t))
        for block in range(0, R, 256):
            last = min(block + 256, R)
            memset(some, 0, sizeof(some))
            for r in range(block, last):
                for f in range(width):
                    some[f] += rows[r * F + first + f]
            for f in range(width):
                total[first + f] += some[f]
