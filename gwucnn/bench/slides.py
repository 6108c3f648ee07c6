"""Time the slides' own loops, in Python, beside gwucnn: the same network, one image at a time.

Run ``python -m gwucnn.bench.slides``. The loops are those of the slides (Don Kim, "Convolutional Neural
Networks", 2022): every sum of the convolution, forward and backward, is written out, and pooling looks at one
window at a time; Dense is a dot product, as it is in gwu_nn. Two things differ: pooling passes on the
gradient where the slides write the maximum, and the loss is not summed to one number. Neither changes the
count of operations, and both are needed for the answers to agree. The gradient by the image, which the slides
compute and nobody reads, is left out, in the loops' favour. Of the loops one step is timed; of gwucnn a whole
`fit` of as many images and epochs as on the slides, with all that it does around its steps, divided by these.

Arrays of the loops are channels first, as on the slides: image (H, W), kernel (F, K, K), maps (F, H, W).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, get_num_threads, to_categorical
from gwucnn.datasets import load_sample
from gwucnn.kernels import isa

Array = NDArray[np.floating]

FILTERS, KERNEL_SIZE, POOL_SIZE, STRIDES, UNITS = 2, 3, 2, 2, 100
LR = 0.001
IMAGES, EPOCHS = 200, 2
# float32 against the loops' float64: sums of 338 products differ by far less, a wrong tap by far more.
TOLERANCE = 1e-4


def conv_forward(image: Array, kernel: Array) -> Array:
    """Return the feature maps, (F, H - K + 1, W - K + 1), of one image (H, W)."""
    rows, columns = image.shape[0] - KERNEL_SIZE + 1, image.shape[1] - KERNEL_SIZE + 1
    output = np.zeros((FILTERS, rows, columns))
    for i in range(FILTERS):
        for x in range(rows):
            for y in range(columns):
                for z in range(KERNEL_SIZE):
                    for v in range(KERNEL_SIZE):
                        output[i, x, y] += image[x + z, y + v] * kernel[i, z, v]
    return output


def conv_backward(image: Array, output_error: Array) -> Array:
    """Return the gradient by the kernel, (F, K, K), for the gradient by the feature maps."""
    kernel_gradient = np.zeros((FILTERS, KERNEL_SIZE, KERNEL_SIZE))
    for i in range(FILTERS):
        for x in range(KERNEL_SIZE):
            for y in range(KERNEL_SIZE):
                for z in range(output_error.shape[1]):
                    for v in range(output_error.shape[2]):
                        kernel_gradient[i, x, y] += image[x + z, y + v] * output_error[i, z, v]
    return kernel_gradient


def pool_forward(maps: Array) -> Array:
    """Return the largest value of each window, (F, OH, OW)."""
    size = (maps.shape[1] - POOL_SIZE) // STRIDES + 1
    output = np.zeros((FILTERS, size, size))
    for i in range(FILTERS):
        for x in range(size):
            for y in range(size):
                rows = slice(x * STRIDES, x * STRIDES + POOL_SIZE)
                columns = slice(y * STRIDES, y * STRIDES + POOL_SIZE)
                output[i, x, y] = np.max(maps[i, rows, columns])
    return output


def pool_backward(maps: Array, output_error: Array) -> Array:
    """Return the gradient by the maps: each window's gradient at the place of its largest value."""
    input_gradient = np.zeros(maps.shape)
    for i in range(FILTERS):
        for x in range(output_error.shape[1]):
            for y in range(output_error.shape[2]):
                rows = slice(x * STRIDES, x * STRIDES + POOL_SIZE)
                columns = slice(y * STRIDES, y * STRIDES + POOL_SIZE)
                window = maps[i, rows, columns]
                max_x, max_y = np.unravel_index(window.argmax(), window.shape)
                input_gradient[i, rows, columns][max_x, max_y] = output_error[i, x, y]
    return input_gradient


def loops_predict(image: Array, weights: Sequence[Array]) -> tuple[Array, ...]:
    """Return the feature maps, pooled maps, hidden units and two probabilities of one image."""
    kernel, hidden_weight, output_weight = weights
    maps = conv_forward(image, kernel)
    pooled = pool_forward(maps)
    hidden = np.maximum(np.dot(pooled.reshape(1, -1), hidden_weight), 0)
    return maps, pooled, hidden, 1 / (1 + np.exp(-np.dot(hidden, output_weight)))


def loops_train(image: Array, target: Array, weights: Sequence[Array]) -> None:
    """Move the weights by one step of gradient descent on the log loss of one image."""
    kernel, hidden_weight, output_weight = weights
    maps, pooled, hidden, probability = loops_predict(image, weights)
    output_error = probability - target  # of sigmoid and log loss together
    hidden_error = np.dot(output_error, output_weight.T) * (hidden > 0)
    pooled_error = np.dot(hidden_error, hidden_weight.T).reshape(pooled.shape)
    output_weight -= LR * np.dot(hidden.T, output_error)
    hidden_weight -= LR * np.dot(pooled.reshape(-1, 1), hidden_error)
    kernel -= LR * conv_backward(image, pool_backward(maps, pooled_error))


def loops_weights(weights: Sequence[Array]) -> list[Array]:
    """Turn gwucnn's weights, in Keras' layout, into the slides': filters first, float64, copied."""
    kernel, hidden, output = (np.asarray(weight, np.float64) for weight in weights)
    size = int((len(hidden) / FILTERS) ** 0.5)
    hidden = hidden.reshape(size, size, FILTERS, UNITS).transpose(2, 0, 1, 3).reshape(-1, UNITS)
    return [kernel[:, :, 0, :].transpose(2, 0, 1).copy(), hidden, output.copy()]


def seed_network() -> GWUNetwork:
    """Build the network of the slides' example, with the sizes that it really has."""
    network = GWUNetwork(seed=0)
    network.add(Conv2D(FILTERS, KERNEL_SIZE, input_size=28))
    network.add(MaxPooling2D(POOL_SIZE, STRIDES))
    network.add(Flatten())
    network.add(Dense(UNITS, activation="relu"))
    network.add(Dense(2, activation="sigmoid"))
    network.compile(loss="log_loss", lr=LR)
    network.build((28, 28))
    return network


def check(network: GWUNetwork, x: Array, y: Array) -> None:
    """Raise AssertionError unless loops and gwucnn predict the same, and learn the same from one image."""
    weights = loops_weights(network.get_weights())
    for image, expected in zip(x[:5], network.predict(x[:5]), strict=True):
        np.testing.assert_allclose(loops_predict(image, weights)[-1][0], expected, rtol=TOLERANCE)
    before = [weight.copy() for weight in weights]
    loops_train(x[0], y[0], weights)
    network.train_on_batch(x[:1], y[:1])
    after = loops_weights(network.get_weights())
    for old, loops, ours in zip(before, weights, after, strict=True):
        # A weight is stored to 2**-24 of itself, which is much of so small a step: compare the whole step.
        np.testing.assert_allclose(ours - old, loops - old, rtol=0, atol=1e-2 * np.abs(loops - old).max())


def fastest(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the shortest time of each function, in milliseconds.

    They take turns, so that what else the machine does falls on all of them.
    """
    times = [[0.0] * rounds for _ in functions]
    for number in range(rounds):
        for function, own in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            own[number] = (time.perf_counter() - start) * 1000
    return [min(own) for own in times]


def main(argv: Sequence[str] | None = None) -> int:
    """Check, time and print; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gwucnn.bench.slides",
        description="Time the slides' loops in Python beside gwucnn, one image at a time.",
    )
    parser.add_argument("--rounds", type=int, default=15, help="take the fastest of so many (%(default)s)")
    rounds = max(1, parser.parse_args(argv).rounds)

    (images, labels), _ = load_sample()
    chosen = np.flatnonzero(labels < 2)[:IMAGES]
    x, y = np.divide(images[chosen], 255, dtype=np.float32), to_categorical(labels[chosen], 2)
    network = seed_network()
    check(network, x, y)

    weights = loops_weights(network.get_weights())
    loops, ours = fastest(
        [lambda: loops_train(x[0], y[0], weights), lambda: network.fit(x, y, epochs=EPOCHS, verbose=0)],
        rounds,
    )
    ours /= EPOCHS * len(x)
    fit = f"a fit of {EPOCHS} epochs of {len(x)}"
    print(f"train the slides' network on one 28 x 28 image; fastest of {rounds}; gwucnn in {fit}")
    print(f"  the slides' loops in Python {loops:9.3f} ms")
    print(f"  gwucnn                      {ours:9.3f} ms  {isa()} kernels, threads: {get_num_threads()}")
    print(f"  ratio                       {loops / ours:9.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
