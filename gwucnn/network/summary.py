"""The table that `network.summary()` prints: shapes, weights, work and memory of each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from gwucnn.common import html_table
from gwucnn.layers import Layer
from gwucnn.layers.inserting import in_user_order

__all__ = ["summary", "summary_html"]

HEAD = ("layer", "output shape", "weights", "multiply-adds", "bytes")
READS = "reads"
UNKNOWN = "?"


def summary(
    layers: Sequence[Layer], built: int, itemsize: int, channels_first: bool, reads: Sequence[str] | None = None
) -> str:
    """Return a table of the layers: output shape, number of weights, and cost of each.

    reads : what each layer reads, for layers that are not a row.

    Only the first `built` layers are built; '?' stands for what is not known yet about the others. Multiply-adds are
    counted for one image, bytes for the weights and the output for one image.
    """
    rows: list[tuple[str, ...]] = [HEAD if reads is None else (*HEAD, READS)]
    for number, layer in enumerate(layers):
        rows += _rows(layer, number < built, itemsize, channels_first, last=_last(reads, number))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], rule, *_totals(layers, built, itemsize)])


def summary_html(
    layers: Sequence[Layer], built: int, itemsize: int, channels_first: bool, reads: Sequence[str] | None = None
) -> str:
    """Return the same table in HTML, for notebooks."""
    rows = [
        row
        for number, layer in enumerate(layers)
        for row in _rows(layer, number < built, itemsize, channels_first, last=_last(reads, number))
    ]
    numbered = [
        (*row[:2], *(int(cell.replace(",", "")) if cell != UNKNOWN else cell for cell in row[2:5]), *row[5:])
        for row in rows
    ]
    return html_table(HEAD if reads is None else (*HEAD, READS), numbered, "\n".join(_totals(layers, built, itemsize)))


def _last(reads: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """Return the last cell of a layer's row, if there is one."""
    return () if reads is None else (reads[number],)


def _padded(row: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """Yield the cells of a row, words aligned left and numbers aligned right."""
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if 2 <= column < len(HEAD) else cell.ljust(width)


def _rows(
    layer: Layer, built: bool, itemsize: int, channels_first: bool, indent: str = "", last: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the row of a layer, followed by the rows of the layers inside it."""
    name = indent + (layer.label if layer.name is None else f"{layer.label} ({layer.name})")
    if built:
        shape = ", ".join(map(str, ("N", *in_user_order(layer.out_shape, channels_first))))
        cells = _weights(layer), layer.multiply_adds, _bytes(layer, itemsize)
        yield (name, f"({shape})", *(f"{cell:,}" for cell in cells), *last)
    else:
        yield (name, *[UNKNOWN] * 4, *last)
    for inner in getattr(layer, "children", ()):
        yield from _rows(inner, built, itemsize, channels_first, indent + "  ", last=("",) * len(last))


def _weights(layer: Layer) -> int:
    return sum(parameter.size for parameter in layer.parameters)


def _bytes(layer: Layer, itemsize: int) -> int:
    return (_weights(layer) + prod(layer.out_shape)) * itemsize


def _totals(layers: Sequence[Layer], built: int, itemsize: int) -> list[str]:
    if built < len(layers):
        return ["not built yet; call build(input_shape), or fit"]
    weights = sum(map(_weights, layers))
    frozen = sum(p.size for layer in layers for p in layer.parameters if not p.trainable)
    activations = sum(prod(layer.out_shape) for layer in layers)
    return [
        f"{weights:,} weights" + (f", {frozen:,} of them frozen" if frozen else ""),
        f"{sum(layer.multiply_adds for layer in layers):,} multiply-adds per image",
        f"{_size(weights * itemsize)} of weights, {_size(activations * itemsize)} of activations per image",
    ]


def _size(count: float) -> str:
    """Return a number of bytes with a unit: '16.9 kB'."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"
