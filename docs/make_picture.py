"""Draw `docs/front_page.png`, the picture in the README: what a small network computes, and how it learns.

Run from the root of the repository, with the package installed (it takes about ten seconds)::

    pip install ".[plot]"
    python -P docs/make_picture.py

The network is that of the README with 8 filters of 5x5 pixels; the digits are those that come with the package. The
same versions of gwucnn and matplotlib draw the same picture again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, History, MaxPooling2D, datasets

TARGET = Path(__file__).parent / "front_page.png"
WIDTH, HEIGHT = 11.0, 3.3  # of the picture, in inches
TOP, BOTTOM = 2.75, 0.45  # between which all panels lie
DIGIT, FILTERS, SIDE, EPOCHS = 6, 8, 5, 12
BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#4b5563"


def train() -> tuple[GWUNetwork, History, Any]:
    """Train the network that is drawn; return it, its history and the digit to show."""
    (x, y), (x_test, y_test) = datasets.load_sample()
    network = GWUNetwork(seed=1)
    network.add(Conv2D(FILTERS, SIDE, activation="relu", add_bias=True))
    network.add(MaxPooling2D(2))
    network.add(Flatten())
    network.add(Dense(10, add_bias=True, activation="softmax"))
    network.compile(loss="cross_entropy", optimizer="adam", lr=0.003)
    history = network.fit(x / 255, y, EPOCHS, 32, validation_data=(x_test / 255, y_test), verbose=0)
    return network, history, x_test[DIGIT]


def panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at this place in inches."""
    return figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))


def picture(figure: Figure, image: Any, left: float, bottom: float, size: float, **options: Any) -> None:
    """Draw a square image without ticks."""
    axes = panel(figure, left, bottom, size, size)
    axes.imshow(image, **options)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#c4c9d1")


def title(figure: Figure, left: float, text: str) -> None:
    """Write the title of a panel."""
    figure.text(left / WIDTH, (TOP + 0.16) / HEIGHT, text, fontsize=10, color=GREY)


def draw_network(figure: Figure, network: GWUNetwork, digit: Any) -> None:
    """Draw a digit, the filters with their feature maps, and the network's answer."""
    maps, *_, answer = network.activations(digit[None] / 255)
    weights = network.get_weights()[0]
    limit = abs(weights).max()
    height = TOP - BOTTOM
    title(figure, 0.1, "a digit that it never saw")
    picture(figure, digit, 0.1, BOTTOM, height, cmap="gray_r")
    title(figure, 2.75, f"{FILTERS} filters of {SIDE}x{SIDE} pixels (corners), and what they find")
    size, gap = (height - 0.1) / 2, 0.1
    for number in range(FILTERS):
        row, column = divmod(number, FILTERS // 2)
        left, bottom = 2.75 + column * (size + gap), BOTTOM + (1 - row) * (size + gap)
        picture(figure, maps[0, :, :, number], left, bottom, size, cmap="Blues")
        corner = 0.36 * size
        kernel = weights[:, :, 0, number]
        picture(figure, kernel, left, bottom + size - corner, corner, cmap="PuOr", vmin=-limit, vmax=limit)
    axes = panel(figure, 7.75, BOTTOM, 0.7, height)
    title(figure, 7.55, "its answer")
    best = answer[0].argmax()
    axes.barh(range(10), answer[0], color=[ORANGE if number == best else BLUE for number in range(10)])
    axes.set(yticks=range(10), xlim=(0, 1), xticks=[0, 1], ylim=(9.6, -0.6))
    bare(axes)


def draw_learning(figure: Figure, history: History) -> None:
    """Draw the accuracy after each epoch, on digits of the training set and on others."""
    axes = panel(figure, 9.0, BOTTOM, 1.9, TOP - BOTTOM)
    title(figure, 8.75, "accuracy by epoch")
    for name, label, colour, place, side in (
        ("accuracy", "1,500 it learns from", BLUE, 1.01, "bottom"),
        ("val_accuracy", "500 it never saw", ORANGE, 0.91, "top"),
    ):
        axes.plot(range(1, EPOCHS + 1), history.history[name], color=colour, marker="o", markersize=3)
        axes.annotate(label, (EPOCHS, place), color=colour, fontsize=9, ha="right", va=side)
    axes.set(ylim=(0.6, 1.05), yticks=[0.6, 0.7, 0.8, 0.9, 1.0], xticks=range(2, EPOCHS + 1, 2))
    axes.grid(alpha=0.25)
    bare(axes)


def bare(axes: Axes) -> None:
    """Keep the lines at the left and at the bottom only."""
    axes.tick_params(labelsize=8, colors=GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Train, draw and save."""
    network, history, digit = train()
    figure = pyplot.figure(figsize=(WIDTH, HEIGHT), dpi=110, facecolor="white")
    draw_network(figure, network, digit)
    draw_learning(figure, history)
    figure.savefig(TARGET, metadata={"Software": None})


if __name__ == "__main__":
    main()
