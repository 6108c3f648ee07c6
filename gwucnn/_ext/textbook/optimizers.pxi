# Optimizer updates: one step of stochastic gradient descent or of Adam, in place, element by element.

def sgd(
    real_t[:] value,                    # (size,)                   INOUT
    const real_t[:] grad,               # (size,)                   IN
    real_t[:] velocity,                 # (size,) zeros at first    INOUT
    double lr,
    double momentum,                    # 0 is plain gradient descent
    bint nesterov,
):
    """Take one step of gradient descent with momentum.

    velocity = momentum * velocity + grad
    value   -= lr * velocity                     (nesterov: lr * (grad + momentum * velocity), a look ahead)

    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, in
    the form that keeps lr outside the velocity.
    """
    cdef Py_ssize_t k
    for k in range(value.shape[0]):
        velocity[k] = <real_t> (momentum * velocity[k] + grad[k])
        if nesterov:
            value[k] -= <real_t> (lr * (grad[k] + momentum * velocity[k]))
        else:
            value[k] -= <real_t> (lr * velocity[k])


def adam(
    real_t[:] value,                    # (size,)                   INOUT
    const real_t[:] grad,               # (size,)                   IN
    real_t[:] first_moment,             # (size,) zeros at first    INOUT
    real_t[:] second_moment,            # (size,) zeros at first    INOUT
    double lr,
    double beta_1,
    double beta_2,
    double epsilon,
    Py_ssize_t step,                    # 1 for the first call
):
    """Take one step of Adam, which changes each weight by about lr, whatever the size of its gradients.

    m = beta_1 * m + (1 - beta_1) * grad         running mean of the gradient
    v = beta_2 * v + (1 - beta_2) * grad**2      running mean of its square
    value -= lr * (m / (1 - beta_1**step)) / (sqrt(v / (1 - beta_2**step)) + epsilon)

    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, algorithm 1.
    """
    cdef Py_ssize_t k
    # Both means start at zero, so they are too small by these factors, most of all in the first steps.
    cdef double correction_1 = 1 - beta_1 ** step
    cdef double correction_2 = 1 - beta_2 ** step
    for k in range(value.shape[0]):
        first_moment[k] = <real_t> (beta_1 * first_moment[k] + (1 - beta_1) * grad[k])
        second_moment[k] = <real_t> (beta_2 * second_moment[k] + (1 - beta_2) * grad[k] * grad[k])
        value[k] -= <real_t> (
            lr * (first_moment[k] / correction_1) / (sqrt(second_moment[k] / correction_2) + epsilon)
        )
