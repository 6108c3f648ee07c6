"""MNIST through scikit-learn's fetch_openml, offline: from a cache that the test writes, or an error."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from gwucnn import datasets


def write_openml_cache(home: Path, x, y) -> None:
    """Write what scikit-learn would have kept of mnist_784 after a download, for these images."""
    lines = ["@RELATION mnist_784", *(f"@ATTRIBUTE pixel{i} INTEGER" for i in range(1, 785))]
    lines += ["@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}", "@DATA"]
    lines += [
        ",".join(map(str, [*image, label]))
        for image, label in zip(x.reshape(-1, 784).tolist(), y.tolist(), strict=True)
    ]
    arff = ("\n".join(lines) + "\n").encode()
    file = "data/v1/download/52667"
    entry = {
        "did": 554,
        "name": "mnist_784",
        "version": 1,
        "status": "active",
        "format": "ARFF",
        "file_id": 52667,
    }
    description = {
        **{
            "id": "554",
            "name": "mnist_784",
            "version": "1",
            "format": "ARFF",
            "status": "active",
            "file_id": "52667",
        },
        "description": "a test's images",
        "url": f"https://www.openml.org/{file}/mnist_784.arff",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
    }
    features = [
        {
            **{"index": str(i), "name": "class" if i == 784 else f"pixel{i + 1}"},
            "data_type": "nominal" if i == 784 else "numeric",
            "is_target": "true" if i == 784 else "false",
            **{"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"},
        }
        for i in range(785)
    ]
    answers = {
        "list/data_name/mnist_784/limit/2/data_version/1": {"data": {"dataset": [entry]}},
        "554": {"data_set_description": description},
        "features/554": {"data_features": {"feature": features}},
        "qualities/554": {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": str(len(y))}]}},
    }
    contents = {f"api/v1/json/data/{path}": json.dumps(answer).encode() for path, answer in answers.items()}
    # scikit-learn from 1.7 on asks for the named file, before for the number alone.
    contents |= {file: arff, f"{file}/mnist_784.arff": arff}
    for path, content in contents.items():
        target = home / "openml" / "openml.org" / f"{path}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(content, 1))


@pytest.fixture
def no_network(monkeypatch):
    """Let scikit-learn's every attempt to connect fail at once; give the list of attempts."""
    openml = pytest.importorskip("sklearn.datasets._openml")
    attempts: list[str] = []

    def refuse(request):
        attempts.append(request.full_url)
        raise URLError("no network here")

    monkeypatch.setattr(openml, "urlopen", refuse)
    return attempts


def test_openml_offline_from_its_cache(tmp_path, no_network):
    (x, y), _ = datasets.load_sample()
    write_openml_cache(tmp_path, x[:70], y[:70])
    for home in (str(tmp_path), tmp_path):
        (x_train, y_train), (x_test, y_test) = datasets.load_mnist(None, data_home=home)
        np.testing.assert_array_equal(x_train, x[:60])
        np.testing.assert_array_equal(y_train, y[:60])
        np.testing.assert_array_equal(x_test, x[60:70])
        np.testing.assert_array_equal(y_test, y[60:70])
        assert (x_train.dtype, y_train.dtype) == (np.uint8, np.int64)
    assert no_network == []


def test_openml_with_neither_cache_nor_network(tmp_path, no_network):
    with pytest.raises(ConnectionError, match="load_mnist: expected MNIST in scikit-learn's cache") as caught:
        datasets.load_mnist(data_home=str(tmp_path))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "no network here" in message
    assert "load_sample()" in message
    assert 1 <= len(no_network) <= 2


def test_openml_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"expected scikit-learn.*pip install scikit-learn"):
        datasets.load_mnist()
