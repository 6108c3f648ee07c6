"""Weights of Keras models, copied into networks of the same layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gwucnn.common import ShapeError
from gwucnn.gwu_network import GWUNetwork
from gwucnn.interop.built import require_built
from gwucnn.interop.feature_order import with_orders
from gwucnn.interop.keras_file import weights_in_file
from gwucnn.layers import Dense

__all__ = ["copy_weights", "load_keras_weights"]


def load_keras_weights(network: GWUNetwork, source: Any) -> None:
    """Copy the weights of a Keras model with the same layers into a network; all of them, or none.

    Parameters
    ----------
    network : GWUNetwork
        A built network.
    source : list of array, or path
        `model.get_weights()`, or a file written by `model.save_weights('name.weights.h5')` or
        `model.save('name.keras')`, or in the older layout by `model.save('name.h5')` and by Keras 2; they require the
        package h5py. See `import_keras` for the layers in the latter.

    Raises
    ------
    ShapeError, ValueError
        For arrays that do not fit the layers.
    FormatError
        If the file was not written by Keras, stores its data elsewhere, or has weights of other layers too.
    NotBuiltError
        If the network does not know the size of its inputs yet.

    Notes
    -----
    Layouts and order are those of Keras. In a channels-first network, the features behind Flatten are permuted to its
    order. A file names layers by their classes, so that layers of one class are matched in order. Everything that is
    not a weight must already agree: in Keras, `Dense` and `Conv2D` have a bias by default.

    Examples
    --------
    >>> from gwucnn import Dense, GWUNetwork
    >>> network = GWUNetwork([Dense(2, add_bias=True, input_size=3)])
    >>> load_keras_weights(network, [np.ones((3, 2), 'float32'), np.zeros(2, 'float32')])
    >>> network.predict([[1.0, 2.0, 3.0]])
    array([[6., 6.]], dtype=float32)
    """
    caller = "load_keras_weights"
    require_built(caller, network)
    copy_weights(caller, network, source)


def copy_weights(caller: str, network: GWUNetwork, source: Any) -> None:
    """Do what `load_keras_weights` does, in the name of the function `caller`."""
    if isinstance(source, (str, os.PathLike)):
        source = weights_in_file(caller, network.layers, source)
    if isinstance(source, Sequence):
        # Without the integer counts of Normalization layers.
        source = [each for each in source if np.shape(each) or np.asarray(each).dtype.kind not in "iu"]
    if not isinstance(source, Sequence) or len(source) != len(network.parameters):
        got = f"{len(source)} arrays" if isinstance(source, Sequence) else repr(type(source).__name__)
        raise ShapeError(f"{caller}: expected {len(network.parameters)} arrays, one a parameter, got {got}")
    arrays: list[Any] = []
    for layer, order in with_orders(caller, network.layers, network.data_format, "channels_last"):
        for parameter in layer.parameters:
            array = np.asarray(source[len(arrays)])
            if array.shape != parameter.shape:
                raise ShapeError(
                    f"{caller}: expected array {len(arrays)}, {layer.label}'s {parameter.name}, of shape "
                    f"{parameter.shape}, got {array.shape}"
                )
            moves = order is not None and not (isinstance(layer, Dense) and parameter.name == "bias")
            arrays.append(array[order] if moves else array)
    network.set_weights(arrays)
