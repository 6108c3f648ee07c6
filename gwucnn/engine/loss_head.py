"""The end of the plan: the final activation together with the loss."""

from __future__ import annotations

from math import prod
from typing import Any

from gwucnn import ops
from gwucnn.activation_functions import ActivationFunction
from gwucnn.common import NotBuiltError
from gwucnn.engine.recorded import Constant
from gwucnn.loss_functions import LossFunction, numpy_step
from gwucnn.memory import Space

__all__ = ["LossHead"]


class LossHead:
    """The final activation, and the loss once the network is compiled.

    The steps before it compute z. If the activation is the partner of the loss, as softmax is of cross-entropy, the two
    run as one step with a stable gradient. Otherwise the activation runs, then the loss, and the backward pass goes
    through the gradient of the activation. A loss without a `step`, which a user has written, runs in numpy.
    """

    def __init__(self, activation: type[ActivationFunction] | None, loss: LossFunction | None) -> None:
        self.activation = activation
        self.loss_function = loss
        self._paired = loss is not None and loss.has_step and activation is not None and loss.partner is activation

    @property
    def replayable(self) -> bool:
        """Whether the loss is computed by a compiled step, which can be replayed."""
        return self.loss_function is not None and self.loss_function.replayable

    def outputs(self, z: Any, space: Space) -> Any:
        """Return the outputs of the network, in a buffer of `space`."""
        if self.activation is None:
            return z
        return self.activation.forward(z, space.array("outputs", z.shape), space)

    def measure(self, z: Any, target: Any, share: Any, space: Space) -> tuple[Any, Any, Any]:
        """Return what holds the loss of a batch in its `value`, and what else `loss` returns."""
        value, gradient, outputs = self.loss(z, target, share, space)
        return space.step("loss") if self.replayable else Constant(value), gradient, outputs

    def loss(self, z: Any, target: Any, share: Any, space: Space) -> tuple[float, Any, Any]:
        """Return the loss of a batch, its gradient with respect to z, and the outputs, in buffers of `space`.

        target : shape of z. share : shape (N,), the weight of each row in the mean, summing to 1.
        """
        if self.loss_function is None:
            raise NotBuiltError("loss: expected a network with a loss, got none; call compile(loss=...) first")
        gradient = space.array("gradient", z.shape)
        y = space.array("outputs", z.shape) if self._paired else self.outputs(z, space)
        if self.loss_function.has_step:
            rows = (z.shape[0], prod(z.shape[1:]))
            if self.loss_function.pixelwise and z.ndim == 4:
                rows, share = (prod(z.shape[:-1]), z.shape[-1]), _pixel_shares(share, z.shape, space)
            value = self.loss_function.step(
                space,
                space.view("z rows", z if self._paired else y, rows),
                space.view("target rows", target, rows),
                share,
                space.view("output rows", y, rows),
                space.view("gradient rows", gradient, rows),
            )
        else:
            value = numpy_step(self.loss_function, y, target, share, gradient)
        if self.activation is not None and not self._paired:
            back = space.array("dz", gradient.shape)
            gradient = self.activation.backward(gradient, z, y, back, space)
        return value, gradient, y


def _pixel_shares(share: Any, shape: tuple[int, ...], space: Space) -> Any:
    """Return the weight of each pixel in the mean, shape (N*H*W,): an equal part of the share of its image."""
    N, H, W, _ = shape
    images = space.view("share images", share, (N, 1, 1, 1))
    parts = space.run("parts", ops.rescale, images, scale=1 / (H * W), out=space.array("parts", (N, 1, 1, 1)))
    pixels = space.run("pixels", ops.upsample2d, parts, size=(H, W), out=space.array("pixels", (N, H, W, 1)))
    return space.view("pixel shares", pixels, (N * H * W,))
