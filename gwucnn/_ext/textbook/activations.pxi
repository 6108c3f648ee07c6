# Activations and their gradients: relu and sigmoid element by element, softmax row by row.
#
# The gradients of these three are computed from the output y of the activation.

def relu(
    const real_t[:] x,                  # (size,)                   IN
    real_t[:] y,                        # (size,)                   OUT
):
    """y = x where x > 0, otherwise 0; NaN stays NaN."""
    cdef Py_ssize_t k
    for k in range(x.shape[0]):
        # Every comparison with NaN is false, so `<= 0` keeps NaN where `> 0` would replace it with 0.
        y[k] = 0 if x[k] <= 0 else x[k]


def relu_backward(
    const real_t[:] dy,                 # (size,)                   IN
    const real_t[:] y,                  # (size,) output of relu    IN
    real_t[:] dx,                       # (size,)                   OUT
):
    """dx = dy where y > 0 (or is NaN), otherwise 0: the derivative at x = 0 is taken as 0."""
    cdef Py_ssize_t k
    for k in range(dy.shape[0]):
        dx[k] = 0 if y[k] <= 0 else dy[k]


def sigmoid(
    const real_t[:] x,                  # (size,)                   IN
    real_t[:] y,                        # (size,)                   OUT
):
    """y = 1 / (1 + exp(-x)), written so that exp never overflows."""
    cdef Py_ssize_t k
    cdef double e
    for k in range(x.shape[0]):
        if x[k] < 0:
            # The same value, with numerator and denominator multiplied by exp(x) < 1.
            e = exp(x[k])
            y[k] = <real_t> (e / (1 + e))
        else:
            y[k] = <real_t> (1 / (1 + exp(-x[k])))


def sigmoid_backward(
    const real_t[:] dy,                 # (size,)                   IN
    const real_t[:] y,                  # (size,) output of sigmoid IN
    real_t[:] dx,                       # (size,)                   OUT
):
    """dx = dy * y * (1 - y)."""
    cdef Py_ssize_t k
    for k in range(dy.shape[0]):
        dx[k] = dy[k] * y[k] * (1 - y[k])


def softmax(
    const real_t[:, :] x,               # (N, U)                    IN
    real_t[:, :] y,                     # (N, U)                    OUT
):
    """y[n, u] = exp(x[n, u]) / sum over k of exp(x[n, k]), row by row."""
    cdef Py_ssize_t n, u
    cdef real_t largest
    cdef double total
    for n in range(x.shape[0]):
        # Subtracting the row's maximum leaves the quotient unchanged and keeps exp from overflowing.
        largest = 0
        for u in range(x.shape[1]):
            if u == 0 or x[n, u] > largest:
                largest = x[n, u]
        total = 0
        for u in range(x.shape[1]):
            total += exp(<double> x[n, u] - largest)
        for u in range(x.shape[1]):
            y[n, u] = <real_t> (exp(<double> x[n, u] - largest) / total)


def softmax_backward(
    const real_t[:, :] dy,              # (N, U)                    IN
    const real_t[:, :] y,               # (N, U) output of softmax  IN
    real_t[:, :] dx,                    # (N, U)                    OUT
):
    """dx[n, u] = y[n, u] * (dy[n, u] - sum over k of dy[n, k] * y[n, k]).

    The derivative of y[n, k] with respect to x[n, u] is y[n, k] * ((k == u) - y[n, u]). Multiplying it by dy[n, k]
    and summing over k gives the line above, so the U x U Jacobian is never formed.
    """
    cdef Py_ssize_t n, u
    cdef real_t mean
    for n in range(dy.shape[0]):
        # The mean of the row's gradients, weighted by its probabilities. Subtracting it makes the row of dx sum to 0,
        # as it must: adding the same constant to all logits changes no probability.
        mean = 0
        for u in range(dy.shape[1]):
            mean += dy[n, u] * y[n, u]
        for u in range(dy.shape[1]):
            dx[n, u] = y[n, u] * (dy[n, u] - mean)
