# Losses and their gradients, computed in one pass over the outputs of a batch.
#
# The first two take z, the input of the final sigmoid or softmax, and combine loss and activation. This avoids the
# logarithm of a probability that was rounded to 0, and the gradient is simply p - t.
#
#   sigmoid + log loss       sum over k of  max(z, 0) - z*t + log(1 + exp(-|z|))       gradient  sigmoid(z) - t
#   softmax + cross entropy  sum over k of  t[k] * (log sum exp z - z[k])              gradient  softmax(z) * sum(t) - t
#   squared error            sum over k of  (y - t)**2                                 gradient  2 * (y - t)
#   absolute error           sum over k of  |y - t|                                    gradient  sign(y - t)
#   Huber                    sum over k of  (y - t)**2 / 2 up to |y - t| = delta,      gradient  y - t, clipped to
#                            beyond that its tangent, a straight line                            [-delta, delta]
#
# The targets t have the shape of the outputs. The first two losses smooth them to keep * t + add while reading them.
# The loss and the gradient of each row are multiplied by `scale` and by the row's share of the batch, which is 1/N or
# the sample's weight divided by the sum of weights. The loss is accumulated in float64.

cdef class LossStep(Step):
    """Fill the gradient, and `probability` unless it is None; a call returns the loss of the batch as a float."""

    cdef Py_ssize_t N, K
    cdef double scale
    cdef readonly double value      # the loss computed by the last call
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
        """Fill row n of the outputs and return its contribution to the loss."""


cdef class SmoothedLossStep(LossStep):
    """A loss that smooths its targets to keep * t + add."""

    cdef double keep, add

    def __init__(self, z, target, share, probability, gradient, double scale, double keep, double add):
        LossStep.__init__(self, z, target, share, probability, gradient, scale)
        self.keep, self.add = keep, add


cdef class SigmoidLogLoss(SmoothedLossStep):
    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return sigmoid_log_loss_row(<double *>self.z + at, <double *>self.target + at,
                                        (<double *>self.share)[n] * self.scale, <double *>self.probability + at,
                                        <double *>self.gradient + at, self.K, self.keep, self.add)
        return sigmoid_log_loss_row(<float *>self.z + at, <float *>self.target + at,
                                    (<float *>self.share)[n] * self.scale, <float *>self.probability + at,
                                    <float *>self.gradient + at, self.K, <float>self.keep, <float>self.add)


cdef double sigmoid_log_loss_row(const real_t *z, const real_t *t, double share, real_t *p, real_t *gradient,
                                 Py_ssize_t K, real_t keep, real_t add) noexcept nogil:
    cdef Py_ssize_t k
    cdef real_t target
    cdef double loss = 0
    for k in range(K):
        target = keep * t[k] + add
        p[k] = <real_t>sigmoid_of(&z[k])
        gradient[k] = <real_t>((p[k] - target) * share)
        loss += (z[k] if not z[k] <= 0 else 0.0) - <double>z[k] * target + log1p(exp(-fabs(z[k])))
    return loss * share


cdef class SoftmaxCrossEntropy(SmoothedLossStep):
    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return softmax_cross_entropy_row(<double *>self.z + at, <double *>self.target + at,
                                             (<double *>self.share)[n] * self.scale, <double *>self.probability + at,
                                             <double *>self.gradient + at, self.K, self.keep, self.add)
        return softmax_cross_entropy_row(<float *>self.z + at, <float *>self.target + at,
                                         (<float *>self.share)[n] * self.scale, <float *>self.probability + at,
                                         <float *>self.gradient + at, self.K, <float>self.keep, <float>self.add)


cdef double softmax_cross_entropy_row(const real_t *z, const real_t *t, double share, real_t *p, real_t *gradient,
                                      Py_ssize_t K, real_t keep, real_t add) noexcept nogil:
    cdef Py_ssize_t k
    cdef real_t target
    cdef double normalizer = softmax_row(z, p, K), loss = 0, total = 0
    for k in range(K):
        target = keep * t[k] + add
        total += target
        # Skip classes with target 0, which do not contribute to the loss: 0 * infinity would be NaN.
        if target != 0:
            loss += target * (normalizer - z[k])
    for k in range(K):
        gradient[k] = <real_t>((p[k] * total - (keep * t[k] + add)) * share)
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


cdef class AbsoluteError(LossStep):
    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return absolute_error_row(<double *>self.z + at, <double *>self.target + at,
                                      (<double *>self.share)[n] * self.scale, <double *>self.gradient + at, self.K)
        return absolute_error_row(<float *>self.z + at, <float *>self.target + at,
                                  (<float *>self.share)[n] * self.scale, <float *>self.gradient + at, self.K)


cdef double absolute_error_row(const real_t *y, const real_t *t, double share, real_t *gradient,
                               Py_ssize_t K) noexcept nogil:
    cdef Py_ssize_t k
    cdef double loss = 0, error
    for k in range(K):
        error = <double>y[k] - t[k]
        loss += fabs(error)
        # The last case (0 or NaN) propagates NaN.
        gradient[k] = <real_t>(share if error > 0 else -share if error < 0 else error * share)
    return loss * share


cdef class Huber(LossStep):
    cdef double delta

    def __init__(self, y, target, share, gradient, double scale, double delta):
        LossStep.__init__(self, y, target, share, None, gradient, scale)
        self.delta = delta

    cdef double row(self, Py_ssize_t n) noexcept nogil:
        cdef Py_ssize_t at = n * self.K
        if self.is_double:
            return huber_row(<double *>self.z + at, <double *>self.target + at, (<double *>self.share)[n] * self.scale,
                             <double *>self.gradient + at, self.K, self.delta)
        return huber_row(<float *>self.z + at, <float *>self.target + at, (<float *>self.share)[n] * self.scale,
                         <float *>self.gradient + at, self.K, self.delta)


cdef double huber_row(const real_t *y, const real_t *t, double share, real_t *gradient, Py_ssize_t K,
                      double delta) noexcept nogil:
    cdef Py_ssize_t k
    cdef double loss = 0, error, slope
    for k in range(K):
        error = <double>y[k] - t[k]
        slope = delta if error > delta else -delta if error < -delta else error
        # slope * error - slope**2 / 2 is error**2 / 2 up to delta and the tangent beyond it.
        loss += slope * (error - slope / 2)
        gradient[k] = <real_t>(slope * share)
    return loss * share
