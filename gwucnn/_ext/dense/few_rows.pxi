# Dense layers for batches of one or two samples (rows of x), such as one image at a time on the slides. Larger batches
# use the kernels of 1x1 convolutions; gwucnn/ops/dense.py chooses.
#
# Each weight is used only once or twice, so reading the weights is the bottleneck, and packing them for a register tile
# would take longer than the arithmetic. few_rows.h reads them in place, in the order in which they lie in memory:
#
#   y[n, u] = bias[u] + sum over d of x[n, d] * weight[d, u]
#   dx[n, d] = sum over u of weight[d, u] * dy[n, u]
#   dweight[d, u] (+)= sum over n of x[n, d] * dy[n, u]
#
# The gradients are split among threads by rows of weights. With a single sample, every element of dweight is one
# product, which the optimizer can compute itself while it updates the weights (see SGD in update.pxi).

cdef extern from "variants/kernels.h" nogil:
    void times_matrix(Py_ssize_t D, Py_ssize_t U, const void *x, const void *weight, const void *bias, void *y)
    void matrix_times(Py_ssize_t D, Py_ssize_t U, const void *weight, const void *dy, void *dx)
    double largest_magnitude(const void *x, Py_ssize_t count)
    void outer_product(Py_ssize_t D, Py_ssize_t U, const void *x, const void *dy, void *dweight)
    void add_outer_product(Py_ssize_t D, Py_ssize_t U, const void *x, const void *dy, void *dweight)

# Rows of weights in a work unit.
cdef enum:
    ROWS = 512


cdef class FewRows(Step):
    """Base class: x (N, D) and y (N, U), or their gradients, and a weight (D, U), or its gradient."""

    cdef Py_ssize_t N, D, U
    cdef void *x
    cdef void *weight
    cdef void *y

    cdef int hold(self, x, weight, y, bint writes_x, bint writes_weight, bint writes_y) except -1:
        self.D, self.U = weight.shape
        self.N = x.shape[0]
        self.x = self.real(x, self.N * self.D, writes_x)
        self.weight = self.real(weight, self.D * self.U, writes_weight)
        self.y = self.real(y, self.N * self.U, writes_y)
        self.units = (self.D + ROWS - 1) // ROWS
        # Each weight read serves one or two products, so memory is the bottleneck: a product counts as 8 operations.
        self.unit_cost = 8.0 * ROWS * self.U * self.N
        return 0


cdef class DenseFewRows(FewRows):
    cdef void *bias

    def __init__(self, x, weight, bias, y):
        self.hold(x, weight, y, False, False, True)
        if bias is not None:
            self.bias = self.real(bias, self.U, False)
        self.out = y
        # Work units are samples here, not rows of weights.
        self.units, self.unit_cost = self.N, self.unit_cost * self.units / max(self.N, 1)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            times_matrix(self.D, self.U, <double *>self.x + index * self.D, <double *>self.weight,
                         <double *>self.bias, <double *>self.y + index * self.U)
        else:
            times_matrix(self.D, self.U, <float *>self.x + index * self.D, <float *>self.weight,
                         <float *>self.bias, <float *>self.y + index * self.U)


cdef class DenseFewRowsBackwardInput(FewRows):
    def __init__(self, dy, weight, dx):
        self.hold(dx, weight, dy, True, False, False)
        self.out = dx

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t d = index * ROWS, rows = min(ROWS, self.D - d), n
        for n in range(self.N):
            if self.is_double:
                matrix_times(rows, self.U, <double *>self.weight + d * self.U, <double *>self.y + n * self.U,
                             <double *>self.x + n * self.D + d)
            else:
                matrix_times(rows, self.U, <float *>self.weight + d * self.U, <float *>self.y + n * self.U,
                             <float *>self.x + n * self.D + d)


cdef class DenseFewRowsBackwardWeight(FewRows):
    cdef bint accumulate
    cdef bint deferred              # only check for finite products; the optimizer computes dweight itself

    def __init__(self, x, dy, dweight, bint accumulate):
        self.hold(x, dweight, dy, False, True, False)
        self.accumulate = accumulate
        self.out = dweight
        self.reports_finite = self.N == 1 and not accumulate

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        # All products are finite if the largest is, which is the product of the largest elements of x and dy.
        if self.reports_finite and self.is_double:
            self.found_finite = is_finite(largest_magnitude(<double *>self.x, self.D)
                                          * largest_magnitude(<double *>self.y, self.U))
        elif self.reports_finite:
            self.found_finite = is_finite(<float>largest_magnitude(<float *>self.x, self.D)
                                          * <float>largest_magnitude(<float *>self.y, self.U))
        if not self.deferred:
            FewRows.compute(self, first, last, threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t d = index * ROWS, rows = min(ROWS, self.D - d), n
        if self.N == 0 and not self.accumulate:
            memset(<char *>self.weight + d * self.U * (8 if self.is_double else 4), 0,
                   rows * self.U * (8 if self.is_double else 4))
        for n in range(self.N):
            if self.is_double:
                outer_products(<double *>self.x + n * self.D + d, <double *>self.y + n * self.U,
                      <double *>self.weight + d * self.U, rows, self.U, self.accumulate or n > 0)
            else:
                outer_products(<float *>self.x + n * self.D + d, <float *>self.y + n * self.U,
                      <float *>self.weight + d * self.U, rows, self.U, self.accumulate or n > 0)


cdef inline bint is_finite(real_t x) noexcept nogil:
    return x - x == 0


cdef inline void outer_products(const real_t *x, const real_t *dy, real_t *dweight, Py_ssize_t D, Py_ssize_t U,
                                bint accumulates) noexcept nogil:
    if accumulates:
        add_outer_product(D, U, x, dy, dweight)
    else:
        outer_product(D, U, x, dy, dweight)
