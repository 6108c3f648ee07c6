"""Gradient checks by central differences.

Everything runs in float64 with h = 1e-5, where the error of a central difference is lowest: about h**2 =
1e-10 from the curvature and eps / h = 1e-11 from rounding. That leaves room to ask for 1e-7 of the
tensor's largest gradient, which an off-by-one or a forgotten term cannot meet.
"""

import numpy as np

STEP = 1e-5
TOLERANCE = 1e-7


def spaced(rng, shape):
    """Draw float64 values that all differ, from each other and from 0, by far more than the step.

    A shuffled ladder from -1 to 1: moving one value by h changes neither the sign that relu sees nor the
    winner of any pool.
    """
    size = int(np.prod(shape))
    assert size < 1 / (20 * STEP), "the rungs would come too close to the step"
    ladder = (np.arange(size) - size / 2 + 0.25) * (2 / max(size, 1))
    return rng.permutation(ladder).reshape(shape)


def numerical_gradient(function, x):
    """Return the gradient by x of a scalar `function()` that reads x; each entry is moved and put back."""
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + STEP
        above = function()
        x[index] = kept - STEP
        below = function()
        x[index] = kept
        # The step that was really made, since kept + STEP is rounded.
        gradient[index] = (above - below) / ((kept + STEP) - (kept - STEP))
    return gradient


def assert_gradient(analytic, function, x):
    """Fail unless `analytic` is the gradient of `function` by the array x, to 1e-7 of its largest entry."""
    numeric = numerical_gradient(function, x)
    assert analytic.shape == x.shape, f"the gradient has shape {analytic.shape}, its array {x.shape}"
    worst = np.max(np.abs(analytic - numeric), initial=0.0)
    largest = np.max(np.abs(numeric), initial=0.0)
    assert worst <= TOLERANCE * max(largest, TOLERANCE), (
        f"gradient off by {worst:.3g} where the largest entry is {largest:.3g}"
    )
