"""Networks as parts of others: layers looked up, taken off, shared, and used again."""

from __future__ import annotations

from typing import Any

from gwucnn.common import checks_arguments, did_you_mean, only
from gwucnn.layers import Layer
from gwucnn.network.base import SHARED_OPTIONS, NetworkBase

__all__ = ["ReusableNetwork"]


class ReusableNetwork(NetworkBase):
    """A network whose layers other networks can use too. `GWUNetwork` adds the training.

    Networks that share layers share their weights: whichever is trained, all compute with the result. Train one at a
    time, and do not train one while another thread uses one of the others.
    """

    def get_layer(self, name: str) -> Layer:
        """Return the layer of this name: one given by `name=`, or its label ('2.Dense') as `summary` shows it.

        Layers inside of others are found too. Raises ValueError if there is none of this name.

        Examples
        --------
        >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork
        >>> network = GWUNetwork([Conv2D(8, name='edges'), Flatten(), Dense(10)])
        >>> network.get_layer('edges') is network.get_layer('0.Conv2D') is network.layers[0]
        True
        """
        found = list(_all_layers(self.layers))
        for layer in found:
            if name in (layer.name, layer.label):
                return layer
        names = [each for layer in found for each in (layer.name, layer.label) if each]
        raise ValueError(
            f"get_layer: expected the name or label of a layer, got {name!r}{did_you_mean(str(name), names)}"
        )

    @checks_arguments
    def pop(self) -> Layer:
        """Take the last layer off and return it, with its weights.

        The network can predict with the layers that are left; to train it, call `compile` again. Raises ValueError for
        a network without layers, or one that was made of inputs and outputs.

        Examples
        --------
        >>> from gwucnn import Dense, Flatten, GWUNetwork
        >>> network = GWUNetwork([Flatten(), Dense(10)])
        >>> network.pop()
        Dense(output_size=10)
        >>> len(network.layers)
        1
        """
        layer = self._layer_row.pop()
        self._engine = self._compiled = None  # the loss was for the layer that has gone
        return layer

    def __getitem__(self, part: Any) -> Any:
        """Return a layer by its number; or for a slice, a network of these layers, which it shares with this one.

        Of a network made of inputs and outputs, a slice from the beginning is the network whose output is that of the
        last layer of the slice.

        Raises
        ------
        IndexError
            If there is no layer of this number, or none in the slice.
        NotBuiltError
            For a slice of a network that does not know its input shape yet.
        ValueError
            For a slice with another step than 1, or of a network made of inputs and outputs from another layer on.

        Examples
        --------
        >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork
        >>> network = GWUNetwork([Conv2D(8, input_size=28), Flatten(), Dense(10)], seed=0)
        >>> features = network[:-1]
        >>> features.layers[0] is network.layers[0]
        True
        """
        if not isinstance(part, slice):
            return self.layers[part]
        if part.step not in (None, 1):
            raise ValueError(f"network[...]: expected consecutive layers, got a step of {part.step}")
        start, stop, _ = part.indices(len(self.layers))
        if start >= stop:
            raise IndexError(f"network[...]: expected at least one of {len(self.layers)} layers, got none")
        self._require_weights("network[...]")
        options = {name: getattr(self, name) for name in SHARED_OPTIONS}
        ends = self._layer_row.ends(start, stop)
        if ends is not None:
            return type(self)(inputs=ends[0], outputs=ends[1], **options)
        network = type(self)(**options)
        network._layer_row.share(self.layers[start:stop])
        return network

    def __iter__(self) -> Any:
        return iter(self.layers)

    def __len__(self) -> int:
        """The number of layers."""
        return len(self.layers)

    def __bool__(self) -> bool:
        return True

    def __call__(self, inputs: Any) -> Any:
        """Return the output of this network for the output of `Input` or of a layer, as a part of another network.

        The layers are shared with the network that is made of it. A network with several inputs takes a list, one with
        several outputs returns one.

        Raises
        ------
        TypeError
            For anything else, such as an array: see `predict`.
        ShapeError
            If the network takes other inputs.

        Examples
        --------
        >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, Input
        >>> base = GWUNetwork([Conv2D(8, activation='relu'), Flatten()])
        >>> x = Input((28, 28))
        >>> network = GWUNetwork(inputs=x, outputs=Dense(10, activation='softmax')(base(x)))
        >>> network.layers[0] is base.layers[0]
        True
        """
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        for tensor in tensors:
            if not hasattr(tensor, "connect"):
                raise TypeError(
                    f"GWUNetwork: expected the output of Input(shape) or of a layer, got {type(tensor).__name__}; to "
                    "compute with arrays call predict(x)"
                )
        count = self._layer_row.graph.inputs
        if len(tensors) != count:
            raise TypeError(f"GWUNetwork: expected {count} input{'s' if count > 1 else ''}, got {len(tensors)}")
        self._layer_row.start(only([tensor.sample_shape for tensor in tensors]))
        graph = self._layer_row.graph
        values = list(tensors)
        for layer, sources in graph.nodes:
            values.append(layer([values[source] for source in sources]))
        made = [values[output] for output in graph.outputs]
        return made if len(made) > 1 else made[0]


def _all_layers(layers: Any) -> Any:
    for layer in layers:
        yield layer
        yield from _all_layers(layer.children)
