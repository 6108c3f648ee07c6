"""One output pixel of a convolution in numbers: the window, the filter, their products and the sum."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gwucnn import ops
from gwucnn.common import Padding, ShapeError, Size, Window, check_size, checks_arguments, panels
from gwucnn.layers import Conv2D
from gwucnn.plotting.base import frame, number, write_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["sliding_window"]

# More channels than these are not drawn, only added.
MOST_CHANNELS = 4

# Inches that a written number takes.
NUMBER = 0.42


class Filter(NamedTuple):
    """One filter of a convolution, and its options.

    Its weights (KH, KW, C) are for the channels of an image from the first one on; with groups, those are not all.
    """

    weights: Any
    first: int
    channels: int
    bias: float
    window: Window
    activation: str


@checks_arguments
def sliding_window(
    image: Any,
    kernel: Any,
    at: tuple[int, int] = (0, 0),
    *,
    filter_number: int = 0,
    strides: Size = 1,
    padding: Padding = "valid",
    ax: Any = None,
) -> Figure:
    """Draw how a convolution computes one output pixel: window times filter, and the sum of the products.

    ::

        y[i, j] = sum over u < KH, v < KW, c < C of x[i*SH + u, j*SW + v, c] * kernel[u, v, c] + bias

    where x is the padded image. There is a row for each channel; of more than four, the first four are drawn and
    the others added.

    Parameters
    ----------
    image : shape (H, W) or (H, W, C)
        Channels last.
    kernel : Conv2D in a built network, or an array of shape (KH, KW), (KH, KW, C) or (KH, KW, C, F)
        A layer brings its own strides, padding and bias.
    at : (i, j)
        Row and column of the output pixel.
    filter_number : int
        The filter, of several.
    strides, padding
        As for `Conv2D`, if the kernel is an array.
    ax : matplotlib Axes, five for each row, optional
        Where to draw; by default in a new figure.

    Raises
    ------
    ShapeError
        If image and kernel do not fit each other; ValueError for a pixel or a filter that does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(25).reshape(5, 5)
    >>> figure = sliding_window(image, [[1, 0, -1]] * 3, at=(1, 2))
    >>> figure.axes[-1].get_xlabel()
    'sum -6'
    """
    image, chosen = _image(image), _filter(kernel, filter_number, strides, padding)
    KH, KW, C = chosen.weights.shape
    if image.shape[2] != chosen.channels:
        raise ShapeError(
            f"sliding_window: expected an image of {chosen.channels} channels, got {image.shape}; channels come last"
        )
    image = image[..., chosen.first : chosen.first + C]
    (i, j), outputs = _place(chosen.window, at, image), _outputs(image, chosen)
    padded = np.pad(image, (*chosen.window.pad(image.shape[:2]), (0, 0)))
    (SH, SW), (DH, DW), (RH, RW) = chosen.window.strides, chosen.window.dilation, chosen.window.reach
    patch = padded[i * SH : i * SH + RH : DH, j * SW : j * SW + RW : DW]
    products = patch * chosen.weights
    rows = min(C, MOST_CHANNELS)
    side = max(KH, KW) * NUMBER + 0.7
    figure, axes = panels(
        "sliding_window",
        ax,
        ["image", "window", "filter", "products", "output"] * rows,
        (5 * side, rows * side + 0.6),
        rows=rows,
    )
    weight_limit, product_limit = (float(np.abs(each).max()) or 1.0 for each in (chosen.weights, products))
    for c in range(rows):
        picture, window, weights, made, output = axes[5 * c : 5 * c + 5]
        low, high = float(padded[..., c].min()), float(padded[..., c].max())
        grey = {"cmap": "gray", "vmin": low, "vmax": high if high > low else low + 1}
        picture.imshow(padded[..., c], **grey)
        frame(picture, i * SH, j * SW, RH, RW, "red", 2)
        _write(window, patch[..., c], **grey)
        _write(weights, chosen.weights[..., c], cmap="RdBu_r", vmin=-weight_limit, vmax=weight_limit)
        _write(made, products[..., c], cmap="RdBu_r", vmin=-product_limit, vmax=product_limit)
        for axis, sign in ((weights, "\N{MULTIPLICATION SIGN}"), (made, "=")):
            axis.text(-0.14, 0.5, sign, transform=axis.transAxes, fontsize=16, ha="center", va="center")
        made.set_xlabel(f"sum {number(products[..., c].sum())}", fontsize=9)
        if C > 1:
            picture.set_ylabel(f"channel {chosen.first + c}", fontsize=9)
        for axis in (picture, window, weights, made, output):
            axis.set(xticks=[], yticks=[])
        if c:
            output.set_axis_off()
    titles = ("image", "window", f"filter {filter_number}", "products", f"output [{i}, {j}]")
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title, fontsize=10)
    axes[4].imshow(outputs, cmap="gray")
    frame(axes[4], i, j, 1, 1, "red", 2)
    if rows == 1:
        axes[4].set_xlabel(_equation(products, chosen, rows), fontsize=9)
    else:
        axes[9].text(0, 1, _equation(products, chosen, rows), transform=axes[9].transAxes, va="top", fontsize=9)
    return figure


def _image(image: Any) -> Any:
    image = np.asarray(image)
    if image.dtype.kind not in "biuf" or image.ndim not in (2, 3):
        got = image.shape if image.dtype.kind in "biuf" else type(image.flat[0] if image.size else image).__name__
        raise ShapeError(f"sliding_window: expected one image, (H, W) or (H, W, C), got {got}; pick one, such as x[0]")
    image = image.astype(np.float64)
    return image[..., None] if image.ndim == 2 else image


def _filter(kernel: Any, which: Any, strides: Size, padding: Padding) -> Filter:
    """Return one filter of a layer or of an array."""
    if isinstance(kernel, Conv2D):
        if not kernel.parameters or kernel.kernel.constant is None:
            raise ValueError(f"sliding_window: expected a layer in a built network, got {kernel!r}; call build first")
        weights, groups = kernel.kernel.constant, kernel.groups
        strides, padding, dilation = kernel.strides, kernel.padding, kernel.dilation_rate
        biases = kernel.bias.constant if kernel.add_bias else np.zeros(kernel.filters)
        activation = kernel.config().get("activation", "")
    else:
        weights, groups, dilation, activation = np.asarray(kernel), 1, (1, 1), ""
        if weights.dtype.kind not in "biuf" or weights.ndim not in (2, 3, 4):
            got = f"{weights.shape}" if weights.dtype.kind in "biuf" else f"a {type(kernel).__name__}"
            hint = "; pick one of its layers" if hasattr(kernel, "layers") else ""
            raise TypeError(
                "sliding_window: expected kernel to be a Conv2D or an array (KH, KW), (KH, KW, C) or (KH, KW, C, F), "
                f"got {got}{hint}"
            )
        weights = weights.reshape(*weights.shape, *[1] * (4 - weights.ndim))
        biases = np.zeros(weights.shape[3])
    F = weights.shape[3]
    which = check_size("sliding_window", "filter_number", which, 0)
    if which >= F:
        raise ValueError(f"sliding_window: expected filter_number from 0 to {F - 1}, got {which}")
    window = Window.of("sliding_window", weights.shape[:2], strides, padding, dilation)
    C = weights.shape[2]
    first = which // (F // groups) * C
    return Filter(weights[..., which].astype(np.float64), first, C * groups, float(biases[which]), window, activation)


def _place(window: Window, at: Any, image: Any) -> tuple[int, int]:
    OH, OW = window.output(image.shape[:2])
    if not isinstance(at, (tuple, list)) or len(at) != 2 or not all(isinstance(place, Integral) for place in at):
        raise ValueError(f"sliding_window: expected at=(row, column) of an output pixel, got {at!r}")
    if not (0 <= at[0] < OH and 0 <= at[1] < OW):
        raise ValueError(f"sliding_window: expected at from (0, 0) to ({OH - 1}, {OW - 1}), got {at!r}")
    return int(at[0]), int(at[1])


def _outputs(image: Any, chosen: Filter) -> Any:
    """Return all output pixels of the filter, before the activation."""
    window = chosen.window
    options = {"strides": window.strides, "padding": window.padding, "dilation_rate": window.dilation}
    return ops.conv2d(image[None], chosen.weights[..., None], **options)[0, ..., 0] + chosen.bias


def _equation(products: Any, chosen: Filter, rows: int) -> str:
    """Return how the output pixel is computed from the sums of the channels, a line for each term."""
    sums = [float(products[..., c].sum()) for c in range(rows)]
    total = float(products.sum())
    lines = [number(sums[0]), *(f"+ {number(each)}" for each in sums[1:])]
    if products.shape[2] > rows:
        lines.append(f"+ {number(total - sum(sums))} of {products.shape[2] - rows} more channels")
    if chosen.bias:
        lines.append(f"+ {number(chosen.bias)} bias")
    made = "\n".join([*lines, f"= {number(total + chosen.bias)}"]) if len(lines) > 1 else f"sum {lines[0]}"
    return f"{made}, then {chosen.activation}" if chosen.activation else made


def _write(axis: Any, values: Any, **options: Any) -> None:
    """Draw values as an image, with the numbers written in."""
    write_numbers(axis, axis.imshow(values, **options), values, size=8)
