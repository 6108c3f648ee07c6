"""A network as an ONNX model, for other runtimes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gwucnn._version import __version__
from gwucnn.common import NotBuiltError, check_flag, look_up, write_atomically
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers.graphs.graph import OUTPUT, Graph
from gwucnn.layers.graphs.nested import expanded
from gwucnn.onnx.base import IR_VERSION, OPSET, TRAINED_ON, GraphBuilder, Value
from gwucnn.onnx.layer_nodes import add_layer, folds, merge_values

__all__ = ["export_onnx", "to_model"]

PRECISIONS = {"float32": np.float32, "float64": np.float64}


def export_onnx(network: GWUNetwork, path: Any, *, fold: bool = False, precision: str = "float32") -> None:
    """Write a network into an ONNX file that computes the same predictions.

    Parameters
    ----------
    network : GWUNetwork
        Built; compiled or not. What only training needs, such as dropout, is left out.
    path : path
        Replaced if it exists, and only once the new file is complete.
    fold : bool
        Whether to fold batch normalisation into the convolution or dense layer before it, which rounds
        differently. By default it is kept.
    precision : 'float32' or 'float64'
        Of weights and inputs, whatever the network's own. Few runtimes have convolutions in float64.

    Raises
    ------
    ValueError
        For a layer or an activation that ONNX cannot express, such as one of your own; for a network with several
        inputs or outputs.
    NotBuiltError
        If the network does not know the size of its images yet.

    Notes
    -----
    The input is called `x` and has the shape that `predict` takes, (N, H, W, C), or (N, C, H, W) for a
    network with its channels first; N is dynamic. The output is called `y`. Inside the graph images
    are (N, C, H, W), as ONNX requires.

    Examples
    --------
    >>> import tempfile
    >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork
    >>> network = GWUNetwork([Conv2D(8, input_size=28), Flatten(), Dense(10, activation='softmax')])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(network, f'{folder}/network.onnx')
    """
    model = to_model(network, fold=fold, precision=precision)
    write_atomically("export_onnx", path, model.SerializeToString())


def to_model(network: GWUNetwork, *, fold: bool = False, precision: str = "float32") -> Any:
    """Return the `onnx.ModelProto` that `export_onnx` writes, checked; same arguments and errors."""
    fold = check_flag("export_onnx", "fold", fold)
    graph = GraphBuilder(look_up("export_onnx", "precision", precision, PRECISIONS))
    try:
        network.count_params()
    except NotBuiltError as error:
        raise NotBuiltError(str(error).replace("count_params", "export_onnx")) from None
    row = network._layer_row
    if row.graph.inputs > 1 or len(row.graph.outputs) > 1:
        raise ValueError(
            f"export_onnx: expected a network with one input and one output, got {row.graph.inputs} and "
            f"{len(row.graph.outputs)}; export a part of it that has one of each, GWUNetwork(inputs=..., outputs=...)"
        )
    first = network.data_format == "channels_first"
    shape: Any = network._layer_row.in_shape
    x = Value("x", shape)
    entrance = x.sizes if first else shape
    if x.is_image and not first:
        x = Value(graph.channels_first(x.name), shape)
    y = _connected(graph, network._layer_row.graph, x, fold)
    graph.caller = "network"
    last = graph.node("Transpose", y.name, perm=(0, 2, 3, 1)) if y.is_image and not first else y.name
    graph.nodes.append(graph.onnx.helper.make_node("Identity", [last], ["y"], "y"))
    model = _checked(graph, entrance, y.sizes if first else y.shape)
    if network._range.trained is not None:
        graph.onnx.helper.set_model_props(model, {TRAINED_ON: json.dumps(network._range.trained.document())})
    return model


def _connected(graph: GraphBuilder, layers: Graph, x: Value, fold: bool) -> Value:
    """Add the nodes of all layers; return the output."""
    layers = expanded(layers)
    readers, values, folded = layers.readers(), [x], set()
    for number, (layer, sources) in enumerate(layers.nodes):
        read = [values[source] for source in sources]
        if number in folded:
            values.append(read[0])
            continue
        following = readers[layers.inputs + number]
        after = layers.nodes[following[0]].layer if len(following) == 1 and following[0] != OUTPUT else None
        if fold and folds(layer, after):
            folded.add(following[0])
            values.append(add_layer(graph, layer, read[0], after))  # type: ignore[arg-type]
        elif len(read) > 1:
            values.append(merge_values(graph, layer, read))
        else:
            values.append(add_layer(graph, layer, read[0]))
    return values[layers.outputs[0]]


def _checked(graph: GraphBuilder, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> Any:
    """Return the model around a graph from x to y, or raise the error of ONNX's checker."""
    onnx, helper = graph.onnx, graph.onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    x, y = (
        helper.make_tensor_value_info(name, kind, ("N", *shape)) for name, shape in (("x", x_shape), ("y", y_shape))
    )
    drawn = helper.make_graph(graph.nodes, "gwucnn", [x], [y], graph.constants)
    model = helper.make_model(
        drawn,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gwucnn",
        producer_version=__version__,
    )
    onnx.checker.check_model(model, full_check=True)
    return model
