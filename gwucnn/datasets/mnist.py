"""MNIST from a folder of IDX files, an npz, a csv, or scikit-learn's `fetch_openml`."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gwucnn.common import FormatError
from gwucnn.datasets.base import Dataset, Part, as_images, as_labels, read_idx, read_npz

__all__ = ["load_mnist"]

OFFLINE = "load_sample() needs no such thing"
# 784 values of at most "255.000000" and a label: a longer line is no row of MNIST, whatever it unpacks to.
LONGEST_LINE = 785 * 16


def load_mnist(
    source: str | os.PathLike[str] | None = None, *, data_home: str | os.PathLike[str] | None = None
) -> Dataset:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits.

    Parameters
    ----------
    source : path, optional
        A folder
            with the four IDX files as published, plain or gzip: ``train-images-idx3-ubyte``,
            ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte``;
            ``train-images.idx3-ubyte`` and so on are understood too.
        An ``.npz``
            with ``x_train``, ``y_train``, ``x_test``, ``y_test`` (the file that Keras downloads).
        A ``.csv`` or ``.csv.gz``
            of 784 pixels and the label in the last column, a row an image, with or without a line of names.
            If the last column is all zeros, as a corner pixel is, the label is taken from the first.
        None, the default
            asks scikit-learn for ``fetch_openml('mnist_784', version=1)``, which keeps what it downloads.
    data_home : path, optional
        The folder in which scikit-learn keeps its downloads, if not its default. Only for ``source=None``.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of tuples of ndarray
        x uint8, shape (N, 28, 28), grey values 0 (paper) to 255 (ink); y int64, shape (N,), labels 0 to 9.
        A csv or OpenML table is cut after the first six sevenths, which are the 60,000 of MNIST's 70,000;
        in a csv sorted by class, which is no order of MNIST, each class is cut there.

    Raises
    ------
    FormatError
        If a file is damaged, truncated, or something other than MNIST; it names the file.
    FileNotFoundError
        If the source, or one of the four files, is not there.
    ImportError
        For ``source=None`` without scikit-learn.
    ConnectionError
        For ``source=None`` with neither cache nor network.

    Notes
    -----
    Seconds, measured on one core, for all 70,000 images: IDX and npz 0.4, csv 1.3, OpenML's cache 7 with
    pandas installed, and more without it.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86(11), 1998.
    """
    if source is None:
        return _from_openml(data_home)
    path = Path(source).expanduser()
    if path.is_dir():
        return _idx_part(path, "train"), _idx_part(path, "t10k")
    if not path.exists():
        raise FileNotFoundError(f"load_mnist: expected a folder or file, got {path}; check the path")
    if path.suffix == ".npz":
        return _from_npz(path)
    if path.name.endswith((".csv", ".csv.gz")):
        return _from_csv(path)
    raise ValueError(
        f"load_mnist: expected a folder of the four IDX files, .npz, .csv or .csv.gz, got {path}; "
        "give the folder if it is one of the four"
    )


def _idx_part(folder: Path, part: str) -> Part:
    """Read the images and labels of one part, 'train' or 't10k'."""
    images, labels = _idx_path(folder, part, "images", 3), _idx_path(folder, part, "labels", 1)
    x, y = read_idx(images, (28, 28)), read_idx(labels, ())
    if len(x) != len(y):
        raise FormatError(
            f"load_mnist: {folder}: expected as many labels as images, got {len(x)} in {images.name} and "
            f"{len(y)} in {labels.name}; take both files from one place"
        )
    return x, as_labels(f"load_mnist: {labels}", y, len(x))


def _idx_path(folder: Path, part: str, kind: str, ndim: int) -> Path:
    """Find one of the four files under its usual names, unpacked ones first because they are read faster."""
    names = [f"{part}-{kind}{dot}idx{ndim}-ubyte{packed}" for packed in ("", ".gz") for dot in "-."]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"load_mnist: expected {names[0]}, plain or .gz, in {folder}, got no such file; "
        "copy the four files of MNIST there"
    )


def _from_npz(path: Path) -> Dataset:
    arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    return _npz_part(path, arrays, "train"), _npz_part(path, arrays, "test")


def _npz_part(path: Path, arrays: dict[str, NDArray[Any]], part: str) -> Part:
    x = as_images(f"load_mnist: {path}: x_{part}", arrays[f"x_{part}"])
    return x, as_labels(f"load_mnist: {path}: y_{part}", arrays[f"y_{part}"], len(x))


def _from_csv(path: Path) -> Dataset:
    caller = f"load_mnist: {path}"
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as handle:
            table = np.loadtxt(_rows(caller, handle), np.uint8, delimiter=",", ndmin=2)
    except FormatError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise FormatError(
            f"{caller}: expected rows of 784 pixels 0 to 255 and a label, got unreadable ones ({error}); "
            "write whole numbers with commas between"
        ) from error
    if table.shape[1] != 785 or not len(table):
        raise FormatError(f"{caller}: expected rows of 785 numbers, got {table.shape}; add the labels")
    # The corners of MNIST's images are blank, so a column of zeros is one of them.
    label_first = table[:, 0].any() and not table[:, -1].any()
    labels, pixels = (table[:, 0], table[:, 1:]) if label_first else (table[:, -1], table[:, :-1])
    x, y = as_images(caller, np.ascontiguousarray(pixels)), as_labels(caller, labels, len(table))
    if (np.diff(y) >= 0).all() and np.bincount(y, minlength=10).min() >= 7:
        cuts = [np.flatnonzero(y == label) for label in range(10)]
        train = np.concatenate([rows[: _cut(len(rows))] for rows in cuts])
        test = np.concatenate([rows[_cut(len(rows)) :] for rows in cuts])
        return (x[train], y[train]), (x[test], y[test])
    return _split(x, y)


def _rows(caller: str, handle: IO[str]) -> Iterator[str]:
    """Yield a csv's lines but not its line of names; refuse an endless one before it fills the memory."""
    for number, line in enumerate(iter(lambda: handle.readline(LONGEST_LINE), "")):
        if len(line) == LONGEST_LINE:
            raise FormatError(
                f"{caller}: expected rows of 785 numbers, got {LONGEST_LINE} characters or more in line "
                f"{number + 1}; this is another data set"
            )
        if number or line[:1].isdigit():
            yield line


def _cut(count: int) -> int:
    """Return how many of `count` images are for training: six sevenths, as 60,000 of MNIST's 70,000."""
    return count * 6 // 7


def _split(x: NDArray[np.uint8], y: NDArray[np.int64]) -> Dataset:
    cut = _cut(len(x))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def _from_openml(data_home: str | os.PathLike[str] | None) -> Dataset:
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as error:
        raise ImportError(
            "load_mnist: expected scikit-learn for source=None, got none; pip install scikit-learn, or "
            f"give the folder of the four IDX files; {OFFLINE}"
        ) from error
    # Without pandas only the slow parser works. With it, the label column must be read as text: pandas from
    # 3.1 on fails to make the categories '0', '1', ... out of integers.
    options: dict[str, Any] = {"parser": "liac-arff"}
    if util.find_spec("pandas") is not None:
        options = {"parser": "pandas", "read_csv_kwargs": {"dtype": {784: "str"}}}
    try:
        with warnings.catch_warnings():
            # scikit-learn warns before each new attempt; what matters of it is in the error below.
            warnings.filterwarnings("ignore", message="A network error occurred")
            table = fetch_openml(
                "mnist_784", version=1, as_frame=False, data_home=data_home, n_retries=1, delay=0.5, **options
            )
    except OSError as error:
        raise ConnectionError(
            f"load_mnist: expected MNIST in scikit-learn's cache ({data_home or 'its default folder'}) or a "
            f"network to fetch it by, got {error!r}; connect once, or give the folder of the four IDX files; "
            f"{OFFLINE}"
        ) from error
    caller = "load_mnist: fetch_openml('mnist_784')"
    x = as_images(caller, np.asarray(table.data))
    return _split(x, as_labels(caller, np.asarray(table.target), len(x)))
