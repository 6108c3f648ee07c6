"""A demonstration in two parts, which needs no network connection: ``python -m gwucnn.demo``.

(a) The program on the slides, word for word: is it a 0 or a 1? (b) A network for all ten digits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gwucnn import (
    Adam,
    Conv2D,
    Dense,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    __version__,
    confusion_matrix,
    get_num_threads,
    set_num_threads,
    to_categorical,
)
from gwucnn.datasets import load_mnist, load_sample
from gwucnn.datasets.base import Dataset
from gwucnn.kernels import isa

__all__ = ["main"]

Say = Callable[[str], None]

# Defaults of (b).
SAMPLE = {"epochs": 12, "batch_size": 32, "lr": 0.004}
MNIST = {"epochs": 5, "batch_size": 128, "lr": 0.004}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Parameters
    ----------
    argv : sequence of str, optional
        The options; by default those of the command line. ``--help`` explains them.

    Returns
    -------
    int
        The exit status: 0, or 1 if the accuracy of (b) is below ``--require`` or its numbers overflow. For wrong
        options and missing images the program exits with status 2.
    """
    parser = build_parser()
    options = parser.parse_args(argv)
    for name, value in (SAMPLE if options.mnist is None else MNIST).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    try:
        data = load_sample() if options.mnist is None else load_mnist(options.mnist or None)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))
    if options.threads is not None:
        set_num_threads(options.threads)

    # With --json, standard output is reserved for the JSON object; everything else goes to standard error.
    say: Say = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    report: dict[str, Any] = {"version": __version__, "variant": isa(), "threads": get_num_threads()}
    say(f"gwucnn {report['version']}, {report['variant']} kernels, threads: {report['threads']}")
    report["slides"] = zero_or_one(options.seed, say)
    try:
        report |= ten_digits(data, options, say)
    except FloatingPointError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    passed = options.require is None or report["accuracy"] >= options.require
    if not passed:
        say(f"demo: expected an accuracy of {options.require}, got {report['accuracy']}; try more --epochs")
    if options.json:
        print(json.dumps(report | {"require": options.require, "passed": passed}))
    return 0 if passed else 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(
        prog="python -m gwucnn.demo",
        description="Train two networks on handwritten digits that come with the package: (a) that of the "
        "slides, which tells 0 from 1, and (b) one for all ten digits. Takes about ten seconds.",
    )
    add = parser.add_argument
    add(
        "--mnist",
        nargs="?",
        const="",
        metavar="DIR",
        help="train (b) on the 60,000 images of MNIST: the four IDX files in DIR (an .npz or .csv will do), "
        "or, without DIR, what scikit-learn fetches",
    )
    add("--epochs", type=positive(int), help=f"how often (b) sees every image ({defaults('epochs')})")
    add("--batch-size", type=positive(int), help=f"images in a step of (b) ({defaults('batch_size')})")
    add("--lr", type=positive(float), help=f"first learning rate of (b) ({defaults('lr')})")
    add("--seed", type=int, default=0, help="number that the first weights are drawn from (%(default)s)")
    add("--threads", type=positive(int), help="threads to compute with (as many as there are processors)")
    add(
        "--require",
        type=fraction,
        metavar="ACCURACY",
        help="exit with status 1 if (b) gets less than this share of its test images right, such as 0.95",
    )
    add("--json", action="store_true", help="print one JSON object, and the rest to standard error")
    return parser


def defaults(name: str) -> str:
    """Return both defaults of an option of (b), for the help text."""
    return f"{SAMPLE[name]}; with --mnist {MNIST[name]}"


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return a converter for positive numbers."""

    def read(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    read.__name__ = kind.__name__  # argparse says "invalid int value" by this name
    return read


def fraction(text: str) -> float:
    """Convert to a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got {text}; 95% is 0.95")
    return value


def zero_or_one(seed: int, say: Say) -> dict[str, Any]:
    """Run the program on the slides, and show its answers as the slides do."""
    (x_train, y_train), (x_test, y_test) = load_sample()
    # The slides take 200 and 10 images of 0 and 1 from the first 1,500 and 150.
    train = np.flatnonzero(y_train[:1500] < 2)[:200]
    test = np.flatnonzero(y_test[:150] < 2)[:10]
    x_train_subset = scaled(x_train[train])
    y_train_subset = to_categorical(y_train[train], num_classes=2)
    x_test_subset = scaled(x_test[test])

    say("\n(a) The network of the slides: 0 or 1? 200 images, 2 epochs, one image a step")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = GWUNetwork(seed=seed)
        network.add(Conv2D(input_size=28, kernel_size=3))
        network.add(MaxPooling2D(pool_size=2, strides=2, input_size=23))
        network.add(Flatten(input_size=(11, 11)))
        network.add(Dense(100, add_bias=False, activation="relu"))
        network.add(Dense(2, add_bias=False, activation="sigmoid"))
        network.compile(loss="log_loss", lr=0.001)
    notes = [str(warning.message) for warning in caught]
    if notes:
        say("Two sizes on the slides are not what the layer before makes; gwucnn uses the true ones:")
        for note in notes:
            say(f"  {note}")
    network.fit(x_train_subset, y_train_subset, epochs=2)
    results = network.predict(x_test_subset)

    actual, predicted = y_test[test].tolist(), results.argmax(axis=1).tolist()
    right = sum(a == p for a, p in zip(actual, predicted, strict=True))
    say(f"Actual: {actual}")
    say(f"Predic: {predicted}")
    say(f"Accuracy: {right} of {len(actual)}, {right / len(actual):.0%}")
    return {"actual": actual, "predicted": predicted, "accuracy": right / len(actual), "notes": notes}


def ten_digits(data: Dataset, options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Train a network on all ten digits, and show which ones it confuses."""
    (x_train, y_train), (x_test, y_test) = data
    say(
        f"\n(b) Ten digits: {len(x_train):,} images, {options.epochs} epochs, {options.batch_size} images a "
        f"step, Adam with a learning rate falling from {options.lr}"
    )
    adam = Adam(options.lr)
    network = digits_network(options.seed)
    network.compile(loss="cross_entropy", optimizer=adam)
    start = time.perf_counter()
    history = network.fit(
        scaled(x_train),
        to_categorical(y_train, num_classes=10),
        epochs=options.epochs,
        batch_size=options.batch_size,
        callbacks=[falling(adam, options.epochs)],
        verbose=1,
    )
    seconds = time.perf_counter() - start
    say(f"Trained in {seconds:.1f} s, {options.epochs * len(x_train) / seconds:,.0f} images a second")

    confusion = confusion_matrix(y_test, network.predict(scaled(x_test)), num_classes=10)
    accuracy = float(confusion.trace() / len(y_test))
    say(confusion_table(confusion))
    say(f"Accuracy: {confusion.trace()} of {len(y_test)} test images, {accuracy:.2%}")
    return {
        "data": "sample" if options.mnist is None else "mnist",
        **{name: getattr(options, name) for name in ("epochs", "batch_size", "lr", "seed")},
        "accuracy": accuracy,
        "seconds": seconds,
        "seconds_per_epoch": history.seconds,
        "loss": history.history["loss"],
        "confusion_matrix": confusion.tolist(),
    }


def digits_network(seed: int) -> GWUNetwork:
    """Return a network of two convolutions with an output for each digit."""
    network = GWUNetwork(seed=seed)
    network.add(Conv2D(32, 3, activation="relu", add_bias=True))
    network.add(MaxPooling2D(2))
    network.add(Conv2D(64, 3, activation="relu", add_bias=True))
    network.add(MaxPooling2D(2))
    network.add(Flatten())
    network.add(Dense(10, add_bias=True, activation="softmax"))
    return network


def falling(optimizer: Adam, epochs: int) -> Callable[[dict[str, Any]], None]:
    """Return a callback that reduces the learning rate after each epoch, along half a cosine down to zero.

    The weights then settle, whereas with a constant rate they keep oscillating around the optimum.
    """
    first = optimizer.lr

    def lower(record: dict[str, Any]) -> None:
        done = (record["epoch"] + 1) / epochs
        if done < 1:
            optimizer.lr = first * (0.5 + 0.5 * math.cos(math.pi * done))

    return lower


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale grey values from 0..255 to 0..1."""
    return np.divide(images, 255, dtype=np.float32)


def confusion_table(confusion: NDArray[np.int64]) -> str:
    """Format a table of counts by actual and predicted digit; dots in place of zeros make mistakes stand out."""
    lines = ["          predicted", "actual " + "".join(f"{digit:6d}" for digit in range(10))]
    for digit, row in enumerate(confusion.tolist()):
        lines.append(f"{digit:6d} " + "".join(f"{count or '.':>6}" for count in row))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
