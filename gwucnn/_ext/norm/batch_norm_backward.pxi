# The gradients of batch normalisation; see batch_norm.pxi for the formulas, PerChannel and ChannelSums.

cdef extern from "variants/kernels.h" nogil:
    void strip_products(const void *dy, const void *x, const void *row, bint relu, Py_ssize_t rows, Py_ssize_t step,
                        void *product, void *sum)


cdef class BatchNormBackwardSums(ChannelSums):
    """Compute dgamma and dbeta of a batch, and accumulate them in gamma_grad and beta_grad unless these are None."""

    cdef double epsilon
    cdef void *dy
    cdef void *x
    cdef void *mean
    cdef void *variance
    cdef void *sums                 # (2, C)                                              OUT
    cdef void *gamma_grad           # (C,) or NULL                                        INOUT
    cdef void *beta_grad
    cdef void *line                 # (2, C): scale and beta if relu follows, else NULL   IN
    cdef void *row                  # (3, width): mean, scale and beta for each element of a row

    def __init__(self, dy, x, mean, variance, sums, gamma_grad, beta_grad, double epsilon, line=None):
        self.rows(dy, mean.size)
        self.dy = self.real(dy, self.size, False)
        self.x = self.real(x, self.size, False)
        self.mean = self.real(mean, self.C, False)
        self.variance = self.real(variance, self.C, False)
        self.sums = self.real(sums, 2 * self.C, True)
        if gamma_grad is not None:
            self.gamma_grad = self.real(gamma_grad, self.C, True)
        if beta_grad is not None:
            self.beta_grad = self.real(beta_grad, self.C, True)
        if line is not None:
            self.line = self.real(line, 2 * self.C, False)
        self.row = self.reserve_reals(3 * self.width)
        self.reserve_parts()
        self.epsilon = epsilon
        self.out = sums

    cdef void prepare(self) noexcept nogil:
        if self.is_double:
            fill_row(<double *>self.row, <double *>self.mean, <double *>self.line, self.C, self.width)
        else:
            fill_row(<float *>self.row, <float *>self.mean, <float *>self.line, self.C, self.width)

    cdef void part(self, int phase, Py_ssize_t unit, int thread) noexcept nogil:
        cdef Py_ssize_t at = self.unit_start(unit), size = self.unit_start(unit + 1) - at
        cdef double *part = self.parts + unit * 2 * self.C
        if self.is_double:
            products(<double *>self.dy + at, <double *>self.x + at, <double *>self.row, self.line != NULL, size,
                     self.width, self.C, part)
        else:
            products(<float *>self.dy + at, <float *>self.x + at, <float *>self.row, self.line != NULL, size,
                     self.width, self.C, part)

    cdef void finish(self) noexcept nogil:
        cdef Py_ssize_t unit, i
        for unit in range(1, self.units):
            for i in range(2 * self.C):
                self.parts[i] += self.parts[unit * 2 * self.C + i]
        if self.is_double:
            store_sums(self.parts, <double *>self.variance, self.epsilon, <double *>self.sums,
                       <double *>self.gamma_grad, <double *>self.beta_grad, self.C)
        else:
            store_sums(self.parts, <float *>self.variance, self.epsilon, <float *>self.sums,
                       <float *>self.gamma_grad, <float *>self.beta_grad, self.C)


cdef void store_sums(const double *total, const real_t *variance, double epsilon, real_t *sums, real_t *gamma_grad,
                     real_t *beta_grad, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(C):
        sums[c] = <real_t>(total[c] * root_of(variance[c], epsilon))
        sums[C + c] = <real_t>total[C + c]
        if gamma_grad != NULL:
            gamma_grad[c] += sums[c]
        if beta_grad != NULL:
            beta_grad[c] += sums[C + c]


cdef void fill_row(real_t *row, const real_t *mean, const real_t *line, Py_ssize_t C,
                   Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t c
    memcpy(row, mean, C * sizeof(real_t))
    repeat_row(row, C, width)
    if line != NULL:
        for c in range(2):
            memcpy(row + (c + 1) * width, line + c * C, C * sizeof(real_t))
            repeat_row(row + (c + 1) * width, C, width)


cdef void products(
    const real_t *dy,               # (size,): rows of `width`, the last may be shorter   IN
    const real_t *x,                # (size,)                                             IN
    const real_t *row,              # (3, width): mean; scale and beta with relu          IN
    bint relu,
    Py_ssize_t size, Py_ssize_t width, Py_ssize_t C,
    double *part,                   # (2, C): sums of dy * (x - mean) and of dy           OUT
) noexcept nogil:
    cdef Py_ssize_t K = size // width, k, strip, at, columns, rest = size - K * width
    memset(part, 0, 2 * C * sizeof(double))
    for strip in range(0, width, 64):  # STRIP
        columns = min(width - strip, STRIP)
        for k in range(0, K, 32):  # ROWS_PER_BLOCK
            at = k * width + strip
            block_products(dy + at, x + at, row + strip, relu, min(K - k, ROWS_PER_BLOCK), width, columns, C,
                           part + strip)
    if rest:
        block_products(dy + K * width, x + K * width, row, relu, 1, width, rest, C, part)


cdef void block_products(const real_t *dy, const real_t *x, const real_t *row, bint relu, Py_ssize_t rows,
                         Py_ssize_t width, Py_ssize_t columns, Py_ssize_t C, double *part) noexcept nogil:
    cdef real_t product[STRIP]
    cdef real_t sum[STRIP]
    cdef Py_ssize_t f, k, channels = min(columns, C)
    if columns < STRIP:
        narrow_products(dy, x, row, relu, rows, width, columns, product, sum)
    else:
        strip_products(dy, x, row, relu, rows, width, product, sum)
    for k in range(columns // channels):
        for f in range(channels):
            part[f] += product[k * channels + f]
            part[C + f] += sum[k * channels + f]


cdef void narrow_products(const real_t *dy, const real_t *x, const real_t *row, bint relu, Py_ssize_t rows,
                          Py_ssize_t width, Py_ssize_t columns, real_t *product, real_t *sum) noexcept nogil:
    """Compute the same as strip_products, for fewer columns."""
    cdef real_t g
    cdef Py_ssize_t r, f, at
    for f in range(columns):
        product[f] = sum[f] = 0
    for r in range(rows):
        at = r * width
        for f in range(columns):
            g = dy[at + f]
            if relu:
                g = relu_gradient(normal(x[at + f], row[f], row[width + f], row[2 * width + f]), g)
            product[f] += g * (x[at + f] - row[f])
            sum[f] += g


cdef class BatchNormBackward(PerChannel):
    """Compute dx. Without sums it is the gradient at inference, where mean and variance are constants."""

    cdef double epsilon
    cdef void *dy
    cdef void *x                    # NULL with neither sums nor relu
    cdef void *dx
    cdef void *gamma
    cdef void *mean
    cdef void *variance
    cdef void *sums                 # (2, C) or NULL
    cdef void *beta                 # (C,) if relu follows, else NULL
    cdef void *row                  # (5, width): mean; coefficients of dy, of x - mean and of 1; beta

    def __init__(self, dy, x, gamma, mean, variance, sums, dx, double epsilon, beta=None):
        self.rows(dy, gamma.size)
        self.dy = self.real(dy, self.size, False)
        self.dx = self.real(dx, self.size, True)
        self.gamma = self.real(gamma, self.C, False)
        self.variance = self.real(variance, self.C, False)
        if sums is not None or beta is not None:
            self.x = self.real(x, self.size, False)
            self.mean = self.real(mean, self.C, False)
        if sums is not None:
            self.sums = self.real(sums, 2 * self.C, False)
        if beta is not None:
            self.beta = self.real(beta, self.C, False)
        self.row = self.reserve_reals(5 * self.width)
        self.epsilon = epsilon
        self.out = dx

    cdef void prepare(self) noexcept nogil:
        if self.is_double:
            gradient_row(<double *>self.row, <double *>self.gamma, <double *>self.mean, <double *>self.variance,
                         <double *>self.sums, <double *>self.beta, self.epsilon, self.R, self.C, self.width)
        else:
            gradient_row(<float *>self.row, <float *>self.gamma, <float *>self.mean, <float *>self.variance,
                         <float *>self.sums, <float *>self.beta, self.epsilon, self.R, self.C, self.width)

    cdef void part(self, int phase, Py_ssize_t unit, int thread) noexcept nogil:
        cdef Py_ssize_t at = self.unit_start(unit), size = self.unit_start(unit + 1) - at
        if self.is_double:
            gradient(<double *>self.dy + at, NULL if self.x == NULL else <double *>self.x + at, <double *>self.row,
                     <double *>self.dx + at, size, self.width, self.sums != NULL, self.beta != NULL)
        else:
            gradient(<float *>self.dy + at, NULL if self.x == NULL else <float *>self.x + at, <float *>self.row,
                     <float *>self.dx + at, size, self.width, self.sums != NULL, self.beta != NULL)


cdef void gradient_row(real_t *row, const real_t *gamma, const real_t *mean, const real_t *variance,
                       const real_t *sums, const real_t *beta, double epsilon, Py_ssize_t R, Py_ssize_t C,
                       Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t c
    cdef double root, scale, each = 1.0 / max(R, 1)
    memset(row, 0, 5 * width * sizeof(real_t))
    for c in range(C):
        row[width + c] = <real_t>(gamma[c] * root_of(variance[c], epsilon))
    if mean != NULL:
        memcpy(row, mean, C * sizeof(real_t))
    if sums != NULL:
        for c in range(C):
            root = root_of(variance[c], epsilon)
            scale = gamma[c] * root * each
            row[2 * width + c] = <real_t>(-scale * root * sums[c])
            row[3 * width + c] = <real_t>(-scale * sums[C + c])
    if beta != NULL:
        memcpy(row + 4 * width, beta, C * sizeof(real_t))
    for c in range(5):
        repeat_row(row + c * width, C, width)


cdef void gradient(const real_t *dy, const real_t *x, const real_t *row, real_t *dx, Py_ssize_t size,
                   Py_ssize_t width, bint summed, bint relu) noexcept nogil:
    cdef const real_t *scale = row + width
    cdef const real_t *slope = row + 2 * width
    cdef const real_t *shift = row + 3 * width
    cdef const real_t *beta = row + 4 * width
    cdef real_t g
    cdef Py_ssize_t k, f, at
    for k in range((size + width - 1) // width):
        at = k * width
        if relu and summed:
            for f in range(min(width, size - at)):
                g = relu_gradient(normal(x[at + f], row[f], scale[f], beta[f]), dy[at + f])
                dx[at + f] = g * scale[f] + ((x[at + f] - row[f]) * slope[f] + shift[f])
        elif relu:
            for f in range(min(width, size - at)):
                g = relu_gradient(normal(x[at + f], row[f], scale[f], beta[f]), dy[at + f])
                dx[at + f] = g * scale[f]
        elif summed:
            for f in range(min(width, size - at)):
                dx[at + f] = dy[at + f] * scale[f] + ((x[at + f] - row[f]) * slope[f] + shift[f])
        else:
            for f in range(min(width, size - at)):
                dx[at + f] = dy[at + f] * scale[f]
