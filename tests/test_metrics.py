"""Accuracy, confusion matrix and one-hot rows, whole and gathered batch by batch."""

import numpy as np
import pytest

from gwucnn import accuracy, confusion_matrix, to_categorical
from gwucnn.errors import ShapeError
from gwucnn.metrics import Accuracy, to_classes


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([0, 2, 1], [0, 2, 1]),
        (np.array([3, 255], np.uint8), [3, 255]),
        ([True, False], [1, 0]),
        ([[1], [0]], [1, 0]),
        ([0.2, 0.5, 0.51], [0, 0, 1]),
        ([[0.9], [0.1]], [1, 0]),
        ([0.0, 2.0, 1.0], [0, 2, 1]),
        ([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], [1, 0]),
        ([[0, 1], [1, 0]], [1, 0]),
        ([[0.5, 0.5]], [0]),
        (np.zeros((0, 3)), []),
        ([], []),
        ([np.nan, 0.9], [0, 1]),
    ],
)
def test_to_classes(y, classes):
    made = to_classes(y)
    assert made.dtype == np.int64
    assert made.tolist() == classes


@pytest.mark.parametrize("y", [0.5, np.zeros((2, 2, 2))], ids=["a number", "three axes"])
def test_what_are_no_classes(y):
    with pytest.raises(ShapeError, match=r"^to_classes: expected \(N,\) or \(N, K\), got \("):
        to_classes(y)


def test_accuracy_takes_labels_one_hot_rows_and_probabilities():
    labels, one_hot = [0, 2, 1, 1], np.eye(3)[[0, 2, 1, 1]]
    probabilities = [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]
    for y_true in (labels, one_hot, np.array(labels)[:, None], np.float64(labels)):
        assert accuracy(y_true, probabilities) == 0.75
    assert type(accuracy(labels, labels)) is float
    assert np.isnan(accuracy([], []))
    with pytest.raises(ShapeError, match="^accuracy: expected as many y_true as y_pred, got 2 and 3$"):
        accuracy([0, 1], [0, 1, 1])


def test_confusion_matrix_counts_rows_by_truth():
    matrix = confusion_matrix([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0])
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert confusion_matrix([1], [1], num_classes=4).shape == (4, 4)
    assert confusion_matrix([], [], num_classes=2).tolist() == [[0, 0], [0, 0]]
    true, predicted = np.random.default_rng(0).integers(0, 7, (2, 500))
    counted = [[np.sum((true == i) & (predicted == j)) for j in range(7)] for i in range(7)]
    assert confusion_matrix(true, predicted).tolist() == counted
    assert np.trace(counted) / 500 == accuracy(true, predicted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0]), "expected as many y_true as y_pred, got 2 and 1"),
        (([0, 3], [0, 1], 3), "expected classes from 0 to 2, got 0 to 3"),
        (([0, -1], [0, 1]), "expected classes from 0 to 1, got -1 to 1"),
        (([0], [0], 0), "expected num_classes to be an integer of at least 1, got 0"),
        (([0], [0], 2.5), "expected num_classes to be an integer of at least 1, got 2.5"),
    ],
)
def test_confusion_matrix_of_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=f"^confusion_matrix: {message}$"):
        confusion_matrix(*arguments)


def test_to_categorical():
    rows = to_categorical([1, 0, 2])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert to_categorical(np.array([[1], [0]]), 2).tolist() == [[0, 1], [1, 0]]
    assert to_categorical([1.0, 0.0]).tolist() == [[0, 1], [1, 0]]
    assert to_categorical(np.array([1], np.uint8), num_classes=4).shape == (1, 4)
    assert to_categorical([], 3).shape == (0, 3)
    assert to_classes(to_categorical([1, 0, 2])).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("y", "num_classes", "message"),
    [
        (
            [0, 3],
            3,
            "expected labels from 0 to 2, got 0 to 3; number the classes from 0, or raise num_classes",
        ),
        ([-1, 3], None, "expected labels from 0 to 3, got -1 to 3; number the classes"),
        ([0.5, 1], None, r"expected integer labels, got 0.5, 1.0; round them"),
        ([np.nan], None, r"expected integer labels, got nan; remove or repair"),
        (["a", "b"], None, r"expected integer labels, got 'a', 'b'; number the classes from 0, as np.unique"),
        ([[0, 1], [1, 0]], None, r"expected labels of shape \(N,\) or \(N, 1\), got \(2, 2\)"),
        ([0], "2", "expected num_classes to be an integer of at least 1, got '2'"),
    ],
)
def test_to_categorical_of_what_are_no_labels(y, num_classes, message):
    with pytest.raises(ValueError, match=f"^to_categorical: {message}"):
        to_categorical(y, num_classes)


@pytest.mark.parametrize("outputs", [1, 2, 10, 5000])
@pytest.mark.parametrize("batch", [1, 7, 600])
def test_accuracy_gathered_batch_by_batch(outputs, batch, rng):
    rows = 40 if outputs == 5000 else 1300
    labels = rng.integers(0, max(outputs, 2), rows)
    y_true = labels[:, None].astype(float) if outputs == 1 else np.eye(outputs)[labels]
    y_pred = rng.random((rows, outputs))
    gathered = Accuracy(outputs)
    assert np.isnan(gathered.result())
    for start in range(0, rows, batch):
        gathered.update(y_true[start : start + batch], y_pred[start : start + batch])
    assert gathered.result() == accuracy(y_true, y_pred)
    assert gathered.result() == accuracy(y_true, y_pred), "asking twice changes nothing"


def test_gathered_accuracy_tells_numbers_apart_that_float32_cannot():
    gathered = Accuracy(2)
    gathered.update(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5 + 1e-12]]))
    assert gathered.result() == 1


def test_gathered_accuracy_of_a_batch_larger_than_any_stack():
    gathered = Accuracy(1)
    ones = np.ones((2**20, 1), np.float32)
    gathered.update(ones, ones)
    assert gathered.result() == 1
