"""The 2,000 MNIST images that travel with the package, so that everything can be tried offline."""

from __future__ import annotations

import numpy as np

from gwucnn.datasets.base import Dataset

__all__ = ["load_sample"]


def load_sample() -> Dataset:
    """Load 2,000 real MNIST digits, 200 of each class, from the package itself.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of tuples of ndarray
        x_train uint8, shape (1500, 28, 28): 150 images of each class, grey values 0 (paper) to 255 (ink),
        in shuffled order. y_train int64, shape (1500,): labels 0 to 9. x_test and y_test likewise, 500
        images, 50 of each class. Fresh arrays at each call, which the caller may change.

    Notes
    -----
    All 2,000 are among MNIST's 60,000 *training* images, so the test part here is a fair test of a network
    trained on the train part here, but not of one trained on the whole of MNIST.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0; see NOTICE.
    ``docs/make_sample.py`` tells how the images were chosen.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_sample()
    >>> x_train.shape, x_test.shape, x_train.dtype
    ((1500, 28, 28), (500, 28, 28), dtype('uint8'))
    >>> np.bincount(y_test)
    array([50, 50, 50, 50, 50, 50, 50, 50, 50, 50])
    """
    # Imported on use: `import gwucnn` should not pay its milliseconds.
    from importlib.resources import files

    sample = files("gwucnn.datasets").joinpath("mnist_sample.npz")
    with sample.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
        train = arrays["x_train"], arrays["y_train"].astype(np.int64)
        test = arrays["x_test"], arrays["y_test"].astype(np.int64)
    return train, test
