"""Batch and layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from gwucnn import ops
from gwucnn.common import ShapeError, check_fraction, check_nonnegative
from gwucnn.initializers import INITIALIZERS
from gwucnn.layers.base import Array, Layer, Shape, Space
from gwucnn.memory import Parameter

__all__ = ["BatchNormalization", "LayerNormalization"]


class NormalizationBase(Layer):
    """The base of both: gamma and beta, with one element per channel."""

    replayable = True

    def __init__(self, *, epsilon: float, trainable: bool, name: str | None) -> None:
        self.epsilon = check_nonnegative(self.label, "epsilon", epsilon)
        self.trainable = trainable
        self.name = name

    def build(self, in_shape: Shape) -> Shape:
        if not in_shape:
            raise ShapeError(f"{self.label}: expected images (H, W, C) or features (D,), got {in_shape}")
        self.in_shape = self.out_shape = in_shape
        shape = in_shape[-1:]
        self.gamma = Parameter("gamma", shape, INITIALIZERS["ones"])
        self.beta = Parameter("beta", shape, INITIALIZERS["zeros"])
        self.parameters = (self.gamma, self.beta)
        self.mark_parameters()
        return in_shape

    def config(self) -> dict[str, Any]:
        optional = {
            "epsilon": (self.epsilon, 1e-3),
            "trainable": (self.trainable, True),
            "name": (self.name, None),
        }
        return {key: value for key, (value, default) in optional.items() if value != default}


class BatchNormalization(NormalizationBase):
    """Normalise each channel of a batch to mean 0 and variance 1, then scale and shift it.

    ::

        y[..., c] = gamma[c] * (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + beta[c]
        dgamma[c] = sum of dy * (x - mean[c]) / sqrt(variance[c] + epsilon),    dbeta[c] = sum of dy
        dx = gamma / root * (dy - dbeta / R - (x - mean) / root * dgamma / R)

    where root = sqrt(variance + epsilon).

    In training, mean and variance are those of the batch, over its R pixels (images) or rows (features). In inference,
    and if the layer is frozen, they are running averages, which each training batch updates:

        running = keep * running + (1 - keep) * batch            keep = min(momentum, t / (t + 1))

    where t is the number of batches before, so that the averages are usable after a few batches. After `set_weights`
    they count as averages over many batches: keep = momentum.

    Parameters
    ----------
    momentum : float from 0 to less than 1
    epsilon : float of at least 0
        Avoids division by 0 for channels without variance.
    trainable : bool
        False freezes gamma, beta and the running averages, which are then also used in training.
    name : str, optional

    Raises
    ------
    ValueError
        For a momentum or epsilon out of range.

    Notes
    -----
    S. Ioffe and C. Szegedy, arXiv:1502.03167. Weights in the order of Keras: gamma, beta, moving_mean, moving_variance,
    each of shape (C,); variances are biased, divided by R, as in Keras. A batch with a single row of features has
    variance 0, so that nothing can be learnt: set `batch_size` in `fit`. In inference, Conv2D or Dense and a following
    batch normalisation are computed as one.

    Examples
    --------
    >>> from gwucnn import BatchNormalization, Conv2D, GWUNetwork, RELU
    >>> network = GWUNetwork([Conv2D(8, input_size=28), BatchNormalization(), RELU()])
    >>> [weight.shape for weight in network.get_weights()]
    [(3, 3, 1, 8), (8,), (8,), (8,), (8,)]
    """

    replayable = True

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        self.momentum = check_fraction(self.label, "momentum", momentum)
        super().__init__(epsilon=epsilon, trainable=trainable, name=name)

    def build(self, in_shape: Shape) -> Shape:
        super().build(in_shape)
        updates = np.zeros(1, np.int64)
        self.moving_mean, self.moving_variance = (
            Parameter(name, in_shape[-1:], INITIALIZERS[first], trainable=False, updates=updates)
            for name, first in (("moving_mean", "zeros"), ("moving_variance", "ones"))
        )
        self.parameters = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        return in_shape

    def forward(self, x: Array, space: Space) -> Array:
        mean, variance = self.statistics(x, space)
        gamma, beta = self.gamma.constant, self.beta.constant
        out = space.array("y", x.shape)
        return space.run("forward", ops.batch_norm, x, gamma, beta, mean, variance, self.epsilon, out=out)

    def statistics(self, x: Array, space: Space) -> tuple[Array, Array]:
        """Return the mean and variance to normalise by, and keep in the space what backward needs."""
        by_batch = space.saved["by_batch"] = space.training and self.trainable
        mean, variance = self.moving_mean.constant, self.moving_variance.constant
        if by_batch:
            mean, variance = self._of_batch(x, space)
        space.saved["x"], space.saved["mean"], space.saved["variance"] = x, mean, variance
        return mean, variance

    def _of_batch(self, x: Array, space: Space) -> tuple[Array, Array]:
        """Return mean and variance of the batch, and defer the update of the running averages."""
        mean, variance = space.array("mean", x.shape[-1:]), space.array("variance", x.shape[-1:])
        space.run("statistics", ops.batch_statistics, x, variance=variance, out=mean)
        if len(x):
            space.defer(
                "move",
                ops.move_statistics,
                self.moving_variance.running,
                self.moving_mean.updates,
                mean,
                variance,
                self.momentum,
                out=self.moving_mean.running,
            )
        return mean, variance

    def backward(self, dy: Array, space: Space) -> Array | None:
        x, mean, variance = space.saved["x"], space.saved["mean"], space.saved["variance"]
        sums = None
        if space.saved["by_batch"]:
            sums = space.run(
                "sums",
                ops.batch_norm_backward_sums,
                dy,
                x,
                mean,
                variance,
                self.epsilon,
                gamma_grad=self.gamma.grad,
                beta_grad=self.beta.grad,
                out=space.array("sums", (2, x.shape[-1])),
            )
        if not space.needs_dx:
            return None
        gamma, dx = self.gamma.constant, space.array("dx", x.shape)
        back = ops.batch_norm_backward
        return space.run("backward", back, dy, x, gamma, mean, variance, self.epsilon, sums=sums, out=dx)

    def config(self) -> dict[str, Any]:
        return ({} if self.momentum == 0.99 else {"momentum": self.momentum}) | super().config()


class LayerNormalization(NormalizationBase):
    """Normalise the channels of each pixel, or the features of each sample, to mean 0 and variance 1.

    ::

        z[..., c] = (x[..., c] - m) / sqrt(v + epsilon)            y[..., c] = gamma[c] * z[..., c] + beta[c]
        dgamma[c] = sum of dy * z,    dbeta[c] = sum of dy
        dx = (g - mean of g - z * mean of g * z) / sqrt(v + epsilon)            with g = dy * gamma

    where m and v are the mean and the biased variance of x[..., :]. It is the same in training and in inference, and
    does not depend on the rest of the batch.

    Parameters
    ----------
    epsilon : float of at least 0
    trainable : bool
        False freezes gamma and beta.
    name : str, optional

    Raises
    ------
    ValueError
        For a negative epsilon.

    Notes
    -----
    J. Ba, J. Kiros and G. Hinton, arXiv:1607.06450, section 3. Weights in the order of Keras: gamma, beta, each of
    shape (C,). As in Keras only the last axis is normalised.
    """

    replayable = True

    def __init__(self, epsilon: float = 1e-3, *, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(epsilon=epsilon, trainable=trainable, name=name)

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["x"] = x
        gamma, beta, out = self.gamma.constant, self.beta.constant, space.array("y", x.shape)
        return space.run("forward", ops.layer_norm, x, gamma, beta, self.epsilon, out=out)

    def backward(self, dy: Array, space: Space) -> Array:
        trained = self.gamma.trainable
        return space.run(
            "backward",
            ops.layer_norm_backward,
            dy,
            space.saved["x"],
            self.gamma.constant,
            self.epsilon,
            gamma_grad=self.gamma.grad if trained else None,
            beta_grad=self.beta.grad if trained else None,
            out=space.array("dx", dy.shape),
        )
