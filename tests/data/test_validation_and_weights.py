"""Validation data, sample weights and class weights."""

import numpy as np
import pytest

from gwucnn import Dense, Flatten, GWUNetwork, to_categorical
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


# ---------------------------------------------------------------------------------------------- held-out data


def test_validation_data_are_evaluated_after_each_epoch(data, rng):
    network = small()
    x, y = rng.random((9, 6, 6)), np.array([0, 1, 2] * 3)
    evaluations = []
    history = network.fit(
        *data,
        epochs=3,
        validation_data=(x, y),
        callbacks=[lambda record: evaluations.append(network.evaluate(x, y, return_dict=True)) or False],
    ).history
    assert [each["loss"] for each in evaluations] == pytest.approx(history["val_loss"], rel=1e-12)
    assert [each["accuracy"] for each in evaluations] == history["val_accuracy"]
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "lr"]


def test_validation_split_holds_out_the_last_part(data, rng):
    x, y = data
    y[-5:] = [0, 1, 2, 0, 1]
    split, given = small(), small()
    first = split.fit(x, y, epochs=2, batch_size=4, validation_split=0.25).history
    second = given.fit(x[:15], y[:15], epochs=2, batch_size=4, validation_data=(x[15:], y[15:])).history
    assert first == second
    np.testing.assert_array_equal(weights(split), weights(given))


def test_validation_changes_nothing_about_the_training(data):
    watched, alone = small(), small()
    watched.fit(*data, epochs=3, batch_size=6, validation_data=data)
    alone.fit(*data, epochs=3, batch_size=6)
    np.testing.assert_array_equal(weights(watched), weights(alone))


def test_a_class_that_is_not_validated_is_warned_about_once(data):
    x, y = data[0], np.sort(data[1])
    message = (
        "fit: expected every class in the validation split, got none of class 0, 1 in the last 4 samples; shuffle x and "
        "y together before fit, or give validation_data"
    )
    network = small()
    with pytest.warns(UserWarning) as caught:
        network.fit(x, y, validation_split=0.2)
    assert [(str(warning.message), warning.filename) for warning in caught] == [(message, __file__)]
    network.fit(x, y, validation_split=0.2)
    with pytest.warns(UserWarning, match="got none of class 0, 1 in"):
        small().fit(x, to_categorical(y), validation_split=0.2)
    quantities = GWUNetwork([Flatten(), Dense(1)])
    quantities.compile("mse")
    quantities.fit(x, y, validation_split=0.2)


# ---------------------------------------------------------------------------------------------------- weights


def test_a_sample_that_counts_twice_is_a_sample_that_is_there_twice(data):
    x, y = data
    counts = np.arange(20) % 3
    weighted, repeated = small(), small()
    weighted.fit(x, y, epochs=3, batch_size=20, sample_weight=counts)
    repeated.fit(np.repeat(x, counts, axis=0), np.repeat(y, counts), epochs=3, batch_size=60)
    np.testing.assert_allclose(weights(weighted), weights(repeated), rtol=1e-10)


def test_weights_in_small_batches_are_relative_to_their_batch(data):
    """A batch's loss is its weighted mean, so that equal weights, however large, are no weights."""
    x, y = data
    plain, weighted = small(), small()
    plain.fit(x, y, batch_size=6)
    history = weighted.fit(x, y, batch_size=6, sample_weight=np.full(20, 7.0)).history
    np.testing.assert_allclose(weights(plain), weights(weighted), rtol=1e-10)
    assert history["loss"][0] == pytest.approx(small().fit(x, y, batch_size=6).history["loss"][0], rel=1e-10)


def test_class_weight_weighs_the_samples_of_a_class(data):
    x, y = data
    for targets in (y, y[:, None], to_categorical(y, 3)):
        by_class, by_sample = small(), small()
        by_class.fit(x, targets, batch_size=5, class_weight={0: 2.0, 2: 0.5})
        by_sample.fit(x, targets, batch_size=5, sample_weight=np.choose(y, [2.0, 1.0, 0.5]))
        np.testing.assert_array_equal(weights(by_class), weights(by_sample))


def test_balanced_class_weight(data):
    """As in scikit-learn; a class that does not occur is not counted."""
    from sklearn.utils.class_weight import compute_sample_weight

    x, y = data
    for labels in (y, np.where(y == 1, 0, y)):
        for targets in (labels, to_categorical(labels, 3)):
            balanced, by_sample = small(), small()
            balanced.fit(x, targets, batch_size=5, class_weight="balanced")
            by_sample.fit(x, targets, batch_size=5, sample_weight=compute_sample_weight("balanced", labels))
            np.testing.assert_allclose(weights(balanced), weights(by_sample), rtol=1e-12)
    both, product = small(), small()
    each = np.linspace(0.5, 2, 20)
    both.fit(x, y, class_weight="balanced", sample_weight=each)
    product.fit(x, y, sample_weight=each * compute_sample_weight("balanced", y))
    np.testing.assert_allclose(weights(both), weights(product), rtol=1e-12)


def test_class_and_sample_weight_multiply(data):
    x, y = data
    both, product = small(), small()
    each = np.linspace(0.5, 2, 20)
    both.fit(x, y, class_weight={1: 3}, sample_weight=each)
    product.fit(x, y, sample_weight=each * np.where(y == 1, 3, 1))
    np.testing.assert_allclose(weights(both), weights(product), rtol=1e-12)


def test_class_weight_of_one_yes_or_no_output(rng):
    x, y = rng.standard_normal((12, 3)), rng.integers(0, 2, 12)
    results = []
    for options in ({"class_weight": {1: 4.0}}, {"sample_weight": np.where(y == 1, 4.0, 1.0)}):
        network = GWUNetwork([Dense(1, activation="sigmoid")], seed=0)
        network.compile("log_loss", lr=0.5)
        network.fit(x, y, epochs=3, batch_size=5, **options)
        results.append(weights(network))
    np.testing.assert_array_equal(*results)


def test_samples_of_no_weight_do_not_count(data):
    x, y = data
    counted = y != 2
    weighted, without = small(), small()
    weighted.fit(x, y, epochs=2, batch_size=20, class_weight={2: 0})
    without.fit(x[counted], y[counted], epochs=2, batch_size=20)
    np.testing.assert_allclose(weights(weighted), weights(without), rtol=1e-10)
    network = small()
    before = network.evaluate(x, y)
    network.fit(x, y, batch_size=1, shuffle=False, sample_weight=[1.0] + [0.0] * 19)
    alone = small()
    alone.fit(x[:1], y[:1])
    np.testing.assert_array_equal(weights(network), weights(alone))
    assert np.isfinite(before)
