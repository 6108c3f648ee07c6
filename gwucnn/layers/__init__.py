"""The layers, a file for each kind.

Start with `base.py`, which has the base class and what a layer tells the engine, then read a short layer such as
`flatten.py` or `dense.py`. `weighted.py` and `filters.py` are the bases of layers with a kernel. `graphs/` connects
layers: it has those with several inputs and those that contain others. `inserting.py` puts a layer into a network;
`last_activation.py` checks the final activation; `imported.py` has layers that only ONNX imports need. `augmentation/`
has the layers that change images randomly in training.
"""

from typing import Any

from gwucnn.common import missing_name
from gwucnn.layers import imported
from gwucnn.layers.augmentation import (
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)
from gwucnn.layers.base import Layer
from gwucnn.layers.conv import Conv2D
from gwucnn.layers.conv_transpose import Conv2DTranspose
from gwucnn.layers.dense import Dense
from gwucnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from gwucnn.layers.dropout import Dropout, SpatialDropout2D
from gwucnn.layers.flatten import Flatten
from gwucnn.layers.graphs.merge import Add, Average, Maximum, Multiply, Subtract
from gwucnn.layers.graphs.nested import Concatenate, Residual
from gwucnn.layers.graphs.tensor import Input
from gwucnn.layers.group_norm import GroupNormalization
from gwucnn.layers.normalise import BatchNormalization, LayerNormalization
from gwucnn.layers.padding import Cropping2D, ZeroPadding2D
from gwucnn.layers.pool import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from gwucnn.layers.prelu import PReLU
from gwucnn.layers.preprocessing import Normalization, Rescaling
from gwucnn.layers.reshape import Reshape
from gwucnn.layers.resizing import Resizing
from gwucnn.layers.upsampling import UpSampling2D

__all__ = [
    "Add",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Input",
    "Layer",
    "LayerNormalization",
    "MaxPooling2D",
    "Maximum",
    "Multiply",
    "Normalization",
    "PReLU",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "Rescaling",
    "Reshape",
    "Residual",
    "Resizing",
    "SeparableConv2D",
    "SpatialDropout2D",
    "Subtract",
    "UpSampling2D",
    "ZeroPadding2D",
    "imported",
]


def __getattr__(name: str) -> Any:
    missing_name("gwucnn.layers", name, __all__)
