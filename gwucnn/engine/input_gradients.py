"""Which pixels matter: gradients of class scores by a network's input and by what its layers make of it.

K. Simonyan, A. Vedaldi and A. Zisserman, "Deep inside convolutional networks", arXiv:1312.6034, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.engine.fusion import plan
from gwucnn.layers import Layer
from gwucnn.memory import Space

__all__ = ["score_gradients", "score_slopes"]


def score_gradients(layers: Sequence[Layer], x: Any, labels: Any) -> tuple[list[Any], list[Any]]:
    """Return x and what each layer makes of it, and by how much each of these numbers moves the scores.

    The layers compute as in use, not as in training. The last activation is left out: a score is its input.

    x : shape (N, ...), channels last, of the dtype to compute in
    labels : as for `score_slopes`
    """
    steps, _ = plan(layers, fuse=False)
    spaces = [Space(x.dtype, backward_follows=True) for _ in steps]
    values = [x]
    for step, space in zip(steps, spaces, strict=True):
        values.append(step.forward(values[-1], space))
    slopes = [score_slopes(values[-1], labels)]
    for step, space in zip(reversed(steps), reversed(spaces), strict=True):
        slopes.append(step.backward(slopes[-1], space))
    return [np.array(value) for value in values], [np.array(slope) for slope in reversed(slopes)]


def score_slopes(z: Any, labels: Any) -> Any:
    """Return the gradient by z of the sum of each sample's score for its label.

    z : shape (N, ..., K)
        The score of class k is z[..., k], summed over pixels if z are images. One output stands for two
        classes: it is the score of class 1, and the less of it the higher is that of class 0.
    labels : int, or integers of shape (N,); None for the class with the highest score
    """
    K = z.shape[-1]
    scores = z.reshape(len(z), -1, K).sum(axis=1)
    if labels is None:
        labels = scores.argmax(axis=1) if K > 1 else scores[:, 0] > 0
    classes, labels = max(K, 2), np.asarray(labels)
    whole = labels.dtype.kind in "biu"
    if not whole or (labels.size and not 0 <= labels.min() <= labels.max() < classes):
        raise ValueError(f"gradients: expected labels from 0 to {classes - 1}, got {labels.tolist()}")
    if labels.shape not in ((), (len(z),)):
        raise ValueError(f"gradients: expected one label, or {len(z)} for as many samples, got {labels.shape}")
    chosen = np.broadcast_to(labels, len(z)).astype(np.int64)
    each = np.where(chosen > 0, 1, -1)[:, None] if K == 1 else np.eye(K)[chosen]
    slopes = np.empty_like(z)
    slopes[...] = each.reshape(len(z), *[1] * (z.ndim - 2), K)
    return slopes
