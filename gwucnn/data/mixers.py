"""Augmentation that mixes the images of a batch, and their targets in the same proportions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gwucnn.common import Configurable, ShapeError, check_positive

__all__ = ["CutMix", "MixUp", "Mixer"]


class Mixture(NamedTuple):
    """With what, and how much of it, each of N samples is mixed."""

    partner: Any  # int64 (N,): the number of the other sample
    share: Any  # float64 (N,): how much of its own image is kept, from 0 to 1
    boxes: Any = None  # int64 (N, 2, 2): rows start:stop and columns start:stop of the other image


class Mixer(Configurable):
    """The base of `MixUp` and `CutMix`, for `fit(..., mix=...)`. They are not layers, because they change targets too.

    In each batch, every sample gets a partner, by a random permutation (so it may be its own), and a share lam of its
    own, from the distribution Beta(alpha, alpha).
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = check_positive(type(self).__name__, "alpha", alpha)

    def require_mixable(self, caller: str, x_shape: Any, y_shape: Any, *, weighted: bool) -> None:
        """Raise an error unless samples of these shapes can be mixed. weighted : whether their weights differ."""

    def draw(self, rng: Any, shape: tuple[int, ...]) -> Mixture:
        """Return what is mixed in a batch of this shape, (N, H, W, C) or (N, D)."""
        return Mixture(rng.permutation(shape[0]), rng.beta(self.alpha, self.alpha, shape[0]))

    def inputs(self, x: Any, mixture: Mixture) -> Any:
        """Return mixed inputs in a new array of the same dtype."""
        raise NotImplementedError

    def mixed(self, x: Any, y: Any, weights: Any, rng: Any) -> tuple[Any, Any, Any]:
        """Return mixed inputs, targets and weights of a batch, in new arrays.

        A mixed sample counts like its two parts, each with its own weight: it has their mean weight, and a target in
        which the heavier part has more influence. For cross-entropy that is the mean of the two weighted losses.

        Parameters
        ----------
        x : floats (N, H, W, C) or (N, D)
        y : floats (N, outputs) or (N, H, W, C), in which classes are one-hot
        weights : float64 (N,), or None if all are equal
        rng : numpy Generator
        """
        mixture = self.draw(rng, x.shape)
        share = mixture.share
        if weights is not None:
            own, other = share * weights, (1 - share) * weights[mixture.partner]
            weights = own + other
            share = np.divide(own, weights, out=share.copy(), where=weights > 0)
        return self.inputs(x, mixture), self.targets(y, mixture, share), weights

    def targets(self, y: Any, mixture: Mixture, share: Any) -> Any:
        """Return targets mixed in proportions `share`, (N,), in a new array of the same dtype."""
        return _blend(y, mixture.partner, share)


def _blend(a: Any, partner: Any, share: Any) -> Any:
    """Return share * a + (1 - share) * a[partner], computed in the dtype of a."""
    share = share.astype(a.dtype).reshape(-1, *(1,) * (a.ndim - 1))
    return share * a + (1 - share) * a[partner]


class MixUp(Mixer):
    """Mixes each image of a batch with another one: lam * x[i] + (1 - lam) * x[j], and the targets alike.

    An image that is 70 % a 3 and 30 % an 8 has the target 0.7 for class 3 and 0.3 for class 8. Networks become less
    certain of themselves, and generalise better: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Parameters
    ----------
    alpha : float above 0
        lam is drawn from Beta(alpha, alpha): with the default, mostly close to 0 or 1; with 1, uniformly.

    Examples
    --------
    >>> from gwucnn import Dense, Flatten, GWUNetwork, MixUp, datasets
    >>> (x, y), _ = datasets.load_sample()
    >>> network = GWUNetwork([Flatten(), Dense(10, activation='softmax')], seed=0)
    >>> network.compile('cross_entropy', optimizer='adam')
    >>> history = network.fit(x / 255, y, epochs=2, batch_size=32, mix=MixUp(0.2))
    """

    def __init__(self, alpha: float = 0.2) -> None:
        super().__init__(alpha)

    def inputs(self, x: Any, mixture: Mixture) -> Any:
        return _blend(x, mixture.partner, mixture.share)


class CutMix(Mixer):
    """Replaces a rectangle of each image of a batch by that of another one; targets are mixed by its area.

    S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019. The
    rectangle has sides sqrt(1 - lam) times those of the image, around a random pixel. What would lie outside of the
    image is cut off, and lam then set to the share of the image that is kept. Targets of the size of the image, as in
    segmentation, get the same rectangle instead.

    Parameters
    ----------
    alpha : float above 0
        lam is drawn from Beta(alpha, alpha), by default uniformly.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha)

    def require_mixable(self, caller: str, x_shape: Any, y_shape: Any, *, weighted: bool) -> None:
        if len(x_shape) != 3:
            raise ShapeError(f"{caller}: expected images for CutMix, got features {tuple(x_shape)}; use MixUp")
        if len(y_shape) == 3 and y_shape[:2] != x_shape[:2]:
            raise ShapeError(
                f"{caller}: expected outputs of the size of the images, {x_shape[:2]}, for CutMix, got {y_shape[:2]}; "
                "use MixUp"
            )
        if len(y_shape) == 3 and weighted:
            raise ValueError(
                f"{caller}: expected no sample weights for CutMix of outputs that are images, got some; use MixUp"
            )

    def draw(self, rng: Any, shape: tuple[int, ...]) -> Mixture:
        mixture, size = super().draw(rng, shape), np.array(shape[1:3])
        centre = rng.integers(size, size=(shape[0], 2))
        half = (np.sqrt(1 - mixture.share)[:, None] * size / 2).astype(np.int64)
        boxes = np.stack([np.maximum(centre - half, 0), np.minimum(centre + half, size)], axis=-1)
        area = (boxes[..., 1] - boxes[..., 0]).prod(axis=1)
        return Mixture(mixture.partner, 1 - area / size.prod(), boxes)

    def inputs(self, x: Any, mixture: Mixture) -> Any:
        made = x.copy()
        for image, partner, ((top, bottom), (left, right)) in zip(made, mixture.partner, mixture.boxes, strict=True):
            image[top:bottom, left:right] = x[partner, top:bottom, left:right]
        return made

    def targets(self, y: Any, mixture: Mixture, share: Any) -> Any:
        return self.inputs(y, mixture) if y.ndim == 4 else super().targets(y, mixture, share)
