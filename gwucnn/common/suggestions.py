"""Suggestions for names that do not exist: the closest one, or what names of other libraries are called here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

__all__ = ["did_you_mean", "elsewhere", "missing_name"]

# Names in other libraries, for what similarity of spelling would not find.
OTHER_NAMES = {
    "acc": ["accuracy"],
    "alpha": ["negative_slope"],
    "bce": ["binary_crossentropy"],
    "binary_accuracy": ["accuracy"],
    "bias": ["add_bias"],
    "categorical_accuracy": ["accuracy"],
    "clipnorm": ["global_clipnorm"],
    "double": ["float64"],
    "eta": ["lr"],
    "float16": ["float32"],
    "half": ["float32"],
    "hardsigmoid": ["hard_sigmoid"],
    "hardswish": ["hard_swish"],
    "hard_silu": ["hard_swish"],
    "in_channels": ["input_size"],
    "in_features": ["input_size"],
    "input_dim": ["input_size"],
    "input_shape": ["input_size"],
    "kaiming_normal": ["he_normal"],
    "kaiming_uniform": ["he_uniform"],
    "learning_rate": ["lr", "initial_learning_rate", "max_learning_rate"],
    "lr": ["initial_learning_rate", "max_learning_rate"],
    "max_lr": ["max_learning_rate"],
    "max_norm": ["global_clipnorm"],
    "mean_absolute_error": ["mae"],
    "mean_squared_error": ["mse"],
    "n_epochs": ["epochs"],
    "nb_epoch": ["epochs"],
    "nchw": ["channels_first"],
    "negative_log_likelihood": ["cross_entropy"],
    "nhwc": ["channels_last"],
    "nll": ["cross_entropy"],
    "num_epochs": ["epochs"],
    "on_train_batch_begin": ["on_batch_begin"],
    "on_train_batch_end": ["on_batch_end"],
    "out_channels": ["filters"],
    "out_features": ["output_size"],
    "p": ["rate"],
    "single": ["float32"],
    "swish": ["silu"],
    "sparse_categorical_accuracy": ["accuracy"],
    "sparse_top_k_categorical_accuracy": ["top_k_accuracy"],
    "top_k_categorical_accuracy": ["top_k_accuracy"],
    "units": ["output_size"],
    "use_bias": ["add_bias"],
    "val_data": ["validation_data"],
    "xavier": ["glorot_uniform"],
    "xavier_normal": ["glorot_normal"],
    "xavier_uniform": ["glorot_uniform"],
}

# Arguments that something else takes, and what.
ELSEWHERE = {
    "clipnorm": "give global_clipnorm to compile",
    "data_format": "give it to GWUNetwork, once for all layers",
    "dtype": "give precision to GWUNetwork, once for all layers",
    "labels": "plotting.confusion_matrix takes the names of classes",
    "seed": "give it to GWUNetwork, once for all layers",
    "weight_decay": "use AdamW, or give layers kernel_regularizer='l2'",
}

# What classes and functions of Keras and PyTorch are called here.
OTHER_CLASSES = {
    "AvgPool2D": "AveragePooling2D",
    "AvgPool2d": "AveragePooling2D",
    "BCELoss": "LogLoss",
    "BatchNorm": "BatchNormalization",
    "BatchNorm2d": "BatchNormalization",
    "Callback": "any class with a method on_epoch_end(self, record), or a function of the record",
    "CategoricalCrossentropy": "CrossEntropy",
    "Conv1D": "Conv2D with kernel_size=(1, k), on images of height 1",
    "ConvTranspose2d": "Conv2DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "CrossEntropyLoss": "CrossEntropy",
    "Dropout2d": "SpatialDropout2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "Input": "input_size=... of the first layer, or nothing: fit and build find the size of images",
    "InputLayer": "input_size=... of the first layer, or nothing: fit and build find the size of images",
    "LayerNorm": "LayerNormalization",
    "Linear": "Dense",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool2d": "MaxPooling2D",
    "MeanAbsoluteError": "MAE",
    "MeanSquaredError": "MSE",
    "Model": "GWUNetwork([...]), or GWUNetwork(inputs=..., outputs=...)",
    "Module": "GWUNetwork([...]), or derive your own layer from Layer",
    "ReLU": "RELU",
    "Sequential": "GWUNetwork([...])",
    "SparseCategoricalCrossentropy": "CrossEntropy",
    "Swish": "SiLU",
    "Upsample": "UpSampling2D",
    "load_model": "GWUNetwork.load(path)",
    "mnist": "datasets.load_mnist() or datasets.load_sample()",
    "save_model": "network.save(path)",
}

# Least similarity, from 0 to 1, of two words, and of two names whose words are divided otherwise.
WORDS, WHOLE = 0.7, 0.85


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the closest of the known names, or an empty string if none is close."""
    known = list(known)
    if not isinstance(name, str):
        # A class, function or object with the right name, such as activation=RELU.
        meant = getattr(name, "__name__", type(name).__name__).lower().removesuffix("activation")
        return f"; did you mean {meant!r}?" if meant in known else ""
    renamed = [word for word in OTHER_NAMES.get(name.lower(), ()) if word in known]
    close = renamed or _close(name, known)
    return f"; did you mean {close[0]!r}?" if close else ""


def elsewhere(name: str) -> str:
    """Return a hint where an argument belongs that is unknown here, or an empty string."""
    return f"; {ELSEWHERE[name]}" if name in ELSEWHERE else ""


def missing_name(module: str, name: str, known: Iterable[str]) -> NoReturn:
    """Raise the error for a name that a package does not have, as its ``__getattr__`` must.

    Python shows nothing of an AttributeError if the name is wanted by ``from package import name``, so that this raises
    an ImportError with a suggestion, if there is one.
    """
    hint = f"; use {OTHER_CLASSES[name]}" if name in OTHER_CLASSES else did_you_mean(name, known)
    message = f"{module}: expected a public name, got {name!r}{hint}"
    # `from package import name` first asks whether the package has the attribute.
    if hint and sys._getframe(2).f_globals.get("__name__") == "importlib._bootstrap" and not _is_module(module, name):
        raise ImportError(message, name=module)
    raise AttributeError(message, name=name)


def _is_module(package: str, name: str) -> bool:
    from importlib.util import find_spec  # takes longer to import than this module

    return find_spec(f"{package}.{name}") is not None


def _close(name: str, known: Sequence[str]) -> list[str]:
    """Return those of the known names that differ from a name by no more than typing mistakes, the closest first."""
    near = [(_similarity(name.lower(), each.lower()), each) for each in known if _is_close(name.lower(), each.lower())]
    return [each for _, each in sorted(near, key=lambda pair: -pair[0])]


def _is_close(name: str, known: str) -> bool:
    """Whether each word of a name resembles its counterpart: 'on_batch_end' is not close to 'on_epoch_end'."""
    numbers = [[int(digits) for digits in re.findall(r"\d+", each)] for each in (name, known)]
    if all(numbers) and numbers[0] != numbers[1]:
        return False  # Conv1D is not Conv2D
    words, others = name.split("_"), known.split("_")
    if len(words) != len(others):
        begins = others[: len(words)] == words
        return begins or _similarity("".join(words), "".join(others)) > WHOLE
    return all(_resemble(*pair) for pair in zip(words, others, strict=True))


def _resemble(word: str, other: str) -> bool:
    """Whether one word is another mistyped, or one an abbreviation of the other of three letters or more."""
    short, long = sorted((word, other), key=len)
    if len(long) < 3:
        return True
    return _similarity(word, other) >= WORDS or (len(short) >= 3 and long.startswith(short))


def _similarity(one: str, other: str) -> float:
    from difflib import SequenceMatcher  # imported here, as it is only needed after a mistake

    return SequenceMatcher(None, one, other).ratio()
