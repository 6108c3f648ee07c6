"""A network as a table."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from gwucnn.layers import Layer

__all__ = ["summary"]


def summary(layers: Sequence[Layer], shapes: Sequence[tuple[int, ...] | None]) -> str:
    """Return a table of layers, their output shapes and numbers of weights; '?' where not known yet."""
    rows = [("layer", "output shape", "weights")]
    for layer, shape in zip(layers, shapes, strict=True):
        known = shape is not None
        weights = sum(prod(parameter.shape) for parameter in layer.parameters)
        name = layer.label if layer.name is None else f"{layer.label} ({layer.name})"
        rows.append(
            (
                name,
                f"({', '.join(map(str, ('N', *shape)))})" if known and shape else "?",
                f"{weights:,}" if known else "?",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    lines.insert(1, "-" * len(lines[0]))
    trained = sum(p.size for layer in layers for p in layer.parameters if p.trainable)
    frozen = sum(p.size for layer in layers for p in layer.parameters) - trained
    total = f"{trained + frozen:,} weights" + (f", {frozen:,} of them frozen" if frozen else "")
    return "\n".join(
        [*lines, "-" * len(lines[0]), total if all(s is not None for s in shapes) else "not built yet"]
    )
