"""The course of a training run and the quality of its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gwucnn import metrics
from gwucnn.callbacks.history import History
from gwucnn.common import checks_arguments, panels
from gwucnn.training import LearningRates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["confusion_matrix", "learning_curves", "lr_find"]


@checks_arguments
def learning_curves(history: Any, *, ax: Any = None) -> Figure:
    """Draw the course of a training run: a panel for the loss and for each metric.

    Training and validation share a panel; a learning rate that changes has its own.

    Parameters
    ----------
    history : History, or a dict of name to list such as its `history`
        What `fit` returned.
    ax : matplotlib Axes, as many as there are panels, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> figure = learning_curves({"loss": [1.2, 0.7, 0.5], "val_loss": [1.3, 0.9, 0.9]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    if not isinstance(history, (History, Mapping)):
        raise TypeError(f"learning_curves: expected a History, got {type(history).__name__}; pass what fit returned")
    curves = history.history if isinstance(history, History) else dict(history)
    names = [name for name in curves if not name.startswith("val_") and name != "lr"]
    if not names:
        raise ValueError(f"learning_curves: expected a history with a loss, got {sorted(curves)}")
    if len(set(curves.get("lr", ()))) > 1:
        names.append("lr")
    lengths = {name: len(values) if np.ndim(values) == 1 else -1 for name, values in curves.items()}
    length = lengths[names[0]]
    odd = next((name for name, each in lengths.items() if each != length or each < 0), None)
    if odd is not None:
        got = f"{lengths[odd]} of {odd!r} beside {length} of {names[0]!r}" if lengths[odd] >= 0 else f"{curves[odd]!r}"
        raise ValueError(f"learning_curves: expected a list for each name, of one number per epoch, got {got}")
    epochs = [epoch + 1 for epoch in getattr(history, "epoch", range(length))]
    figure, axes = panels("learning_curves", ax, names, (4.5 * len(names), 3.5))
    for axis, name in zip(axes, names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in curves:
                axis.plot(epochs, curves[key], marker="o" if length < 30 else None, markersize=3, label=label)
        axis.set(xlabel="epoch", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        if len(axis.lines) > 1:
            axis.legend()
    return figure


@checks_arguments
def lr_find(found: LearningRates, *, ax: Any = None) -> Figure:
    """Draw what `network.lr_find` found: the loss at each learning rate, the results of the trials, the suggestion.

    found : LearningRates
        What `network.lr_find` returned. Its method `plot` draws the same.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Raises ValueError if no learning rate was tried.
    """
    if not isinstance(found, LearningRates):
        got = type(found).__name__
        raise TypeError(
            f"lr_find: expected what network.lr_find returned, got {got}; write lr_find(network.lr_find(x, y))"
        )
    return found.plot(ax)


@checks_arguments
def confusion_matrix(y_true: Any, y_pred: Any, labels: Sequence[str] | None = None, *, ax: Any = None) -> Figure:
    """Draw how often each class (row) was predicted as each class (column).

    Colours are shares of a row, so that rare classes show as well as frequent ones; the numbers are counts.

    Parameters
    ----------
    y_true, y_pred : labels (N,), or probabilities or one-hot rows (N, K)
    labels : sequence of str, optional
        Names of the classes; their numbers by default.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ShapeError
        If y_true and y_pred differ in length; ValueError if there are not as many labels as classes.
    """
    if isinstance(labels, str):
        raise TypeError(f"confusion_matrix: expected labels to be a list of names, got {labels!r}")
    widths = [np.shape(y)[1] for y in (y_true, y_pred) if np.ndim(y) == 2 and np.shape(y)[1] > 1]
    K = len(labels) if labels is not None else max(widths, default=None)
    counts = metrics.confusion_matrix(y_true, y_pred, K)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [str(name) for name in (range(len(counts)) if labels is None else labels)]
    side = 2 + 0.45 * len(counts)
    figure, (axis,) = panels("confusion_matrix", ax, ["counts"], (side + 0.8, side))
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[i, j] > 0.5 else "black"
            axis.text(j, i, f"{count}", ha="center", va="center", color=color, fontsize="small")
    axis.set(xlabel="predicted", ylabel="true")
    axis.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 4 else 90)
    axis.set_yticks(range(len(names)), names)
    figure.colorbar(image, ax=axis, label="share of the row", shrink=0.8)
    return figure
