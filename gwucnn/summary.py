"""A network as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

from gwucnn.layers import Layer

__all__ = ["summary"]


def summary(
    layers: Sequence[Layer],
    shapes: Sequence[tuple[int, ...] | None],
    shown: Callable[[tuple[int, ...]], tuple[int, ...]] = tuple,
) -> str:
    """Return a table of layers, their output shapes and numbers of weights; '?' where not known yet.

    Layers inside of others stand below them, with their own part of the weights. `shown` turns the shapes of
    their outputs into the user's order.
    """
    rows = [("layer", "output shape", "weights")]
    for layer, shape in zip(layers, shapes, strict=True):
        rows.extend(_rows(layer, shape, shown, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    lines.insert(1, "-" * len(lines[0]))
    trained = sum(p.size for layer in layers for p in layer.parameters if p.trainable)
    frozen = sum(p.size for layer in layers for p in layer.parameters) - trained
    total = f"{trained + frozen:,} weights" + (f", {frozen:,} of them frozen" if frozen else "")
    return "\n".join(
        [*lines, "-" * len(lines[0]), total if all(s is not None for s in shapes) else "not built yet"]
    )


def _rows(
    layer: Layer, shape: tuple[int, ...] | None, shown: Callable[..., tuple[int, ...]], above: str
) -> Iterator[tuple[str, str, str]]:
    """Yield a layer's row and, indented, those of the layers inside; `above` is the label of its holder."""
    known = shape is not None
    weights = sum(prod(parameter.shape) for parameter in layer.parameters)
    label = layer.label.removeprefix(f"{above}.")
    yield (
        label if layer.name is None else f"{label} ({layer.name})",
        f"({', '.join(map(str, ('N', *shape)))})" if known and shape else "?",
        f"{weights:,}" if known else "?",
    )
    for child in layer.children:
        inner = shown(child.out_shape) if known else None
        for name, size, number in _rows(child, inner, shown, layer.label):
            yield f"  {name}", size, number
