# Layer normalisation: each row is normalised by its own mean and variance.
#
#   x (R, C)                                                  J. Ba, J. Kiros, G. Hinton, arXiv:1607.06450, section 3
#   z = (x - mean of the row) / sqrt(variance of the row + epsilon)           y = gamma * z + beta
#   dgamma = sum over rows of dy * z              dbeta = sum over rows of dy
#   dx = (g - mean(g) - z * mean(g * z)) / sqrt(variance + epsilon)           g = dy * gamma
#
# The backward pass recomputes mean and variance: the row is in the L1 cache anyway, and nothing needs to be stored.

cdef enum:
    ROW_SUMS = 16                       # partial sums accumulated side by side: one or several vectors


cdef class LayerNorm(Rowwise):
    cdef double epsilon
    cdef void *x
    cdef void *gamma
    cdef void *beta
    cdef void *y

    def __init__(self, x, gamma, beta, y, double epsilon):
        self.rows(x)
        self.x = self.real(x, self.R * self.K, False)
        self.gamma = self.real(gamma, self.K, False)
        self.beta = self.real(beta, self.K, False)
        self.y = self.real(y, self.R * self.K, True)
        self.unit_cost = 100.0 * self.K
        self.epsilon = epsilon
        self.out = y

    cdef void row(self, Py_ssize_t r) noexcept nogil:
        cdef Py_ssize_t at = r * self.K
        if self.is_double:
            layer_norm_row(<double *>self.x + at, <double *>self.gamma, <double *>self.beta, <double *>self.y + at,
                           self.epsilon, self.K)
        else:
            layer_norm_row(<float *>self.x + at, <float *>self.gamma, <float *>self.beta, <float *>self.y + at,
                           self.epsilon, self.K)


cdef inline real_t total_of(real_t *sums) noexcept nogil:
    # Add halves to each other: in a sequential sum each addition would wait for the one before.
    cdef int k
    for k in range(8):
        sums[k] += sums[k + 8]
    for k in range(4):
        sums[k] += sums[k + 4]
    return (sums[0] + sums[2]) + (sums[1] + sums[3])


cdef double row_mean(const real_t *x, Py_ssize_t C) noexcept nogil:
    cdef real_t sums[ROW_SUMS]
    cdef real_t rest = 0
    cdef Py_ssize_t i, k, whole = C // ROW_SUMS
    for i in range(whole * ROW_SUMS, C):
        rest += x[i]
    if whole:
        memset(sums, 0, sizeof(sums))
        for i in range(whole):
            for k in range(ROW_SUMS):
                sums[k] += x[i * ROW_SUMS + k]
        rest += total_of(sums)
    return <double>rest / C


cdef double row_variance(const real_t *x, double mean, Py_ssize_t C) noexcept nogil:
    cdef real_t sums[ROW_SUMS]
    cdef real_t centre = <real_t>mean, rest = 0, difference
    cdef double off = mean - centre
    cdef Py_ssize_t i, k, whole = C // ROW_SUMS
    for i in range(whole * ROW_SUMS, C):
        difference = x[i] - centre
        rest += difference * difference
    if whole:
        memset(sums, 0, sizeof(sums))
        for i in range(whole):
            for k in range(ROW_SUMS):
                difference = x[i * ROW_SUMS + k] - centre
                sums[k] += difference * difference
        rest += total_of(sums)
    # The sum of squares around the rounded mean exceeds that around the exact mean by C * off**2.
    return max(<double>rest / C - off * off, 0.0)


cdef void layer_norm_row(const real_t *x, const real_t *gamma, const real_t *beta, real_t *y, double epsilon,
                         Py_ssize_t C) noexcept nogil:
    cdef double mean = row_mean(x, C)
    cdef real_t root = <real_t>root_of(row_variance(x, mean, C), epsilon), centre = <real_t>mean
    cdef Py_ssize_t c
    for c in range(C):
        y[c] = (x[c] - centre) * root * gamma[c] + beta[c]


cdef class LayerNormBackward(ChannelSums):
    """Compute dx, and accumulate the gradients in gamma_grad and beta_grad unless these are None."""

    cdef double epsilon
    cdef void *dy
    cdef void *x
    cdef void *gamma
    cdef void *dx
    cdef void *gamma_grad           # (C,) or NULL                                        INOUT
    cdef void *beta_grad

    def __init__(self, dy, x, gamma, dx, gamma_grad, beta_grad, double epsilon):
        self.rows(dy, gamma.size)
        self.dy = self.real(dy, self.size, False)
        self.x = self.real(x, self.size, False)
        self.gamma = self.real(gamma, self.C, False)
        self.dx = self.real(dx, self.size, True)
        if gamma_grad is not None:
            self.gamma_grad = self.real(gamma_grad, self.C, True)
        if beta_grad is not None:
            self.beta_grad = self.real(beta_grad, self.C, True)
        self.reserve_parts()
        self.unit_cost *= 2
        self.epsilon = epsilon
        self.out = dx

    cdef void part(self, int phase, Py_ssize_t unit, int thread) noexcept nogil:
        cdef Py_ssize_t r, rows, at, last = self.unit_start(unit + 1) // self.C
        cdef double *part = self.parts + unit * 2 * self.C
        memset(part, 0, 2 * self.C * sizeof(double))
        for r in range(self.unit_start(unit) // self.C, last, 32):  # ROWS_PER_BLOCK
            at, rows = r * self.C, min(last - r, ROWS_PER_BLOCK)
            if self.is_double:
                layer_norm_block(<double *>self.dy + at, <double *>self.x + at, <double *>self.gamma,
                                 <double *>self.dx + at, part, self.epsilon, rows, self.C)
            else:
                layer_norm_block(<float *>self.dy + at, <float *>self.x + at, <float *>self.gamma,
                                 <float *>self.dx + at, part, self.epsilon, rows, self.C)

    cdef void finish(self) noexcept nogil:
        cdef Py_ssize_t unit, i
        for unit in range(1, self.units):
            for i in range(2 * self.C):
                self.parts[i] += self.parts[unit * 2 * self.C + i]
        if self.is_double:
            accumulate_grad(self.parts, <double *>self.gamma_grad, self.C)
            accumulate_grad(self.parts + self.C, <double *>self.beta_grad, self.C)
        else:
            accumulate_grad(self.parts, <float *>self.gamma_grad, self.C)
            accumulate_grad(self.parts + self.C, <float *>self.beta_grad, self.C)


cdef void accumulate_grad(const double *part, real_t *grad, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t c
    if grad != NULL:
        for c in range(C):
            grad[c] += <real_t>part[c]


cdef void layer_norm_block(
    const real_t *dy,               # (rows, C), at most ROWS_PER_BLOCK rows              IN
    const real_t *x,                # (rows, C)                                           IN
    const real_t *gamma,            # (C,)                                                IN
    real_t *dx,                     # (rows, C)                                           OUT
    double *part,                   # (2, C): sums for gamma and beta                     INOUT
    double epsilon, Py_ssize_t rows, Py_ssize_t C,
) noexcept nogil:
    cdef real_t centre[ROWS_PER_BLOCK]
    cdef real_t root[ROWS_PER_BLOCK]
    cdef real_t product[STRIP]
    cdef real_t sum[STRIP]
    cdef double mean
    cdef real_t m, k
    cdef Py_ssize_t r, f, strip, columns, at
    for r in range(rows):
        mean = row_mean(x + r * C, C)
        centre[r], root[r] = <real_t>mean, <real_t>root_of(row_variance(x + r * C, mean, C), epsilon)
        layer_norm_row_backward(dy + r * C, x + r * C, gamma, dx + r * C, centre[r], root[r], C)
    for strip in range(0, C, 64):  # STRIP
        columns = min(C - strip, STRIP)
        memset(product, 0, sizeof(product))
        memset(sum, 0, sizeof(sum))
        for r in range(rows):
            at, m, k = r * C + strip, centre[r], root[r]
            for f in range(columns):
                product[f] += dy[at + f] * ((x[at + f] - m) * k)
                sum[f] += dy[at + f]
        for f in range(columns):
            part[strip + f] += product[f]
            part[C + strip + f] += sum[f]


cdef real_t row_sum(const real_t *dy, const real_t *gamma, Py_ssize_t C) noexcept nogil:
    """Return the sum of dy * gamma."""
    cdef real_t sums[ROW_SUMS]
    cdef real_t rest = 0
    cdef Py_ssize_t i, k, whole = C // ROW_SUMS
    for i in range(whole * ROW_SUMS, C):
        rest += dy[i] * gamma[i]
    if whole:
        memset(sums, 0, sizeof(sums))
        for i in range(whole):
            for k in range(ROW_SUMS):
                sums[k] += dy[i * ROW_SUMS + k] * gamma[i * ROW_SUMS + k]
        rest += total_of(sums)
    return rest


cdef real_t row_product(const real_t *dy, const real_t *gamma, const real_t *x, real_t centre,
                        Py_ssize_t C) noexcept nogil:
    """Return the sum of dy * gamma * (x - centre)."""
    cdef real_t sums[ROW_SUMS]
    cdef real_t rest = 0
    cdef Py_ssize_t i, k, whole = C // ROW_SUMS
    for i in range(whole * ROW_SUMS, C):
        rest += dy[i] * gamma[i] * (x[i] - centre)
    if whole:
        memset(sums, 0, sizeof(sums))
        for i in range(whole):
            for k in range(ROW_SUMS):
                sums[k] += dy[i * ROW_SUMS + k] * gamma[i * ROW_SUMS + k] * (x[i * ROW_SUMS + k] - centre)
        rest += total_of(sums)
    return rest


cdef void layer_norm_row_backward(const real_t *dy, const real_t *x, const real_t *gamma, real_t *dx, real_t centre,
                                  real_t root, Py_ssize_t C) noexcept nogil:
    cdef real_t mean_g = row_sum(dy, gamma, C) / C
    cdef real_t mean_gz = row_product(dy, gamma, x, centre, C) / C * root * root
    cdef Py_ssize_t i
    for i in range(C):
        dx[i] = (dy[i] * gamma[i] - mean_g - (x[i] - centre) * mean_gz) * root
