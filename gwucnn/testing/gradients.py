"""Gradients compared with central differences: whether `backward` is the derivative of `forward`.

Everything runs in float64. With steps of h = 1e-5 the error of a central difference is lowest: about h**2 = 1e-10 from
the curvature and eps / h = 1e-11 from rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gwucnn.activation_functions import SigmoidActivation
from gwucnn.common import ShapeError, check_positive, check_size, set_inside
from gwucnn.engine import LossHead
from gwucnn.layers import Layer
from gwucnn.layers.inserting import build_layer
from gwucnn.loss_functions import LossFunction, loss_function
from gwucnn.memory import Arena, Randomness, Space

__all__ = ["check_gradients"]

# The smaller steps are for entries near a kink, such as that of relu, which a wrong gradient misses at every step.
STEPS = (1e-5, 1e-6, 1e-7)
# Entries that are compared in each array, chosen at random.
MOST_ENTRIES = 100


def check_gradients(
    thing: Any,
    shape: Sequence[int] | int,
    *,
    y_true: Any = None,
    y_pred: Any = None,
    batch_size: int = 3,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> float:
    """Compare the gradients of a layer or a loss with central differences; return the largest relative error.

    Parameters
    ----------
    thing : Layer, or a loss as `compile` takes it
        A layer is copied, and stays as it is.
    shape : tuple of int, or int
        Of one sample, as for `build`: the input of the layer, or the predictions that the loss gets.
    y_true, y_pred : array, shape (N, *shape), optional
        Targets and predictions for a loss, where random ones from 0.1 to 0.9 will not do. A loss that runs together
        with its `partner`, such as cross-entropy with softmax, gets predictions as they are before that activation.
    batch_size : int
        Samples of random numbers.
    tolerance : float
        The largest error that is accepted, relative to the largest gradient in the same array.
    seed : int
        Of the random inputs, weights and layers such as Dropout, which repeat the same numbers.

    Returns
    -------
    float
        The largest error, relative to the largest gradient in the same array: about 1e-10 for what is right.

    Raises
    ------
    AssertionError
        If an error is larger than the tolerance; the message names the array and the index of the largest one.
    ShapeError
        If a gradient does not have the shape of its array, or the layer does not fit the shape.

    Notes
    -----
    Layers run in training mode, and their inputs and trainable parameters are checked, at most 100 entries of each, at
    random. Each entry costs two forward passes, so choose a small shape.

    Examples
    --------
    >>> from gwucnn import Conv2D, Layer
    >>> check_gradients(Conv2D(2, 3, activation='tanh'), (5, 5, 1)) < 1e-7
    True
    >>> class Square(Layer):
    ...     def forward(self, x, space):
    ...         space.saved['x'] = x
    ...         return x**2
    ...     def backward(self, dy, space):
    ...         return dy * space.saved['x']  # a factor of 2 is missing
    >>> check_gradients(Square(), 4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: Square: expected the gradient of input[...] to be ..., a relative error of 0.5; check its backward
    """
    sizes = [shape] if isinstance(shape, (int, np.integer)) else list(shape)
    full = tuple(check_size("check_gradients", "each length of shape", size) for size in sizes)
    full = (*full, 1) if len(full) == 2 else full
    N = check_size("check_gradients", "batch_size", batch_size)
    tolerance, rng = check_positive("check_gradients", "tolerance", tolerance), np.random.default_rng(seed)
    if isinstance(thing, Layer):
        label, function, arrays = _of_layer(copy.deepcopy(thing), full, N, rng)
    elif isinstance(thing, type) and issubclass(thing, Layer):
        raise TypeError(f"check_gradients: expected a layer, got the class; write {thing.__name__}(...)")
    else:
        label, function, arrays = _of_loss(loss_function(thing), full, N, rng, y_true, y_pred)
    worst, message = 0.0, ""
    for name, array, gradient in arrays:
        for index, error, numeric, analytic in _errors(function, array, gradient, rng, tolerance):
            if error > worst or not message:
                worst = error
                place = ", ".join(map(str, index))
                message = (
                    f"{label}: expected the gradient of {name}[{place}] to be {numeric:.6g}, by central differences, "
                    f"got {analytic:.6g}, a relative error of {error:.2g}"
                )
    if worst > tolerance:
        raise AssertionError(f"{message}; check its {'backward' if isinstance(thing, Layer) else 'derivative'}")
    return worst


Arrays = list[tuple[str, Any, Any]]  # name, array, gradient
Entry = tuple[tuple[int, ...], float, float, float]  # index, relative error, gradient by differences, and as returned


def _of_layer(layer: Layer, shape: tuple[int, ...], N: int, rng: Any) -> tuple[str, Callable[[], float], Arrays]:
    """Return the layer's name, the sum of its outputs times random numbers, and its arrays with their gradients."""
    label = type(layer).__name__
    set_inside(layer, label=label)
    out_shape = build_layer(layer, shape, False)
    arena = Arena(layer.parameters, np.float64)
    for parameter in layer.parameters:
        parameter.initializer(parameter.value, rng)
        if parameter.trainable:
            parameter.value += 0.1 * rng.standard_normal(parameter.shape)  # also biases that begin at zero
    key = int(rng.integers(2**63))
    randomness = Randomness(lambda: key)
    space = Space(np.float64, training=True, randomness=randomness)
    x, dy = _spaced(rng, (N, *shape)), rng.standard_normal((N, *out_shape))

    def function() -> float:
        randomness.draws = 0
        return float((_of_shape(f"{label}: expected outputs", layer.forward(x, space), dy.shape) * dy).sum())

    function()
    arena.grads.fill(0)
    dx = layer.backward(dy.copy(), space)
    arrays = [("input", x, np.array(_of_shape(f"{label}: expected the gradient of the input", dx, x.shape)))]
    arrays += [(p.name, p.value, p.grad.copy()) for p in layer.parameters if p.trainable]
    return label, function, arrays


def _of_loss(
    loss: LossFunction, shape: tuple[int, ...], N: int, rng: Any, y_true: Any, y_pred: Any
) -> tuple[str, Callable[[], float], Arrays]:
    """Return the name of the loss, the loss as a function of the predictions, and these with their gradient."""
    head, space = LossHead(loss.partner, loss), Space(np.float64, training=True)
    if y_pred is None:
        made = (len(y_true) if y_true is not None else N, *shape)
        y_pred = rng.standard_normal(made) if loss.partner else rng.uniform(0.1, 0.9, made)
    z = np.array(y_pred, np.float64)
    t = _targets(loss, z.shape, rng) if y_true is None else np.array(y_true, np.float64)
    for name, array in (("y_pred", z), ("y_true", t)):
        _of_shape(f"check_gradients: expected {name}", array, (len(z), *shape))
    share = np.full(len(z), 1 / len(z))

    def both() -> tuple[float, Any]:
        value, gradient, _ = head.loss(z, t, share, space)
        return value, gradient

    return loss.name, lambda: both()[0], [("y_pred", z, both()[1].copy())]


def _targets(loss: LossFunction, shape: tuple[int, ...], rng: Any) -> Any:
    """Return random targets that suit a loss: answers of 0 and 1, one-hot rows or quantities."""
    if loss.multi_label or loss.partner is SigmoidActivation:
        return rng.integers(0, 2, shape).astype(np.float64)
    if loss.classifies and shape[-1] > 1:
        return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    return rng.uniform(0.1, 0.9, shape)


def _spaced(rng: Any, shape: tuple[int, ...]) -> Any:
    """Return numbers from -1 to 1 that differ as much as possible, so that no step changes the largest of a window."""
    size = int(np.prod(shape))
    return rng.permutation((np.arange(size) - size / 2 + 0.25) * (2 / size)).reshape(shape)


def _of_shape(what: str, array: Any, shape: tuple[int, ...]) -> Any:
    if np.shape(array) != shape:
        got = "None" if array is None else np.shape(array)
        raise ShapeError(f"{what} of shape {shape}, got {got}; a batch begins with the number of samples")
    return array


def _errors(function: Callable[[], float], array: Any, gradient: Any, rng: Any, tolerance: float) -> Iterator[Entry]:
    """Yield entries of an array with their errors, relative to the largest gradient among them."""
    chosen = rng.permutation(array.size)[:MOST_ENTRIES]
    indices = [tuple(map(int, np.unravel_index(n, array.shape))) for n in chosen]
    numeric = {index: _difference(function, array, index, STEPS[0]) for index in indices}
    largest = max([1e-12, *(abs(value) for value in numeric.values())])
    for index in sorted(indices):
        analytic, best = float(gradient[index]), numeric[index]
        for step in STEPS[1:]:
            if abs(best - analytic) <= tolerance * largest:
                break
            best = min(best, _difference(function, array, index, step), key=lambda value: abs(value - analytic))
        error = abs(best - analytic) / largest
        yield index, error if np.isfinite(error) else np.inf, best, analytic


def _difference(function: Callable[[], float], array: Any, index: tuple[int, ...], step: float) -> float:
    """Return the derivative of `function()` by one entry of an array, which is moved and put back."""
    kept = array[index]
    moved = kept + step, kept - step
    values = []
    for array[index] in moved:
        values.append(function())
    array[index] = kept
    return float((values[0] - values[1]) / (moved[0] - moved[1]))  # of the step that was made after rounding
