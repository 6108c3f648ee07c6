"""The embedded sample, and MNIST from IDX and npz files, intact and damaged."""

from __future__ import annotations

import gzip
import struct
import zipfile
from importlib.resources import files

import numpy as np
import pytest

import real_data
from gwucnn import datasets
from gwucnn.common.errors import FormatError
from gwucnn.datasets.base import as_images, as_labels, read_idx, read_npz

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx_bytes(values, type_code=8):
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, type_code, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def arrays():
    """Give seven training images and three test images, with labels, all of them noise."""
    rng = np.random.default_rng(3)
    return {
        "x_train": rng.integers(0, 256, (7, 28, 28), np.uint8),
        "y_train": rng.integers(0, 10, 7, np.uint8),
        "x_test": rng.integers(0, 256, (3, 28, 28), np.uint8),
        "y_test": rng.integers(0, 10, 3, np.uint8),
    }


def assert_same(loaded, arrays):
    (x_train, y_train), (x_test, y_test) = loaded
    for got, name in ((x_train, "x_train"), (y_train, "y_train"), (x_test, "x_test"), (y_test, "y_test")):
        np.testing.assert_array_equal(got, arrays[name])
        assert got.dtype == (np.uint8 if name[0] == "x" else np.int64)
        assert got.flags.writeable


# The embedded sample


def test_sample_has_its_shape_types_and_balance():
    (x_train, y_train), (x_test, y_test) = datasets.load_sample()
    assert (x_train.shape, x_test.shape) == ((1500, 28, 28), (500, 28, 28))
    assert {x_train.dtype, x_test.dtype} == {np.dtype(np.uint8)}
    assert {y_train.dtype, y_test.dtype} == {np.dtype(np.int64)}
    assert np.bincount(y_train).tolist() == [150] * 10
    assert np.bincount(y_test).tolist() == [50] * 10


def test_sample_holds_different_images_with_ink_and_blank_corners():
    (x_train, _), (x_test, _) = datasets.load_sample()
    images = np.concatenate([x_train, x_test])
    assert len({image.tobytes() for image in images}) == 2000
    assert (images.max(axis=(1, 2)) > 200).all()
    assert not images[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_sample_serves_the_slides_program():
    """The slides take 200 zeros and ones of the first 1,500 images, and 10 of the first 150 test images."""
    (_, y_train), (_, y_test) = datasets.load_sample()
    assert np.isin(y_train[:1500], [0, 1]).sum() >= 200
    first = y_test[:150][np.isin(y_test[:150], [0, 1])][:10]
    assert len(first) == 10
    assert set(first) == {0, 1}


def test_sample_is_small_and_gives_fresh_arrays():
    assert len(files("gwucnn.datasets").joinpath("mnist_sample.npz").read_bytes()) <= 400_000
    first, second = datasets.load_sample(), datasets.load_sample()
    first[0][0].fill(7)
    first[1][1].fill(7)
    assert second[0][0].max() == 255
    assert set(second[1][1]) == set(range(10))


# IDX


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_idx_folder_round_trip(tmp_path, arrays, packed, dot):
    for name, file_name in NAMES.items():
        content = idx_bytes(arrays[name])
        path = tmp_path / (file_name.replace("-idx", f"{dot}idx") + ".gz" * packed)
        path.write_bytes(gzip.compress(content) if packed else content)
    assert_same(datasets.load_mnist(tmp_path), arrays)
    assert_same(datasets.load_mnist(str(tmp_path)), arrays)


def test_idx_is_known_as_gzip_by_its_bytes(tmp_path):
    labels = np.arange(5, dtype=np.uint8)
    (tmp_path / "packed").write_bytes(gzip.compress(idx_bytes(labels)))
    (tmp_path / "plain.gz").write_bytes(idx_bytes(labels))
    np.testing.assert_array_equal(read_idx(tmp_path / "packed", ()), labels)
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz", ()), labels)


def test_idx_of_no_images(tmp_path):
    (tmp_path / "empty").write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    assert read_idx(tmp_path / "empty", (28, 28)).shape == (0, 28, 28)


GOOD = idx_bytes(np.zeros((2, 28, 28), np.uint8))
DAMAGED = {
    "empty": (b"", "expected an IDX file, which begins 00 00 08 03, got nothing"),
    "other": (b"PK\3\4" + GOOD[4:], "expected an IDX file.*got 50 4b 03 04"),
    "floats": (idx_bytes(np.zeros((2, 28, 28), ">f4"), 0x0D), "expected uint8 values, got float32"),
    "labels": (idx_bytes(np.zeros(2, np.uint8)), "expected 3 dimensions, got 1.*mixed up"),
    "header": (GOOD[:9], "expected a header of 16 bytes, got 9"),
    "size": (
        idx_bytes(np.zeros((2, 32, 32), np.uint8)),
        r"expected items of shape \(28, 28\), got \(32, 32\)",
    ),
    "truncated": (GOOD[:-1], "expected 1584 bytes for .*, got 1583.*copy or download"),
    "longer": (GOOD + b"\0", "expected 1584 bytes for .*, got 1585"),
    "bomb": (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 28, 28), r"\(4294967295, 28, 28\), got 16"),
    "packed truncated": (gzip.compress(GOOD)[:-12], "expected a whole gzip file, got a damaged one"),
    "packed checksum": (gzip.compress(GOOD)[:-8] + bytes(8), "expected a whole gzip file"),
    "packed short": (gzip.compress(GOOD[:-5]), "expected 1568 values for .*, got 1563"),
    "packed longer": (gzip.compress(GOOD + bytes(9)), "expected 1568 values for .*, got 1569 or more"),
    "packed bomb": (
        gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 2**31, 28, 28) + bytes(9)),
        "got .*, packed",
    ),
    "packed nothing": (gzip.compress(b""), "expected an IDX file.*got nothing"),
    "packed noise": (b"\x1f\x8b" + GOOD, "expected a whole gzip file"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_idx_says_what_was_found(tmp_path, kind):
    content, message = DAMAGED[kind]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_idx(path, (28, 28))
    assert str(path) in str(caught.value)


def test_idx_bomb_is_not_unpacked(tmp_path):
    """A gzip file of 100 MB of zeros behind a header that declares two images stops after two images."""
    import tracemalloc

    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as handle:
        handle.write(GOOD)
        for _ in range(100):
            handle.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(FormatError, match="or more"):
        read_idx(path, (28, 28))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_idx_labels_must_match_images(tmp_path, arrays):
    arrays["y_test"] = np.zeros(4, np.uint8)
    for name, file_name in NAMES.items():
        (tmp_path / file_name).write_bytes(idx_bytes(arrays[name]))
    with pytest.raises(FormatError, match=r"as many labels as images, got 3 in t10k-images.* and 4 in t10k-labels"):
        datasets.load_mnist(tmp_path)
    (tmp_path / NAMES["y_test"]).write_bytes(idx_bytes(np.array([1, 2, 10], np.uint8)))
    with pytest.raises(FormatError, match="expected labels 0 to 9, got float64 from 1 to 10"):
        datasets.load_mnist(tmp_path)


def test_missing_and_unknown_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected train-images-idx3-ubyte, plain or \.gz, in"):
        datasets.load_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected a folder or file, got .*nowhere; check the path"):
        datasets.load_mnist(tmp_path / "nowhere")
    (tmp_path / "mnist.txt").write_text("0")
    with pytest.raises(ValueError, match=r"expected a folder of the four IDX files, \.npz, \.csv or \.csv\.gz"):
        datasets.load_mnist(tmp_path / "mnist.txt")


# npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_round_trip(tmp_path, arrays, save):
    save(tmp_path / "mnist.npz", **arrays, other=np.zeros(3))
    assert_same(datasets.load_mnist(tmp_path / "mnist.npz"), arrays)


def test_npz_takes_flat_images_of_whole_floats(tmp_path, arrays):
    flat = {name: values.reshape(len(values), -1).astype(np.float32) for name, values in arrays.items()}
    np.savez(tmp_path / "mnist.npz", **flat)
    assert_same(datasets.load_mnist(tmp_path / "mnist.npz"), arrays)


def test_npz_of_other_content(tmp_path, arrays):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=arrays["x_train"])
    with pytest.raises(FormatError, match=r"expected the arrays x_train, .*, got x_train.npy; save it with"):
        datasets.load_mnist(path)
    np.savez(path, **arrays | {"y_test": np.array([None, 1, 2])})
    with pytest.raises(FormatError, match="y_test: expected numbers, got object"):
        datasets.load_mnist(path)
    np.savez(path, **arrays | {"x_train": arrays["x_train"] / 255})
    with pytest.raises(FormatError, match="x_train: expected whole grey values 0 to 255, got float64 from 0 to 1"):
        datasets.load_mnist(path)


def test_damaged_npz(tmp_path, arrays):
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **arrays)
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:-30], whole[:200] + bytes(100) + whole[300:]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"read_npz: .*mnist\.npz: expected an npz file") as caught:
            datasets.load_mnist(path)
        assert "copy or download it again" in str(caught.value)


def test_npz_that_declares_more_than_it_holds(tmp_path):
    header = b"\x93NUMPY\1\0\x76\0" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000,), }".ljust(118)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("x.npy", header + bytes(10))
    with pytest.raises(FormatError, match=r"x: expected 9000000128 bytes for \(9000000000,\), got 138"):
        read_npz(tmp_path / "bomb.npz", ("x",))


# What the loaders share


@pytest.mark.parametrize("bad", [-1.0, 255.5, 256.0, np.nan, np.inf])
def test_as_images_rejects_invalid_grey_values(bad):
    x = np.zeros((2, 784))
    x[1, 5] = bad
    with pytest.raises(FormatError, match="expected whole grey values 0 to 255"):
        as_images("here", x)
    with pytest.raises(FormatError, match=r"here: expected images of 28 x 28 = 784 pixels, got \(2, 783\)"):
        as_images("here", x[:, :783])


def test_as_labels_takes_text_and_refuses_the_rest():
    assert as_labels("here", np.array(["3", "9"], object), 2).tolist() == [3, 9]
    assert as_labels("here", np.array([[3.0], [9.0]]), 2).tolist() == [3, 9]
    for bad in (
        np.array([1, 2, 3]),
        np.array(["1", "one"], object),
        np.array([0.5, 1]),
        np.array([np.nan, 1]),
    ):
        with pytest.raises(FormatError, match="here: expected"):
            as_labels("here", bad, 2)


# The real thing


def test_real_mnist():
    data = real_data.FOLDER
    if not (data / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data}; set GWUCNN_DATA to a folder that holds mnist/")
    (x_train, y_train), (x_test, y_test) = datasets.load_mnist(data / "mnist")
    assert (x_train.shape, x_test.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    originals = {image.tobytes(): label for image, label in zip(x_train, y_train, strict=True)}
    for x, y in datasets.load_sample():
        assert [originals[image.tobytes()] for image in x] == y.tolist()
