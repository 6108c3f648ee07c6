"""Weights of networks that PyTorch and Keras have trained, taken over into the same network here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gwucnn.errors import NotBuiltError, ShapeError
from gwucnn.feature_order import Order, with_orders
from gwucnn.gwu_network import GWUNetwork
from gwucnn.keras_file import weights_in_file
from gwucnn.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Layer,
    LayerNormalization,
    Normalization,
    SeparableConv2D,
)

__all__ = ["load_keras_weights", "load_torch_state_dict"]


def _need_built(who: str, network: GWUNetwork) -> None:
    try:
        network.count_params()
    except NotBuiltError as error:
        raise NotBuiltError(str(error).replace("count_params", who)) from None


# ------------------------------------------------------------------------------------------------ PyTorch


class _Module(NamedTuple):
    """How the arrays of a PyTorch module become parameters of a layer."""

    kernel: str = ""  # the layer's parameter that `weight` becomes, after a change of layout
    by_channel: bool = False  # whether the kernel is (KH, KW, C, M)
    biased: bool = True  # whether it holds the layer's bias, if there is one
    vectors: tuple[str, ...] = ()  # arrays of one number a channel


# The modules that a layer of each class takes.
MODULES: dict[type, list[_Module]] = {
    BatchNormalization: [_Module(vectors=("weight", "bias", "running_mean", "running_var"))],
    Conv2D: [_Module("kernel")],
    Conv2DTranspose: [_Module("kernel")],
    Dense: [_Module("kernel")],
    DepthwiseConv2D: [_Module("kernel", by_channel=True)],
    LayerNormalization: [_Module(vectors=("weight", "bias"))],
    SeparableConv2D: [
        _Module("depthwise_kernel", by_channel=True, biased=False),
        _Module("pointwise_kernel"),
    ],
}


def load_torch_state_dict(network: GWUNetwork, state: Mapping[str, Any]) -> None:
    """Copy the weights of a PyTorch module of the same layers into a network; all, or none.

    Layers with weights are taken in the order of both: `self.conv1` before `self.conv2` in the module's
    `__init__`, in a Residual the layers before the shortcut, in a Concatenate branch by branch.

    Parameters
    ----------
    network : GWUNetwork
        Built.
    state : mapping of str to tensor or array
        `module.state_dict()`, or what `safetensors.numpy.load_file` returns if it keeps the order.

    Raises
    ------
    ValueError
        For weights that no layer has, or that a layer lacks; ShapeError for another shape.
    NotBuiltError
        If the network does not know the size of its images yet.

    Notes
    -----
    Filters (F, C, KH, KW) become (KH, KW, C, F), dense weights (U, D) become (D, U), and behind Flatten the
    features that PyTorch lays out as (C, H, W) are brought into the network's order. A SeparableConv2D takes
    two modules, the first without bias; a Normalization none, it keeps what it measured. What is no weight
    must agree already: PyTorch's normalisations have epsilon=1e-5, and the momentum=0.1 of its BatchNorm2d is
    momentum=0.9 here.

    Examples
    --------
    >>> from gwucnn import Conv2D, GWUNetwork
    >>> network = GWUNetwork([Conv2D(4, 3, add_bias=True, input_size=28)])
    >>> weight, bias = np.zeros((4, 1, 3, 3), 'float32'), np.ones(4, 'float32')
    >>> load_torch_state_dict(network, {'0.weight': weight, '0.bias': bias})
    >>> network.get_weights()[1]
    array([1., 1., 1., 1.], dtype=float32)
    """
    who = "load_torch_state_dict"
    _need_built(who, network)
    modules = _modules(who, state)
    arrays: list[Any] = []
    for layer, order in with_orders(who, network.layers, network.data_format, "channels_first"):
        if isinstance(layer, Normalization):  # PyTorch has no such module: it keeps what it measured
            arrays += [parameter.constant for parameter in layer.parameters]
            continue
        for kind in _kinds(who, layer):
            if not modules:
                raise ValueError(f"{who}: expected weights for {layer.label}, got no more of them")
            arrays += _Taking(who, layer, order, *modules.pop(0)).all(kind)
    if modules:
        rest = ", ".join(repr(name) for name, _ in modules)
        raise ValueError(f"{who}: expected weights of the network's layers only, got also those of {rest}")
    network.set_weights(arrays)


def _kinds(who: str, layer: Layer) -> list[_Module]:
    """Return the modules that a layer takes; one of a user's own, those of the class it is derived from."""
    found = [MODULES[kind] for kind in type(layer).__mro__ if kind in MODULES]
    if layer.parameters and not found:
        raise ValueError(
            f"{who}: expected weights in layers that PyTorch has modules for, got {layer.label}; use "
            "set_weights"
        )
    return found[0] if found else []


def _modules(who: str, state: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, arrays by their names) of each module with weights, in order."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{who}: expected a state dict, got {type(state).__name__}; pass module.state_dict()")
    found: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        module, _, name = key.rpartition(".")
        if name != "num_batches_tracked":
            tensor = tensor.detach().cpu() if hasattr(tensor, "detach") else tensor
            found.setdefault(module, {})[name] = np.asarray(tensor)
    return list(found.items())


class _Taking(NamedTuple):
    """One module's arrays on their way into a layer."""

    who: str
    layer: Any
    order: Order
    name: str
    module: dict[str, Any]

    def all(self, kind: _Module) -> list[Any]:
        """Return the arrays in the order and the layouts of the layer's parameters."""
        biased = bool(kind.kernel) and kind.biased and self.layer.add_bias
        names = kind.vectors or (("weight", "bias") if biased else ("weight",))
        if set(names) != self.module.keys():
            hint = "; make the module with affine=True" if kind.vectors else ""
            if kind.kernel and "bias" in set(names) ^ self.module.keys():
                hint = "; check add_bias"
            raise ValueError(
                f"{self.who}: expected {', '.join(names)} for {self.layer.label}, got "
                f"{', '.join(self.module)} in {self.name!r}{hint}"
            )
        if not kind.kernel:
            return [self._vector(name, self.order) for name in names]
        kernel = self._kernel(getattr(self.layer, kind.kernel).shape, kind.by_channel)
        return [kernel, self._vector("bias", None)] if biased else [kernel]

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        array = self.module[name]
        if array.shape != shape:
            raise ShapeError(
                f"{self.who}: expected {self.name}.{name} of shape {shape} for {self.layer.label}, got "
                f"{array.shape}"
            )
        return array

    def _vector(self, name: str, order: Order) -> Any:
        array = self._array(name, self.layer.out_shape[-1:])
        return array if order is None else array[order]

    def _kernel(self, shape: tuple[int, ...], by_channel: bool) -> Any:
        if len(shape) == 2:
            array = self._array("weight", shape[::-1]).T
            return array if self.order is None else array[self.order]
        KH, KW, C, F = shape
        turned = self._array("weight", (C * F, 1, KH, KW) if by_channel else (F, C, KH, KW))
        return turned.transpose(2, 3, 1, 0).reshape(shape)


# -------------------------------------------------------------------------------------------------- Keras


def load_keras_weights(network: GWUNetwork, source: Any) -> None:
    """Copy the weights of a Keras model of the same layers into a network; all, or none.

    Parameters
    ----------
    network : GWUNetwork
        Built.
    source : list of array, or path
        `model.get_weights()`, or a file of `model.save_weights('name.weights.h5')`, for which the package
        h5py is needed.

    Raises
    ------
    ShapeError, ValueError
        For arrays that do not fit the layers.
    FormatError
        For a file that is none of Keras', that keeps its numbers elsewhere, or has other layers' too.
    NotBuiltError
        If the network does not know the size of its images yet.

    Notes
    -----
    Layouts and order are Keras' own. In a network with its channels first the features behind Flatten are
    brought into its order. A file names layers by their classes: those of one class are taken in their order.
    What is no weight must agree already: `Dense` and `Conv2D` have a bias in Keras unless told otherwise.

    Examples
    --------
    >>> from gwucnn import Dense, GWUNetwork
    >>> network = GWUNetwork([Dense(2, add_bias=True, input_size=3)])
    >>> load_keras_weights(network, [np.ones((3, 2), 'float32'), np.zeros(2, 'float32')])
    >>> network.predict([[1.0, 2.0, 3.0]])
    array([[6., 6.]], dtype=float32)
    """
    who = "load_keras_weights"
    _need_built(who, network)
    if isinstance(source, (str, os.PathLike)):
        source = weights_in_file(who, network.layers, source)
    if isinstance(source, Sequence):
        # Without the integers that count what a Normalization has seen in Keras.
        source = [each for each in source if np.shape(each) or np.asarray(each).dtype.kind not in "iu"]
    if not isinstance(source, Sequence) or len(source) != len(network.parameters):
        got = f"{len(source)} arrays" if isinstance(source, Sequence) else repr(type(source).__name__)
        raise ShapeError(f"{who}: expected {len(network.parameters)} arrays, one a parameter, got {got}")
    arrays: list[Any] = []
    for layer, order in with_orders(who, network.layers, network.data_format, "channels_last"):
        for parameter in layer.parameters:
            array = np.asarray(source[len(arrays)])
            if array.shape != parameter.shape:
                raise ShapeError(
                    f"{who}: expected array {len(arrays)}, {layer.label}'s {parameter.name}, of shape "
                    f"{parameter.shape}, got {array.shape}"
                )
            moves = order is not None and not (isinstance(layer, Dense) and parameter.name == "bias")
            arrays.append(array[order] if moves else array)
    network.set_weights(arrays)
