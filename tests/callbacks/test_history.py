"""The History that `fit` returns: one value per epoch, CSV files, and its one-line repr."""

import csv

import numpy as np
import pytest

from gwucnn.callbacks.history import History

RECORDS = [
    {"epoch": 2, "loss": 0.5, "accuracy": 0.75, "val_loss": 0.1 + 0.2, "lr": 0.01, "seconds": 1.5},
    {"epoch": 3, "loss": 0.25, "accuracy": 1.0, "val_loss": 1e-17, "lr": 0.005, "seconds": 1.25},
]


@pytest.fixture
def history():
    history = History()
    for record in RECORDS:
        history.append(record)
    return history


def test_lists_grow_by_one_an_epoch(history):
    assert history.epoch == [2, 3]
    assert history.seconds == [1.5, 1.25]
    assert history.history == {
        "loss": [0.5, 0.25],
        "accuracy": [0.75, 1.0],
        "val_loss": [0.1 + 0.2, 1e-17],
        "lr": [0.01, 0.005],
    }


def test_a_record_may_change_afterwards(history):
    record = dict(RECORDS[0])
    history.append(record)
    record["loss"] = -1
    assert history.history["loss"][-1] == 0.5


def test_to_csv_keeps_every_digit(history, tmp_path):
    history.to_csv(tmp_path / "log.csv")
    with open(tmp_path / "log.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["epoch", "loss", "accuracy", "val_loss", "lr", "seconds"]
    assert [[float(cell) for cell in row] for row in rows] == [
        [3, 0.5, 0.75, 0.1 + 0.2, 0.01, 1.5],
        [4, 0.25, 1.0, 1e-17, 0.005, 1.25],
    ]
    assert np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)["loss"].tolist() == [0.5, 0.25]


def test_repr(history, tmp_path):
    assert repr(history) == "History(2 epochs; last: loss=0.25, accuracy=1, val_loss=1e-17, lr=0.005)"
    empty = History()
    assert repr(empty) == "History(0 epochs)"
    empty.to_csv(tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text().strip() == "epoch,seconds"


def test_before_is_a_copy_of_earlier_epochs(history):
    earlier = history.before(3)
    assert (earlier.epoch, earlier.seconds, earlier.history["lr"]) == ([2], [1.5], [0.01])
    earlier.append(RECORDS[1])
    assert vars(earlier) == vars(history)
    earlier.history["loss"][0] = -1
    assert history.history["loss"][0] == 0.5
    assert history.before(2).epoch == [] and vars(history.before(9)) == vars(history)


def test_numbers_that_came_later_or_were_left_out_are_nan(history):
    history.append({"epoch": 4, "loss": 0.125, "val_f1": 0.5, "seconds": 1.0})
    np.testing.assert_array_equal(history.history["accuracy"], [0.75, 1.0, np.nan])
    np.testing.assert_array_equal(history.history["val_f1"], [np.nan, np.nan, 0.5])
    assert history.history["loss"] == [0.5, 0.25, 0.125]
