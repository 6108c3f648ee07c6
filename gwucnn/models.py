"""Well-known networks, small enough to train on a CPU. Each function is the network, to be read and changed.

All return a network that is neither built nor compiled. It ends with a softmax, for `loss='cross_entropy'`; the size of
the images is taken from the first data. A recipe that trains each of them unattended:

    scale = Normalization()
    scale.adapt(x_train)
    augmentation = [RandomFlip("horizontal"), RandomTranslation(1 / 8, 1 / 8)]      # not for digits
    network = models.resnet18_small(preprocessing=[scale, *augmentation])
    rate = OneCycle(0.1, total_steps=epochs * math.ceil(len(x_train) / 64))
    network.compile("cross_entropy", optimizer=SGD(rate, momentum=0.9, nesterov=True))
    network.fit(x_train, y_train, epochs, batch_size=64, validation_data=(x_test, y_test))

With a width of 16, eight epochs of ten thousand CIFAR-10 images lead to an accuracy of 69 % on other images, in three
minutes on one core (tests/datasets/test_real_data.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gwucnn.activation_layers import RELU
from gwucnn.common import check_size, unknown_argument
from gwucnn.gwu_network import GWUNetwork
from gwucnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Residual,
)

__all__ = ["lenet5", "mobilenet_small", "resnet18_small", "vgg_small"]


def lenet5(classes: int = 10, *, preprocessing: Iterable[Layer] = (), **options: Any) -> GWUNetwork:
    """Return LeNet-5, for images of 28 x 28 (padded to 32 x 32) or 32 x 32 pixels: 61,706 weights on MNIST.

    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE 86
    (1998), figure 2; with relu, max pooling and softmax in place of tanh, average pooling and Gaussian connections.

    Parameters
    ----------
    classes : int
    preprocessing : iterable of Layer
        Layers in front of the network's own: Rescaling, Normalization, augmentation.
    **options
        For `GWUNetwork`: seed, precision, data_format, ...

    Examples
    --------
    >>> network = lenet5(seed=0)
    >>> network.build((28, 28))
    >>> network.count_params()
    61706
    """
    _check(lenet5, options, classes)
    layers = [
        *_in_front(preprocessing),
        _conv(6, 5, padding="same", activation="relu", add_bias=True),
        MaxPooling2D(),
        _conv(16, 5, activation="relu", add_bias=True),
        MaxPooling2D(),
        Flatten(),
        _dense(120),
        _dense(84),
        Dense(classes, activation="softmax", add_bias=True),
    ]
    return GWUNetwork(layers, **options)


def vgg_small(classes: int = 10, *, width: int = 64, preprocessing: Iterable[Layer] = (), **options: Any) -> GWUNetwork:
    """Return a VGG of six convolutions, for images such as CIFAR's, (32, 32, 3): 1.7 million weights there.

    Two 3 x 3 convolutions and a pooling, three times, with twice as many filters each time. K. Simonyan and
    A. Zisserman, "Very deep convolutional networks for large-scale image recognition", arXiv:1409.1556.

    Parameters
    ----------
    classes : int
    width : int
        Number of filters of the first convolutions.
    preprocessing, **options
        As for `lenet5`.

    Examples
    --------
    >>> network = vgg_small(seed=0)
    >>> network.build((32, 32, 3))
    >>> network.count_params()
    1671114
    """
    _check(vgg_small, options, classes, width)
    layers = _in_front(preprocessing)
    for filters in (width, 2 * width, 4 * width):
        pair = [_conv(filters, padding="same", activation="relu", add_bias=True) for _ in range(2)]
        layers += [*pair, MaxPooling2D()]
    layers += [Flatten(), _dense(128), Dense(classes, activation="softmax", add_bias=True)]
    return GWUNetwork(layers, **options)


def resnet18_small(
    classes: int = 10, *, width: int = 64, preprocessing: Iterable[Layer] = (), **options: Any
) -> GWUNetwork:
    """Return ResNet-18 for small images such as CIFAR's, (32, 32, 3): 11.2 million weights.

    Eight blocks of two convolutions with `width` to 8 * `width` filters, after a 3 x 3 convolution that keeps the size
    of the images. K. He et al., "Deep residual learning for image recognition", arXiv:1512.03385, table 1; first layers
    as in section 4.2, projections (option B) where sizes change.

    Parameters
    ----------
    classes : int
    width : int
        Number of filters of the first blocks.
    preprocessing, **options
        As for `lenet5`.

    Examples
    --------
    >>> network = resnet18_small(width=4, seed=0)
    >>> network.build((32, 32, 3))
    >>> network.layers[7].label, network.layers[7].out_shape
    ('7.Residual', (16, 16, 8))
    """
    _check(resnet18_small, options, classes, width)
    layers = [*_in_front(preprocessing), _conv(width, padding=1), BatchNormalization(), RELU()]
    channels = width
    for filters, strides in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [_residual(channels, filters, strides), RELU(), _residual(filters, filters, 1), RELU()]
        channels = filters
    layers += [GlobalAveragePooling2D(), Dense(classes, activation="softmax", add_bias=True)]
    return GWUNetwork(layers, **options)


def _residual(channels: int, filters: int, strides: int) -> Residual:
    """Return two convolutions with a shortcut, which is a projection if they change the shape."""
    layers = [
        _conv(filters, strides=strides, padding=1),
        BatchNormalization(),
        RELU(),
        _conv(filters, padding=1),
        BatchNormalization(),
    ]
    if strides == 1 and channels == filters:
        return Residual(layers)
    return Residual(layers, shortcut=[_conv(filters, 1, strides=strides), BatchNormalization()])


# Filters and strides of the blocks of a MobileNet for images of 32 x 32.
MOBILENET = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))


def mobilenet_small(
    classes: int = 10,
    *,
    blocks: Iterable[tuple[int, int]] = MOBILENET,
    preprocessing: Iterable[Layer] = (),
    **options: Any,
) -> GWUNetwork:
    """Return a MobileNet for small images such as CIFAR's, (32, 32, 3).

    Each block is a 3 x 3 depthwise convolution followed by a 1 x 1 convolution. A. Howard et
    al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
    arXiv:1704.04861, section 3 and figure 3.

    Parameters
    ----------
    classes : int
    blocks : iterable of (filters, strides)
    preprocessing, **options
        As for `lenet5`.

    Examples
    --------
    >>> network = mobilenet_small(seed=0)
    >>> network.build((32, 32, 3))
    >>> network.count_params()
    549578
    """
    _check(mobilenet_small, options, classes)
    blocks = _filters_and_strides(blocks)
    layers = [*_in_front(preprocessing), _conv(32, padding=1), BatchNormalization(), RELU()]
    for filters, strides in blocks:
        layers += [
            DepthwiseConv2D(3, strides, padding=1, kernel_initializer="he_normal"),
            BatchNormalization(),
            RELU(),
        ]
        layers += [_conv(filters, 1), BatchNormalization(), RELU()]
    layers += [GlobalAveragePooling2D(), Dense(classes, activation="softmax", add_bias=True)]
    return GWUNetwork(layers, **options)


def _filters_and_strides(blocks: Any) -> list[tuple[int, int]]:
    try:
        return [(filters, strides) for filters, strides in blocks]
    except (TypeError, ValueError):
        raise TypeError(
            f"mobilenet_small: expected blocks of (filters, strides), got {blocks!r}; write them as in models.MOBILENET"
        ) from None


def _check(model: Callable[..., Any], options: Mapping[str, Any], classes: int, width: int = 1) -> None:
    """Raise an error that names the model for invalid sizes and unknown options."""
    caller = model.__name__
    check_size(caller, "classes", classes)
    check_size(caller, "width", width)
    own = [name for name in inspect.signature(model).parameters if name != "options"]
    theirs = inspect.signature(GWUNetwork).parameters
    of_networks = [name for name in theirs if name not in ("layers", "inputs", "outputs")]
    for name in options:
        if name not in of_networks:
            raise unknown_argument(caller, own + of_networks, name)


def _in_front(preprocessing: Iterable[Layer]) -> list[Layer]:
    if isinstance(preprocessing, (str, Layer)) or not isinstance(preprocessing, Iterable):
        raise TypeError(
            f"models: expected preprocessing to be a list of layers, got {preprocessing!r}; write preprocessing=[...]"
        )
    return list(preprocessing)


def _conv(filters: int, kernel_size: int = 3, **options: Any) -> Conv2D:
    """Return a convolution whose initial weights preserve the variance through relu."""
    return Conv2D(filters, kernel_size, kernel_initializer="he_normal", **options)


def _dense(units: int) -> Dense:
    return Dense(units, activation="relu", add_bias=True, kernel_initializer="he_normal")
