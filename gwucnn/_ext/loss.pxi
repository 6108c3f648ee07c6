# Losses with their gradients, in one pass over the outputs of a batch.
#
# The first two take the numbers before the last sigmoid or softmax (z), because the pair is simple where its halves
# are not: no logarithm of a probability that rounded to 0, and the gradient is p - t.
#
#   sigmoid + log loss       sum over k of  max(z, 0) - z*t + log(1 + exp(-|z|))       gradient  sigmoid(z) - t
#   softmax + cross entropy  sum over k of  t[k] * (log sum exp z - z[k])              gradient  softmax(z) * sum(t) - t
#   squared error            sum over k of  (y - t)**2                                 gradient  2 * (y - t)
#
# t are targets of the outputs' shape. Each row's loss and gradient are multiplied by its share of the batch, which
# is 1/N, or its weight over the sum of weights, and by `scale`. The value is summed in float64.

cdef class LossStep(Step):
    """Fill `probability` (or nothing) and the gradient; a call returns the loss of the batch as a float."""

    cdef Py_ssize_t N, K
    cdef double scale
    cdef readonly double value      # loss of the batch that was computed last
    cdef void *z
    cdef void *target
    cdef void *share
    cdef void *probability
    cdef void *gradient

    def __init__(self, z, target, share, probability, gradient, double scale):
        self.N, self.K = z.shape
        self.scale = scale
        self.z = self.real(z, self.N * self.K, False)
        self.target = self.real(target, self.N * self.K, False)
        self.share = self.real(share, self.N, False)
        if probability is not None:
            self.probability = self.real(probability, self.N * self.K, True)
        self.gradient = self.real(gradient, self.N * self.K, True)

    def __call__(self):
        self.run()
        return self.value

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t n
        self.value = 0
        for n in range(self.N):
            self.value += self.row(n)

    cdef double row(self, Py_ssize_t n) noexcept nogil:
        """Fill row n of the results and return its part of the loss."""


cdef class SigmoidLogLoss(LossStep):
    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return sigmoid_log_loss_row(<double *>self.z + at, <double *>self.target + at,
                                        (<double *>self.share)[n] * self.scale, <double *>self.probability + at,
                                        <double *>self.gradient + at, self.K)
        return sigmoid_log_loss_row(<float *>self.z + at, <float *>self.target + at,
                                    (<float *>self.share)[n] * self.scale, <float *>self.probability + at,
                                    <float *>self.gradient + at, self.K)


cdef double sigmoid_log_loss_row(const real_t *z, const real_t *t, double share, real_t *p, real_t *gradient,
                                 Py_ssize_t K) noexcept nogil:
    cdef Py_ssize_t k
    cdef double loss = 0
    for k in range(K):
        p[k] = sigmoid_of(z[k])
        gradient[k] = <real_t>((p[k] - t[k]) * share)
        loss += (z[k] if not z[k] <= 0 else 0.0) - <double>z[k] * t[k] + log1p(exp(-fabs(z[k])))
    return loss * share


cdef class SoftmaxCrossEntropy(LossStep):
    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return softmax_cross_entropy_row(<double *>self.z + at, <double *>self.target + at,
                                             (<double *>self.share)[n] * self.scale, <double *>self.probability + at,
                                             <double *>self.gradient + at, self.K)
        return softmax_cross_entropy_row(<float *>self.z + at, <float *>self.target + at,
                                         (<float *>self.share)[n] * self.scale, <float *>self.probability + at,
                                         <float *>self.gradient + at, self.K)


cdef double softmax_cross_entropy_row(const real_t *z, const real_t *t, double share, real_t *p, real_t *gradient,
                                      Py_ssize_t K) noexcept nogil:
    cdef Py_ssize_t k
    cdef double normalizer = softmax_row(z, p, K), loss = 0, total = 0
    for k in range(K):
        total += t[k]
        # 0 * infinity is NaN, but a class without any target has no part in the loss.
        if t[k] != 0:
            loss += t[k] * (normalizer - z[k])
    for k in range(K):
        gradient[k] = <real_t>((p[k] * total - t[k]) * share)
    return loss * share


cdef class SquaredError(LossStep):
    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return squared_error_row(<double *>self.z + at, <double *>self.target + at,
                                     (<double *>self.share)[n] * self.scale, <double *>self.gradient + at, self.K)
        return squared_error_row(<float *>self.z + at, <float *>self.target + at,
                                 (<float *>self.share)[n] * self.scale, <float *>self.gradient + at, self.K)


cdef double squared_error_row(const real_t *y, const real_t *t, double share, real_t *gradient,
                              Py_ssize_t K) noexcept nogil:
    cdef Py_ssize_t k
    cdef double loss = 0, error
    for k in range(K):
        error = <double>y[k] - t[k]
        loss += error * error
        gradient[k] = <real_t>(2 * error * share)
    return loss * share
