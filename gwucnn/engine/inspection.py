"""Looking inside: what each layer computes, and the gradients of class scores with respect to all of it.

The layers run one by one as the user wrote them, not by the fused plan, because fused steps skip intermediate outputs.

K. Simonyan, A. Vedaldi and A. Zisserman, "Deep inside convolutional networks", arXiv:1312.6034, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np

from gwucnn.activation_functions import RELUActivation
from gwucnn.common import each
from gwucnn.engine.fused_steps import Activate
from gwucnn.engine.fusion import without_last_activations
from gwucnn.layers.graphs.graph import Graph
from gwucnn.layers.inserting import check_output
from gwucnn.memory import Pool, Space

__all__ = ["layer_outputs", "score_gradients", "score_output_gradients", "shut_layers"]


def layer_outputs(graph: Graph, x: Any, nodes: Sequence[int] | None = None) -> list[Any]:
    """Return the outputs of these nodes, or of all, for the inputs x, in new arrays.

    x : shape (N, ...), channels last, of the dtype to compute in; a tuple for several inputs
    """
    inputs = each(x)
    dtype = inputs[0].dtype
    if nodes is not None:
        last = max(nodes) + 1 if nodes else 0
        graph = Graph(graph.inputs, graph.nodes[:last], tuple(graph.inputs + node for node in nodes))
    pool = None if nodes is None else Pool()
    values = graph.forward(inputs, [Space(dtype, pool=pool) for _ in graph.nodes], pool)
    for layer, y in zip(graph.steps, values[graph.inputs :], strict=True):
        check_output(layer, y, dtype)
    wanted = values[graph.inputs :] if nodes is None else [values[output] for output in graph.outputs]
    return [np.array(y) for y in wanted]


def shut_layers(graph: Graph, x: Any) -> list[str]:
    """Return the labels of the layers that end with a relu which is 0 everywhere, for all of these inputs.

    No gradient passes such a layer, so that neither its weights nor those before it change any more.
    """
    outputs = zip(graph.steps, layer_outputs(graph, x), strict=True)
    return [layer.label for layer, y in outputs if layer.split_activation()[1] is RELUActivation and not y.any()]


def score_gradients(graph: Graph, x: Any, labels: Any) -> tuple[list[Any], list[Any]]:
    """Return x and the output of each node, and the gradients of the class scores with respect to each of them.

    The layers run as in inference. The final activation is left out: a score is its input. Of several outputs, the
    first is the one with the scores; the gradients of what it does not depend on are 0.

    x : shape (N, ...), channels last, of the dtype to compute in; a tuple for several inputs
    labels : as for `score_output_gradients`
    """
    inputs = each(x)
    steps, _ = without_last_activations(replace(graph, outputs=graph.outputs[:1]))
    spaces = [Space(inputs[0].dtype, backward_follows=True) for _ in steps.nodes]
    values = steps.forward(inputs, spaces)
    scores = score_output_gradients(values[steps.outputs[0]], labels)
    gradients = steps.backward([scores], spaces, steps.needs_gradient(inputs=True))
    shown = [True] * steps.inputs + [not isinstance(step, Activate) for step in steps.steps]
    found = [np.zeros_like(v) if g is None else np.array(g) for v, g in zip(values, gradients, strict=True)]
    return [np.array(v) for v in compress(values, shown)], list(compress(found, shown))


def score_output_gradients(z: Any, labels: Any) -> Any:
    """Return the gradient, with respect to z, of the sum over the samples of the score of each sample's label.

    z : shape (N, ..., K)
        The score of class k is z[..., k], summed over pixels if z holds images. A single output stands for two
        classes: it is the score of class 1, and its negative is the score of class 0.
    labels : int, or integers of shape (N,); None for the class with the highest score
    """
    K = z.shape[-1]
    scores = z.reshape(len(z), -1, K).sum(axis=1)
    if labels is None:
        labels = scores.argmax(axis=1) if K > 1 else scores[:, 0] > 0
    classes, labels = max(K, 2), np.asarray(labels)
    integers = labels.dtype.kind in "biu"
    if not integers or (labels.size and not 0 <= labels.min() <= labels.max() < classes):
        raise ValueError(f"gradients: expected labels from 0 to {classes - 1}, got {labels.tolist()!r}")
    if labels.shape not in ((), (len(z),)):
        raise ValueError(
            f"gradients: expected one label, or one for each of the {len(z)} samples, got shape {labels.shape}"
        )
    labels = np.broadcast_to(labels, len(z)).astype(np.int64)
    row = np.where(labels > 0, 1, -1)[:, None] if K == 1 else np.eye(K)[labels]
    gradient = np.empty_like(z)
    gradient[...] = row.reshape(len(z), *[1] * (z.ndim - 2), K)
    return gradient
