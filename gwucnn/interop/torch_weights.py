"""Weights of PyTorch modules, copied into networks of the same layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gwucnn.common import ShapeError
from gwucnn.gwu_network import GWUNetwork
from gwucnn.interop.built import require_built
from gwucnn.interop.feature_order import Order, with_orders
from gwucnn.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    GroupNormalization,
    Layer,
    LayerNormalization,
    Normalization,
    PReLU,
    SeparableConv2D,
)

__all__ = ["load_torch_state_dict"]


class _Module(NamedTuple):
    """How the arrays of a PyTorch module map to the parameters of a layer."""

    kernel: str = ""  # the layer's parameter for `weight`, after a change of layout
    by_channel: bool = False  # whether the kernel is (KH, KW, C, M)
    biased: bool = True  # whether it has the bias of the layer, if there is one
    vectors: tuple[str, ...] = ()  # arrays with one element per channel
    slope: bool = False  # whether `weight` is the slope of a PReLU, for each channel or for all


# The modules that correspond to a layer of each class.
MODULES: dict[type, list[_Module]] = {
    BatchNormalization: [_Module(vectors=("weight", "bias", "running_mean", "running_var"))],
    Conv2D: [_Module("kernel")],
    Conv2DTranspose: [_Module("kernel")],
    Dense: [_Module("kernel")],
    DepthwiseConv2D: [_Module("kernel", by_channel=True)],
    GroupNormalization: [_Module(vectors=("weight", "bias"))],
    LayerNormalization: [_Module(vectors=("weight", "bias"))],
    PReLU: [_Module(vectors=("weight",), slope=True)],
    SeparableConv2D: [
        _Module("depthwise_kernel", by_channel=True, biased=False),
        _Module("pointwise_kernel"),
    ],
}


def load_torch_state_dict(network: GWUNetwork, state: Mapping[str, Any]) -> None:
    """Copy the weights of a PyTorch module with the same layers into a network; all of them, or none.

    Layers with weights are matched in order: `self.conv1` before `self.conv2` in the module's
    `__init__`, in a Residual the layers before the shortcut, in a Concatenate branch by branch.

    Parameters
    ----------
    network : GWUNetwork
        A built network.
    state : mapping of str to tensor or array
        `module.state_dict()`, or what `safetensors.numpy.load_file` returns if it keeps the order.

    Raises
    ------
    ValueError
        For superfluous or missing weights; ShapeError for wrong shapes.
    NotBuiltError
        If the network does not know the size of its inputs yet.

    Notes
    -----
    Filters (F, C, KH, KW) become (KH, KW, C, F), dense weights (U, D) become (D, U), and behind Flatten the features
    that PyTorch flattens from (C, H, W) are permuted to the network's order. A SeparableConv2D corresponds to two
    modules, the first without bias; a Normalization to none, it keeps its statistics. Everything that is not a weight
    must already agree: PyTorch's normalisations have epsilon=1e-5, and the momentum=0.1 of its BatchNorm2d is
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
    caller = "load_torch_state_dict"
    require_built(caller, network)
    modules = _modules(caller, state)
    arrays: list[Any] = []
    for layer, order in with_orders(caller, network.layers, network.data_format, "channels_first"):
        if isinstance(layer, Normalization):  # PyTorch has no such module: it keeps its statistics
            arrays += [parameter.constant for parameter in layer.parameters]
            continue
        for kind in _kinds(caller, layer):
            if not modules:
                raise ValueError(f"{caller}: expected weights for {layer.label}, got no more of them")
            arrays += _ModuleArrays(caller, layer, order, *modules.pop(0)).all(kind)
    if modules:
        rest = ", ".join(repr(name) for name, _ in modules)
        raise ValueError(f"{caller}: expected weights of the network's layers only, got also those of {rest}")
    network.set_weights(arrays)


def _kinds(caller: str, layer: Layer) -> list[_Module]:
    """Return the modules for a layer. A user's own layer has those of the class it is derived from."""
    found = [MODULES[kind] for kind in type(layer).__mro__ if kind in MODULES]
    if layer.parameters and not found:
        raise ValueError(
            f"{caller}: expected weights in layers that PyTorch has modules for, got {layer.label}; use set_weights"
        )
    return found[0] if found else []


def _modules(caller: str, state: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, arrays by their names) of each module with weights, in order."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{caller}: expected a state dict, got {type(state).__name__}; pass module.state_dict()")
    found: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        module, _, name = key.rpartition(".")
        if name != "num_batches_tracked":
            tensor = tensor.detach().cpu() if hasattr(tensor, "detach") else tensor
            found.setdefault(module, {})[name] = np.asarray(tensor)
    return list(found.items())


class _ModuleArrays(NamedTuple):
    """The arrays of one module, to be copied into a layer."""

    caller: str
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
                f"{self.caller}: expected {', '.join(names)} for {self.layer.label}, got "
                f"{', '.join(self.module)} in {self.name!r}{hint}"
            )
        if kind.slope:
            return [self._slope(self.layer.alpha.shape)]
        if not kind.kernel:
            return [self._vector(name, self.order) for name in names]
        kernel = self._kernel(getattr(self.layer, kind.kernel).shape, kind.by_channel)
        return [kernel, self._vector("bias", None)] if biased else [kernel]

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        array = self.module[name]
        if array.shape != shape:
            raise ShapeError(
                f"{self.caller}: expected {self.name}.{name} of shape {shape} for {self.layer.label}, got {array.shape}"
            )
        return array

    def _slope(self, shape: tuple[int, ...]) -> Any:
        """Return the slope of a PReLU, which has one number for each channel, or for all."""
        if shape not in ((1,) * len(shape), (*(1,) * (len(shape) - 1), self.layer.out_shape[-1])):
            raise ValueError(
                f"{self.caller}: expected slopes of channels or of all in {self.layer.label}, got shape {shape}; give "
                "it shared_axes=[1, 2]"
            )
        array = self._array("weight", shape[-1:])
        return (array if self.order is None or shape[-1] == 1 else array[self.order]).reshape(shape)

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
