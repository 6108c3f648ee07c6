"""Networks compiled with functions of the user's, in files and in copies."""

import copy
import pickle

import numpy as np
import pytest

import resumed
from gwucnn import Dense, GWUNetwork
from gwucnn.common.errors import FormatError


def squared(y_true, y_pred):
    error = y_pred - y_true
    return np.mean(error**2), 2 * error / error.size


def largest(y_true, y_pred):
    return np.max(np.abs(y_pred - y_true))


def data():
    rng = np.random.default_rng(5)
    return rng.random((20, 3)), rng.random((20, 2))


def trained(loss=squared, metrics=(largest,)):
    network = GWUNetwork([Dense(2, input_size=3)], seed=0)
    network.compile(loss, optimizer="adam", metrics=metrics)
    network.fit(*data(), epochs=2, batch_size=5, verbose=0)
    return network


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.safetensors"


def save(network, path):
    with pytest.warns(UserWarning) as caught:
        network.save(path)
    network.save(path)  # and does not warn again
    return str(caught[0].message)


def assert_continues_alike(network, twin):
    for each in (network, twin):
        each.fit(*data(), epochs=4, batch_size=5, initial_epoch=2, verbose=0)
    assert resumed.state(twin) == resumed.state(network)
    assert list(twin.history.history) == ["loss", "largest", "lr"]


def test_a_file_is_loaded_with_the_functions(path):
    network = trained()
    assert save(network, path) == (
        "save: expected a loss and metrics that a file can hold, got functions, of which it holds the names squared, "
        "largest; load it by GWUNetwork.load(path, functions=[squared, largest])"
    )
    assert_continues_alike(network, GWUNetwork.load(path, functions=[largest, squared]))


def test_without_its_loss_a_network_can_predict_and_be_compiled(path):
    network = trained()
    save(network, path)
    with pytest.warns(UserWarning) as caught:
        twin = GWUNetwork.load(path)
    assert str(caught[0].message) == (
        f"load {str(path)!r}: expected the functions that the network was compiled with, got none called squared, "
        "largest; the network is not compiled; to continue training write load(path, functions=[squared, largest])"
    )
    x, y = data()
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    assert twin.optimizer is None
    twin.compile(squared)
    twin.fit(x, y)


def test_without_a_metric_training_continues(path):
    network = trained("mse")
    save(network, path)
    with pytest.warns(UserWarning, match="got none called largest; they are left out of its metrics; to continue"):
        twin = GWUNetwork.load(path)
    for each in (network, twin):
        each.compile("mse", optimizer=each.optimizer, metrics=[])
    assert network.optimizer.updates == twin.optimizer.updates == 8
    np.testing.assert_array_equal(network.optimizer.slots["m"], twin.optimizer.slots["m"])


@pytest.mark.parametrize("way", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_pickles_and_copies_have_the_functions(way):
    network = trained()
    assert_continues_alike(network, way(network))


def test_what_load_does_not_take(path):
    save(trained(), path)
    with pytest.raises(
        ValueError, match="^load: expected each of functions to be a function with a name, got <lambda>"
    ):
        GWUNetwork.load(path, functions=[lambda t, p: 0])


def test_entries_that_are_no_functions(path):
    from gwucnn.files import encode, read

    network = trained()
    save(network, path)
    for part, wrong in (("loss", {"function": 3}), ("metrics", [{"function": None}]), ("metrics", [{"f": "largest"}])):
        document, arrays = read("read", path)
        document["compiled"][part] = wrong
        document.pop("format", None)
        path.with_suffix(".wrong").write_bytes(encode("write", document, arrays))
        with pytest.raises(FormatError):
            GWUNetwork.load(path.with_suffix(".wrong"), functions=[squared, largest])
