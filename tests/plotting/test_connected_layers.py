"""Explanations of networks of connected layers."""

import numpy as np
import pytest

import graphs
from gwucnn import plotting

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("part", [graphs.shared, graphs.unet, graphs.crossing], ids=lambda part: part.__name__)
def test_grad_cam_of_connected_layers(part, rng):
    """A layer that is called several times is explained in its last call."""
    network, x = graphs.network(part), rng.random(graphs.SHAPE)
    for number, layer in enumerate(network.layers):
        if len(layer.out_shape) == 3:
            one, other = (plotting.grad_cam(network, x, 1, layer=which) for which in (number, layer))
            assert layer.label in one.axes[1].get_title()
            maps = [figure.axes[1].images[-1].get_array() for figure in (one, other)]
            assert (maps[0] == maps[1]).all()
    last = network._node_of(network.layers[0])
    values, slopes = network.gradients(x[None], 1)
    heat = np.maximum((values[last + 1][0] * slopes[last + 1][0].mean(axis=(0, 1))).sum(axis=2), 0)
    np.testing.assert_allclose(
        plotting.grad_cam(network, x, 1, layer=0).axes[1].images[-1].get_array(), heat, rtol=1e-6
    )
