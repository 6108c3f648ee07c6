"""Where real images lie: in the folder that GWUCNN_DATA names, else in shared/data beside the checkout."""

import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(os.environ.get("GWUCNN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def found(pattern):
    """Return the one path of this pattern in the folder of data, or skip the test."""
    paths = sorted(FOLDER.glob(pattern))
    if not paths:
        pytest.skip(f"no {pattern} in {FOLDER}; set GWUCNN_DATA")
    return paths[0]


def photographs():
    """Return x_train, y_train, x_test and y_test of CIFAR-10, uint8 images (N, 32, 32, 3), or skip the test."""
    with np.load(found("cifar10/*.npz")) as file:
        return tuple(file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
