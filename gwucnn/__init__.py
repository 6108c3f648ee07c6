"""Convolutional neural networks, compiled, for CPUs: the API of gwu_nn with everything that a CNN needs.

>>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D
>>> layers = [Conv2D(8, 3, activation='relu'), MaxPooling2D(2), Flatten(), Dense(10, activation='softmax')]
>>> network = GWUNetwork(layers)
>>> network.compile(loss='cross_entropy', optimizer='adam')
"""

from typing import TYPE_CHECKING, Any

from gwucnn import ops
from gwucnn._version import __version__
from gwucnn.activation_functions import (
    ActivationFunction,
    ELUActivation,
    GELUActivation,
    HardSigmoidActivation,
    HardSwishActivation,
    LeakyReLUActivation,
    MishActivation,
    ReLU6Activation,
    RELUActivation,
    SELUActivation,
    SigmoidActivation,
    SiLUActivation,
    SoftmaxActivation,
    SoftplusActivation,
    TanhActivation,
)
from gwucnn.activation_layers import (
    ELU,
    GELU,
    RELU,
    SELU,
    Activation,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Mish,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from gwucnn.callbacks import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from gwucnn.callbacks.history import History
from gwucnn.common import FormatError, NotBuiltError, ShapeError, SizeMismatchWarning, missing_name, set_random_seed
from gwucnn.data import CutMix, MixUp
from gwucnn.gwu_network import GWUNetwork
from gwucnn.kernels import get_num_threads, set_num_threads, show_config
from gwucnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Normalization,
    PReLU,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Rescaling,
    Reshape,
    Residual,
    Resizing,
    SeparableConv2D,
    SpatialDropout2D,
    UpSampling2D,
    ZeroPadding2D,
)
from gwucnn.loss_functions import (
    MAE,
    MSE,
    BinaryCrossentropy,
    CrossEntropy,
    Huber,
    LogLoss,
    LossFunction,
)
from gwucnn.memory import Parameter
from gwucnn.metrics import (
    accuracy,
    auc,
    confusion_matrix,
    f1,
    precision,
    recall,
    to_categorical,
    top_k_accuracy,
)
from gwucnn.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from gwucnn.regularizers import L1, L1L2, L2
from gwucnn.schedules import CosineDecay, ExponentialDecay, OneCycle, PiecewiseConstant, Schedule

if TYPE_CHECKING:
    from gwucnn import datasets, distributed, interop, models, onnx, plotting, testing

__all__ = [
    "ELU",
    "GELU",
    "L1",
    "L1L2",
    "L2",
    "MAE",
    "MSE",
    "RELU",
    "SELU",
    "SGD",
    "Activation",
    "ActivationFunction",
    "Adagrad",
    "Adam",
    "AdamW",
    "AveragePooling2D",
    "BatchNormalization",
    "BinaryCrossentropy",
    "CSVLogger",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "CosineDecay",
    "Cropping2D",
    "CrossEntropy",
    "CutMix",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "ELUActivation",
    "EarlyStopping",
    "ExponentialDecay",
    "Flatten",
    "FormatError",
    "GELUActivation",
    "GWUNetwork",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "HardSigmoid",
    "HardSigmoidActivation",
    "HardSwish",
    "HardSwishActivation",
    "History",
    "Huber",
    "LambdaCallback",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "LeakyReLUActivation",
    "LearningRateScheduler",
    "LogLoss",
    "LossFunction",
    "MaxPooling2D",
    "Mish",
    "MishActivation",
    "MixUp",
    "ModelCheckpoint",
    "Normalization",
    "NotBuiltError",
    "OneCycle",
    "Optimizer",
    "PReLU",
    "Parameter",
    "PiecewiseConstant",
    "RELUActivation",
    "RMSprop",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU6",
    "ReLU6Activation",
    "ReduceLROnPlateau",
    "Rescaling",
    "Reshape",
    "Residual",
    "Resizing",
    "SELUActivation",
    "Schedule",
    "SeparableConv2D",
    "ShapeError",
    "SiLU",
    "SiLUActivation",
    "Sigmoid",
    "SigmoidActivation",
    "SizeMismatchWarning",
    "Softmax",
    "SoftmaxActivation",
    "Softplus",
    "SoftplusActivation",
    "SpatialDropout2D",
    "Tanh",
    "TanhActivation",
    "UpSampling2D",
    "ZeroPadding2D",
    "__version__",
    "accuracy",
    "auc",
    "confusion_matrix",
    "datasets",
    "distributed",
    "f1",
    "get_num_threads",
    "interop",
    "models",
    "onnx",
    "ops",
    "plotting",
    "precision",
    "recall",
    "set_num_threads",
    "set_random_seed",
    "show_config",
    "testing",
    "to_categorical",
    "top_k_accuracy",
]


def __getattr__(name: str) -> Any:
    """Import on first use: the readers of data sets cost a third of what all the rest does."""
    if name in ("datasets", "distributed", "interop", "models", "onnx", "plotting", "sklearn", "testing"):
        import importlib

        return importlib.import_module(f"gwucnn.{name}")
    missing_name("gwucnn", name, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
