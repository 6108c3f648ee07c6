# Running statistics: updating them during training, and folding them into the weights of the preceding layer for
# inference.


cdef class UpdateRunningStatistics(Step):
    """Update the running mean and variance with those of a batch.

    running = keep * running + (1 - keep) * batch, where keep = min(momentum, t / (t + 1)); then t += 1.
    """

    cdef double momentum
    cdef Py_ssize_t C
    cdef int64_t *updates           # (1,): t                                             INOUT
    cdef void *running[2]           # mean and variance, (C,)                             INOUT
    cdef void *batch[2]             # (C,)                                                IN

    def __init__(self, running_mean, running_variance, updates, mean, variance, double momentum):
        self.C = mean.size
        self.running[0] = self.real(running_mean, self.C, True)
        self.running[1] = self.real(running_variance, self.C, True)
        self.updates = <int64_t *>self.other(updates, 1, 8, True)
        self.batch[0] = self.real(mean, self.C, False)
        self.batch[1] = self.real(variance, self.C, False)
        self.momentum = momentum
        self.out = running_mean

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef double t = <double>self.updates[0]
        cdef double keep = min(self.momentum, t / (t + 1))
        cdef int i
        for i in range(2):
            if self.is_double:
                update_running(<double *>self.running[i], <double *>self.batch[i], self.C, keep)
            else:
                update_running(<float *>self.running[i], <float *>self.batch[i], self.C, keep)
        self.updates[0] += 1


cdef void update_running(real_t *running, const real_t *batch, Py_ssize_t C, double keep) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(C):
        running[c] = <real_t>(keep * running[c] + (1 - keep) * batch[c])


cdef class FoldBatchNorm(Step):
    """Fold a batch normalisation into the weights of the linear layer before it.

    weight' = weight * gamma * root; bias' = beta + (bias - mean) * gamma * root, where the last axis of weight is
    filters.
    """

    cdef double epsilon
    cdef Py_ssize_t F, K
    cdef void *weight               # (K, F)                                              IN
    cdef void *bias                 # (F,) or NULL                                        IN
    cdef void *norm[4]              # gamma, beta, mean, variance                         IN
    cdef void *folded               # (K, F)                                              OUT
    cdef void *folded_bias          # (F,)                                                OUT
    cdef double *scale              # (F,)

    def __init__(self, weight, bias, gamma, beta, mean, variance, folded, folded_bias, double epsilon):
        self.F = gamma.size
        self.K = weight.size // max(self.F, 1)
        self.weight = self.real(weight, self.K * self.F, False)
        if bias is not None:
            self.bias = self.real(bias, self.F, False)
        for i, array in enumerate((gamma, beta, mean, variance)):
            self.norm[i] = self.real(array, self.F, False)
        self.folded = self.real(folded, self.K * self.F, True)
        self.folded_bias = self.real(folded_bias, self.F, True)
        self.scale = <double *>self.reserve(self.F, sizeof(double))
        self.epsilon = epsilon
        self.out = folded
        self.units = 0

    cdef void prepare(self) noexcept nogil:
        # All of the work is done here, so it is repeated only if a weight may have changed.
        if self.is_double:
            fold(<double *>self.weight, <double *>self.bias, <double **>self.norm, self.epsilon, self.scale,
                 <double *>self.folded, <double *>self.folded_bias, self.K, self.F)
        else:
            fold(<float *>self.weight, <float *>self.bias, <float **>self.norm, self.epsilon, self.scale,
                 <float *>self.folded, <float *>self.folded_bias, self.K, self.F)


cdef void fold(const real_t *weight, const real_t *bias, real_t **norm, double epsilon, double *scale, real_t *folded,
               real_t *folded_bias, Py_ssize_t K, Py_ssize_t F) noexcept nogil:
    cdef Py_ssize_t k, f
    for f in range(F):
        scale[f] = norm[0][f] * root_of(norm[3][f], epsilon)
        folded_bias[f] = <real_t>(norm[1][f] + ((bias[f] if bias != NULL else 0) - <double>norm[2][f]) * scale[f])
    for k in range(K):
        for f in range(F):
            folded[k * F + f] = <real_t>(weight[k * F + f] * scale[f])
