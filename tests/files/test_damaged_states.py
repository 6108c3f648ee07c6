"""Files with an impossible history, random state, count or callback state: each is rejected before it is used."""

import copy
import json
import re

import numpy as np
import pytest

import damage
import resumed
from damage import complaint, set_in
from gwucnn import CSVLogger, Dense, EarlyStopping, GWUNetwork, ModelCheckpoint, ReduceLROnPlateau
from gwucnn.callbacks.state import STATE_CHECKS
from trainees import small, small_data


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of a file of a run of two epochs with every callback that remembers something."""
    folder = tmp_path_factory.mktemp("sound")
    network = resumed.network(resumed.OPTIMIZERS["adamw"]())
    resumed.train(network, folder, epochs=2)
    network.save(folder / "net")
    return (folder / "net").read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net"


def document_of(data):
    return json.loads(damage.split(data)[0]["__metadata__"]["gwucnn"])


def refused(path, data, change):
    """Return the complaint about the file after a change of its document and of what that names."""
    return complaint(path, damage.pruned(damage.rewritten(data, change)))


EVERY, BEST, STOP, LOG, PLATEAU = range(5)
WEIGHTS = 13


def test_the_file_has_what_is_damaged_here(sound, path):
    names = [entry["class_name"] for entry in document_of(sound)["callbacks"]]
    assert names == ["ModelCheckpoint", "ModelCheckpoint", "EarlyStopping", "CSVLogger", "ReduceLROnPlateau"]
    assert set(names) == STATE_CHECKS.keys()
    path.write_bytes(sound)
    network = GWUNetwork.load(path)
    assert network.epochs_done == 2 and len(network.parameters) == WEIGHTS


def test_every_callback_that_has_a_state_has_it_checked():
    made = [CSVLogger("x"), EarlyStopping(), ModelCheckpoint("x"), ReduceLROnPlateau()]
    assert {type(each).__name__: each.state().keys() for each in made} == {
        name: kept.keys() for name, kept in STATE_CHECKS.items()
    }


# ------------------------------------------------------------------------------------------------- callbacks


def state(callback, name, value):
    return set_in("callbacks", callback, "state", name, value=value)


STATES = {
    "best is a text": (state(EVERY, "best", "0.5"), "ModelCheckpoint: expected best to be a number or null, got '0.5'"),
    "best is true": (state(STOP, "best", True), "EarlyStopping: expected best to be a number or null, got 'True'"),
    "wait below zero": (state(STOP, "wait", -1), "EarlyStopping: expected wait to be an integer of at least 0, got -1"),
    "wait is none": (state(PLATEAU, "wait", None), "ReduceLROnPlateau: expected wait to be an integer of at least 0"),
    "a part of an epoch": (state(PLATEAU, "cooling", 0.5), "ReduceLROnPlateau: expected cooling to be an integer of"),
    "best epoch": (state(STOP, "best_epoch", "first"), "EarlyStopping: expected best_epoch to be an integer of at"),
    "more": (state(PLATEAU, "lr", 0.5), "ReduceLROnPlateau: expected a state of best, wait, cooling, got best, wait, "),
    "more than nothing": (state(LOG, "rows", 3), "CSVLogger: expected a state of nothing, got rows"),
    "another's": (set_in("callbacks", STOP, "class_name", value="CSVLogger"), "CSVLogger: expected a state of nothing"),
    "weights are a number": (state(STOP, "best_weights", 1.5), "EarlyStopping: expected best_weights to be 13 arrays"),
    "no weights": (state(STOP, "best_weights", []), "expected best_weights to be 13 arrays, one a weight, got 0 of them"),
    "numbers for weights": (state(STOP, "best_weights", [0.5] * WEIGHTS), "expected best_weights, array 0, to be float32 of"),
    "a state is a list": (set_in("callbacks", LOG, "state", value=[]), "expected 'state' to be dict, got []"),
    "a class is a number": (set_in("callbacks", LOG, "class_name", value=1), "expected 'class_name' to be str, got 1"),
    "more beside a state": (set_in("callbacks", LOG, "file", value="/etc/passwd"), "expected a callback of class_name, "),
    "a callback is a text": (set_in("callbacks", LOG, value="CSVLogger"), "expected a callback of class_name, state, got"),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_states_of_callbacks(name, sound, path):
    change, message = STATES[name]
    assert message in refused(path, sound, change)


@pytest.mark.parametrize("callback", range(5))
def test_states_without_a_part(callback, sound, path):
    for name in document_of(sound)["callbacks"][callback]["state"]:
        message = refused(path, sound, lambda d, name=name: d["callbacks"][callback]["state"].pop(name) and None)
        assert "expected a state of best, wait" in message


def test_best_weights_of_another_shape_or_dtype(sound, path):
    header, _ = damage.split(sound)
    names = [name for name in header if ".best_weights." in name]
    assert len(names) == WEIGHTS
    for name in names:
        number, shape = name.rpartition(".")[2], header[name]["shape"]
        for change in ({"shape": [*shape, 1]}, {"dtype": "I32"}):
            data = damage.rearranged(sound, lambda h, name=name, change=change: h[name].update(change))
            assert f"expected best_weights, array {number}, to be float32 of shape" in complaint(path, data)


def test_a_users_own_callback_is_the_users(path, rng):
    """Also one that is called as one of the package's: what it remembers is not taken for that one's."""
    own = type(
        "CSVLogger",
        (),
        {
            "on_train_begin": lambda self: None,
            "state": lambda self: {"rows": [1]},
            "restore": lambda self, state: vars(self).update(state),
        },
    )
    network = small()
    network.fit(*small_data(rng), callbacks=[own()], verbose=0)
    network.save(path)
    loaded, again = GWUNetwork.load(path), own()
    loaded.fit(
        *small_data(rng),
        1,
        initial_epoch=1,
        callbacks=[CSVLogger(path.with_suffix(".csv")), again],
        verbose=0,
    )
    assert again.rows == [1]


def test_states_are_of_the_network_that_they_were_taken_from(path, rng):
    """A layer that is added makes best weights meaningless; the file of that network loads."""
    network, (x, y) = small(), small_data(rng)
    network.fit(x, y, callbacks=[EarlyStopping("loss")], verbose=0)
    for each in (network, copy.deepcopy(network)):
        each.add(Dense(3, activation="softmax"))
        each.compile("mse")
        each.save(path)
        assert GWUNetwork.load(path)._loaded_states == ()


def test_state_that_no_callback_can_restore_is_not_saved(path, rng):
    stop, network = EarlyStopping("loss"), small()
    network.fit(*small_data(rng), callbacks=[stop], verbose=0)
    stop.wait = "long"
    with pytest.raises(ValueError, match=r"^EarlyStopping: expected wait to be an integer of at least 0, got 'long'"):
        network.save(path)
    assert not path.exists()


def test_a_state_of_a_derived_class_is_checked_when_it_is_put_back(path, rng):
    class Stubborn(EarlyStopping):
        pass

    network, (x, y) = small(), small_data(rng)
    network.fit(x, y, callbacks=[Stubborn("loss")], verbose=0)
    network.save(path)
    data = damage.rewritten(path.read_bytes(), lambda d: d["callbacks"][0]["state"].pop("wait") and None)
    path.write_bytes(data)
    loaded = GWUNetwork.load(path)
    with pytest.raises(
        ValueError, match="^Stubborn: expected a state of best, wait, best_epoch, best_weights, got best, "
    ):
        loaded.fit(x, y, 2, initial_epoch=1, callbacks=[Stubborn("loss")], verbose=0)


# --------------------------------------------------------------------------------------------------- history


def shortened(data, name):
    """Return the file with the last number of an array in a list of the history that it did not have."""
    header, body = damage.split(data)
    entry, (begin, end) = header[name], header[name]["data_offsets"]
    count = entry["shape"][0] - 1
    cut = begin + (end - begin) * count // (count + 1)
    header[name] = {**entry, "shape": [count], "data_offsets": [begin, cut]}
    header["history.rest"] = {**entry, "dtype": "F64", "shape": [1], "data_offsets": [cut, end]}
    change = set_in("history", "records", "rest", value={"$array": "history.rest"})
    return damage.rewritten(damage.joined(header, body), change)


@pytest.mark.parametrize("name", ["records.loss", "records.lr", "seconds", "epoch"])
def test_lists_of_another_length(name, sound, path):
    message = complaint(path, shortened(sound, f"history.{name}"))
    assert re.search(r"history: expected [12] values of '\w+', one per epoch, got \[", message)


def retyped(name, **changed):
    return lambda header: header[name].update(changed)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (
            "history.epoch",
            {"dtype": "F64"},
            "expected the history's 'epoch' to be a row of int64, got float64",
        ),
        (
            "history.seconds",
            {"dtype": "I64"},
            "expected the history's 'seconds' to be a row of float64, got int64",
        ),
        (
            "history.records.loss",
            {"shape": [2, 1]},
            "'loss' to be a row of float64, got float64 of shape (2, 1)",
        ),
        (
            "history.records.lr",
            {"dtype": "I64"},
            "expected the history's 'lr' to be a row of float64, got int64",
        ),
    ],
)
def test_lists_of_another_kind(name, changed, message, sound, path):
    assert message in complaint(path, damage.rearranged(sound, retyped(name, **changed)))


def with_numbers(data, name, values, dtype):
    """Return the file with other numbers in an array."""
    header, body = damage.split(data)
    begin, end = header[name]["data_offsets"]
    numbers = np.asarray(values, dtype).tobytes()
    assert len(numbers) == end - begin
    return damage.joined(header, body[:begin] + numbers + body[end:])


@pytest.mark.parametrize("epochs", [[1, 0], [0, 0], [-1, 0], [0, -(2**63)]])
def test_epochs_that_do_not_go_up(epochs, sound, path):
    message = complaint(path, with_numbers(sound, "history.epoch", epochs, np.int64))
    assert f"history: expected increasing epochs of at least 0, got {epochs}" in message


def test_more_epochs_than_were_done(sound, path):
    message = complaint(path, with_numbers(sound, "history.epoch", [0, 2], np.int64))
    assert "expected a history of 2 epochs, got number 2 in it" in message
    assert "expected a history of 1 epochs, got number 1 in it" in refused(path, sound, set_in("epochs", value=1))


def test_records_that_are_no_arrays(sound, path):
    for value in ([0.5, 0.25], None, 1.5, "x", {}):
        message = refused(path, sound, set_in("history", "records", "loss", value=value))
        assert "expected 'loss' to be ndarray, got" in message
    assert "expected a history of records, epoch, seconds" in refused(path, sound, set_in("history", "x", value=1))


def test_a_history_that_was_changed_by_hand_is_not_saved(path, rng):
    network = small()
    network.fit(*small_data(rng), 2, verbose=0)
    network.history.history["note"] = ["a", "b"]
    with pytest.raises(ValueError, match=r"^save: expected 2 values of 'note', one per epoch, got \['a', 'b'\]"):
        network.save(path)
    with pytest.raises(ValueError, match=r"^fit: expected 2 values of 'note', one per epoch"):
        network.fit(*small_data(rng), 3, initial_epoch=2, verbose=0)
    network.history.history["note"] = [1]
    with pytest.raises(ValueError, match=r"^save: expected 2 values of 'note', one per epoch, got \[1\]"):
        network.save(path)


# ------------------------------------------------------------------------------------- counts, random numbers

GENERATOR = ("random", "generator")

NUMBERS = {
    "updates below zero": (set_in("compiled", "updates", value=-1), "updates: expected their number to be an integer"),
    "updates beyond all": (set_in("compiled", "updates", value=2**63), "expected at most 4611686018427387904 updates"),
    "another rate": (set_in("compiled", "lr", value=0.5), ", as in AdamW(lr=0.005, weight_decay="),
    "a rate that is none": (set_in("compiled", "lr", value={"$float": "nan"}), "expected lr to be "),
    "a version that is none": (set_in("gwucnn", value=1), "expected 'gwucnn' to be str, got 1"),
    "more than a recipe": (set_in("compiled", "more", value=1), "expected the training settings loss, optimizer, metrics, "),
    "more than a weight": (set_in("weights", 0, "more", value=1), "expected a weight of name, trainable, trained, got"),
    "more than a network": (set_in("more", value=1), "expected a network of gwucnn, format, network, layers, "),
    "not built": (set_in("built", value=False), "expected a network with its weights, got one that is not built"),
    "state too large": (set_in(*GENERATOR, "state", "state", value=2**128), "with 'state' from 0 to less than 3402823669"),
    "state below zero": (set_in(*GENERATOR, "state", "inc", value=-1), "with 'inc' from 0 to less than 340282366920938"),
    "state is a fraction": (set_in(*GENERATOR, "state", "inc", value=1.0), "with 'inc' from 0 to less than"),
    "more than a state": (set_in(*GENERATOR, "state", "more", value=1), "expected its state of state, inc, got"),
    "more than a generator": (set_in(*GENERATOR, "more", value=1), "expected a generator of bit_generator, state, has"),
    "a truth of three": (set_in(*GENERATOR, "has_uint32", value=2), "with 'has_uint32' from 0 to less than 2, got 2"),
    "half a number": (set_in(*GENERATOR, "uinteger", value=2**32), "with 'uinteger' from 0 to less than 4294967296"),
    "other bits": (set_in(*GENERATOR, "bit_generator", value=["PCG64"]), "expected random numbers of PCG64, got those"),
    "one draw": (set_in("random", "draws", value=[1]), "expected 'draws' to be a key and a count, got [1]"),
    "a large key": (set_in("random", "draws", value=[2**64, 0]), "from 0 to less than 18446744073709551616, got 184467"),
    "a seed below zero": (set_in("random", "entropy", value=-1), "entropy: expected each number to be an integer of at"),
    "a seed of texts": (set_in("random", "entropy", value=["x"]), "entropy: expected each number to be an integer of at"),
    "more than random": (set_in("random", "more", value=1), "expected random numbers of entropy, generator, draws, got"),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_counts_and_random_numbers(name, sound, path):
    change, message = NUMBERS[name]
    assert message in refused(path, sound, change)


def test_batches_that_a_normalisation_has_seen(sound, path):
    names = [name for name in damage.split(sound)[0] if name.startswith("updates.")]
    assert len(names) == 4
    for name in names:
        message = complaint(path, with_numbers(sound, name, [-1], np.int64))
        assert f"{name}: expected their number to be an integer of at least 0, got -1" in message
