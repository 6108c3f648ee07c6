"""Networks made from `.keras` files."""

from __future__ import annotations

import os
from typing import Any

from gwucnn.common import FormatError, check_path, checks_arguments
from gwucnn.gwu_network import GWUNetwork
from gwucnn.interop.keras_archive import config_in_archive, is_archive
from gwucnn.interop.keras_config import KerasLayer, layers_of
from gwucnn.interop.keras_file import weights_in_file
from gwucnn.interop.keras_layers import layers_for
from gwucnn.interop.keras_weights import copy_weights
from gwucnn.layers import Dense, Flatten

__all__ = ["import_keras"]

CALLER = "import_keras"


@checks_arguments
def import_keras(path: Any) -> GWUNetwork:
    """Return the network in a file that Keras 3 has written with `model.save('name.keras')`, with its weights.

    Parameters
    ----------
    path : path
        Of a Sequential model, or a Functional one whose layers form one row. Requires the package h5py.

    Returns
    -------
    GWUNetwork
        Predicts what the model does, to rounding. Compile it to train it further: initializers, regularizers,
        constraints, the loss and the optimizer are not taken over. It has the data_format of the model's layers, and
        is computed in float64 if they all are, otherwise in float32.

    Raises
    ------
    ValueError
        For a layer or an option that gwucnn does not have; the message names the layer and its class.
    FormatError
        If the file is damaged, or was not written by Keras 3.

    Notes
    -----
    No code in the file is run: layers are looked up in a closed table, and a `Lambda` layer or one of your own is
    refused. For any other model, export it as ONNX, or make the network in Python and copy the weights with
    `load_keras_weights`.

    Examples
    --------
    >>> network = import_keras('model.keras')                                              # doctest: +SKIP
    >>> network.predict(x)                                                                 # doctest: +SKIP
    """
    path = os.fsdecode(check_path(CALLER, "path", path))
    if not is_archive(path):
        with open(path, "rb"):  # raises FileNotFoundError where there is no file
            raise FormatError(
                f"{CALLER}: expected a .keras file, got {path}, which is no zip archive; save it as name.keras"
            )
    found, shape = layers_of(CALLER, config_in_archive(CALLER, path))
    first = _channels_first(found)
    network = GWUNetwork(
        [made for layer in found for made in layers_for(CALLER, layer, channels_first=first)],
        data_format="channels_first" if first else "channels_last",
        precision="float64" if found and all(layer.dtype == "float64" for layer in found) else "float32",
    )
    _connect(network, _input_shape(shape))
    _require_same_order(network)
    # Read before memory is allocated: a config may state any sizes, those of the arrays are limited by the file's.
    arrays = weights_in_file(CALLER, network.layers, path)
    network.build(_input_shape(shape))
    copy_weights(CALLER, network, arrays)
    return network


def _connect(network: GWUNetwork, sizes: tuple[int, ...]) -> None:
    """Compute the shapes of all layers; raise ValueError if they do not fit together."""
    if not network.layers:
        raise ValueError(f"{CALLER}: expected a model with layers that compute something, got none")
    row = network._layer_row
    try:
        row.start(row.from_user(sizes))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{CALLER}: expected layers that fit together, got others ({error})") from None


def _channels_first(found: list[KerasLayer]) -> bool:
    """Whether the layers have data_format='channels_first'; raise ValueError if they differ."""
    formats = {str(layer.config["data_format"]) for layer in found if layer.config.get("data_format")}
    if len(formats) > 1:
        raise ValueError(f"{CALLER}: expected layers of one data_format, got {' and '.join(sorted(formats))}")
    return formats == {"channels_first"}


def _input_shape(shape: Any) -> tuple[int, ...]:
    """Return the shape of a sample."""
    sizes = shape[1:] if isinstance(shape, tuple) else ()
    if len(sizes) not in (1, 3) or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            f"{CALLER}: expected a model for images or features of known size, got inputs of shape {shape}; begin it "
            "with keras.Input((height, width, channels))"
        )
    return sizes


def _require_same_order(network: GWUNetwork) -> None:
    """Raise ValueError if outputs would be in another order: Keras flattens all images with the channels last."""
    flattens = [number for number, layer in enumerate(network.layers) if isinstance(layer, Flatten)]
    behind = network.layers[flattens[0] :] if flattens and network.data_format == "channels_first" else None
    if behind is not None and not any(isinstance(layer, Dense) for layer in behind):
        raise ValueError(f"{CALLER}: expected a Dense layer behind Flatten in a channels_first model, got none")
