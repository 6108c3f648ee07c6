"""MNIST from CSV files: the label column, truncated files, and rejected ones."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from gwucnn import datasets
from gwucnn.common.errors import FormatError


def write_table(path, x, y, *, label_first=False, names=False):
    columns = [y[:, None], x.reshape(len(x), 784)]
    table = np.concatenate(columns if label_first else columns[::-1], axis=1)
    lines = ["label," + ",".join(f"pixel{i}" for i in range(784))] * names
    text = "\n".join(lines + [",".join(map(str, row)) for row in table.tolist()]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.mark.parametrize("name", ["mnist.csv", "mnist.csv.gz"])
@pytest.mark.parametrize("label_first", [False, True])
@pytest.mark.parametrize("names", [False, True])
def test_csv_is_cut_after_six_sevenths(tmp_path, name, label_first, names):
    (x, y), _ = datasets.load_sample()
    write_table(tmp_path / name, x[:70], y[:70], label_first=label_first, names=names)
    (x_train, y_train), (x_test, y_test) = datasets.load_mnist(tmp_path / name)
    np.testing.assert_array_equal(x_train, x[:60])
    np.testing.assert_array_equal(y_train, y[:60])
    np.testing.assert_array_equal(x_test, x[60:70])
    np.testing.assert_array_equal(y_test, y[60:70])
    assert (x_train.dtype, y_train.dtype) == (np.uint8, np.int64)


def test_csv_sorted_by_class_is_cut_in_each_class(tmp_path):
    (x, y), _ = datasets.load_sample()
    rows = np.concatenate([np.flatnonzero(y == label)[:14] for label in range(10)])
    write_table(tmp_path / "mnist.csv", x[rows], y[rows])
    (x_train, y_train), (x_test, y_test) = datasets.load_mnist(tmp_path / "mnist.csv")
    assert np.bincount(y_train).tolist() == [12] * 10
    assert np.bincount(y_test).tolist() == [2] * 10
    np.testing.assert_array_equal(x_train[:12], x[rows[:12]])
    np.testing.assert_array_equal(x_test[:2], x[rows[12:14]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", r"expected rows of 785 numbers, got \(1, 3\)"),
        (",".join(["0"] * 784 + ["12"]), "expected labels 0 to 9, got float64 from 12 to 12"),
        (
            ",".join(["0"] * 783 + ["256", "1"]),
            "expected rows of 784 pixels 0 to 255 and a label, got unreadable",
        ),
        (",".join(["0"] * 784 + ["1"]) + "\n1,2\n", "got unreadable ones"),
        ("0" * 100_000, "got 12560 characters or more in line 1"),
    ],
)
def test_csv_of_other_content(tmp_path, text, message):
    path = tmp_path / "mnist.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        datasets.load_mnist(path)
    assert str(path) in str(caught.value)


def test_damaged_csv_gz(tmp_path):
    (x, y), _ = datasets.load_sample()
    path = tmp_path / "mnist.csv.gz"
    write_table(path, x[:7], y[:7])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="got unreadable ones"):
        datasets.load_mnist(path)
