# Dense layers: products of matrices. Each docstring is the formula that the loops compute.

def dense(
    const real_t[:, :] x,               # (N, D)                    IN
    const real_t[:, :] weight,          # (D, U)                    IN
    const real_t[:] bias,               # (U,) or None for no bias  IN
    real_t[:, :] y,                     # (N, U)                    OUT
):
    """y[n, u] = bias[u] + sum over d of x[n, d] * weight[d, u]."""
    cdef Py_ssize_t n, d, u
    cdef real_t total
    for n in range(y.shape[0]):
        for u in range(y.shape[1]):
            total = 0
            for d in range(weight.shape[0]):
                total += x[n, d] * weight[d, u]
            if bias is not None:
                total += bias[u]
            y[n, u] = total


def dense_backward_input(
    const real_t[:, :] dy,              # (N, U)                    IN
    const real_t[:, :] weight,          # (D, U)                    IN
    real_t[:, :] dx,                    # (N, D)                    OUT
):
    """dx[n, d] = sum over u of dy[n, u] * weight[d, u]."""
    cdef Py_ssize_t n, d, u
    cdef real_t total
    for n in range(dx.shape[0]):
        for d in range(dx.shape[1]):
            total = 0
            for u in range(dy.shape[1]):
                total += dy[n, u] * weight[d, u]
            dx[n, d] = total


def dense_backward_weight(
    const real_t[:, :] x,               # (N, D)                    IN
    const real_t[:, :] dy,              # (N, U)                    IN
    real_t[:, :] dweight,               # (D, U)                    OUT
):
    """dweight[d, u] = sum over n of x[n, d] * dy[n, u]."""
    cdef Py_ssize_t n, d, u
    cdef real_t total
    for d in range(dweight.shape[0]):
        for u in range(dweight.shape[1]):
            total = 0
            for n in range(dy.shape[0]):
                total += x[n, d] * dy[n, u]
            dweight[d, u] = total
