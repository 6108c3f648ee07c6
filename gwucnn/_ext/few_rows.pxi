# A dense layer for a handful of rows: one image at a time, as on the slides.
#
# Every weight is then used only once or twice, so the pace is set by reading the weights, and a register tile would
# spend more on packing them than on computing. They are read in place, in the order in which they lie:
#
#   y[n, u] = bias[u] + sum over d of x[n, d] * weight[d, u]          four rows of weights at a time
#   dx[n, d] = sum over u of weight[d, u] * dy[n, u]                  a dot product for each row of weights
#   dweight[d, u] (+)= sum over n of x[n, d] * dy[n, u]               one pass over dweight

# Partial sums of a dot product: as many as two vectors have lanes, so that the loop is vector code.
cdef enum:
    SUMS = 32


cdef class FewRows(Step):
    """(N, D) and (N, U) with a weight of shape (D, U)."""

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
        return 0


cdef class DenseFewRows(FewRows):
    cdef void *bias

    def __init__(self, x, weight, bias, y):
        self.hold(x, weight, y, False, False, True)
        if bias is not None:
            self.bias = self.real(bias, self.U, False)
        self.out = y

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t n
        for n in range(self.N):
            if self.is_double:
                times_matrix(<double *>self.x + n * self.D, <double *>self.weight, <double *>self.bias,
                             <double *>self.y + n * self.U, self.D, self.U)
            else:
                times_matrix(<float *>self.x + n * self.D, <float *>self.weight, <float *>self.bias,
                             <float *>self.y + n * self.U, self.D, self.U)


cdef void times_matrix(
    const real_t *x,                # (D,)                                                IN
    const real_t *weight,           # (D, U)                                              IN
    const real_t *bias,             # (U,) or NULL                                        IN
    real_t *y,                      # (U,)                                                OUT
    Py_ssize_t D, Py_ssize_t U,
) noexcept nogil:
    # Four rows at a time: y is read and written once for four products.
    cdef Py_ssize_t d, u
    if bias == NULL:
        memset(y, 0, U * sizeof(real_t))
    else:
        memcpy(y, bias, U * sizeof(real_t))
    for d in range(0, D - 3, 4):
        for u in range(U):
            y[u] += (x[d] * weight[d * U + u] + x[d + 1] * weight[(d + 1) * U + u]
                     + x[d + 2] * weight[(d + 2) * U + u] + x[d + 3] * weight[(d + 3) * U + u])
    for d in range(D // 4 * 4, D):
        for u in range(U):
            y[u] += x[d] * weight[d * U + u]


cdef class DenseFewRowsBackwardInput(FewRows):
    def __init__(self, dy, weight, dx):
        self.hold(dx, weight, dy, True, False, False)
        self.out = dx

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t n
        for n in range(self.N):
            if self.is_double:
                matrix_times(<double *>self.weight, <double *>self.y + n * self.U, <double *>self.x + n * self.D,
                             self.D, self.U)
            else:
                matrix_times(<float *>self.weight, <float *>self.y + n * self.U, <float *>self.x + n * self.D,
                             self.D, self.U)


cdef void matrix_times(
    const real_t *weight,           # (D, U)                                              IN
    const real_t *dy,               # (U,)                                                IN
    real_t *dx,                     # (D,)                                                OUT
    Py_ssize_t D, Py_ssize_t U,
) noexcept nogil:
    cdef Py_ssize_t d, u, k
    cdef real_t sums[SUMS]
    cdef real_t total
    for d in range(D):
        total = 0
        if U >= SUMS:
            memset(sums, 0, sizeof(sums))
            for u in range(U // SUMS):
                for k in range(SUMS):
                    sums[k] += weight[u * SUMS + k] * dy[u * SUMS + k]
            total = add_up(sums)
        for u in range(U // SUMS * SUMS, U):
            total += weight[u] * dy[u]
        dx[d] = total
        weight += U


cdef inline real_t add_up(real_t *sums) noexcept nogil:
    # Half onto half: one sum after the other would wait four cycles for each.
    cdef Py_ssize_t k
    for k in range(16):
        sums[k] += sums[k + 16]
    for k in range(8):
        sums[k] += sums[k + 8]
    for k in range(4):
        sums[k] += sums[k + 4]
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


cdef class DenseFewRowsBackwardWeight(FewRows):
    cdef bint accumulate

    def __init__(self, x, dy, dweight, bint accumulate):
        self.hold(x, dweight, dy, False, True, False)
        self.accumulate = accumulate
        self.out = dweight

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        if self.is_double:
            add_outer(<double *>self.x, <double *>self.y, <double *>self.weight, self.N, self.D, self.U,
                      self.accumulate)
        else:
            add_outer(<float *>self.x, <float *>self.y, <float *>self.weight, self.N, self.D, self.U, self.accumulate)


cdef void add_outer(
    const real_t *x,                # (N, D)                                              IN
    const real_t *dy,               # (N, U)                                              IN
    real_t *dweight,                # (D, U)                                              INOUT
    Py_ssize_t N, Py_ssize_t D, Py_ssize_t U,
    bint accumulate,
) noexcept nogil:
    cdef Py_ssize_t n, d, u
    for d in range(D):
        if not accumulate:
            memset(dweight, 0, U * sizeof(real_t))
        for n in range(N):
            for u in range(U):
                dweight[u] += x[n * D + d] * dy[n * U + u]
        dweight += U
