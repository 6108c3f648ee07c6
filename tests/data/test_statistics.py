"""What is remembered of the inputs of training, and which later inputs are in another range."""

import numpy as np
import pytest

from gwucnn import datasets
from gwucnn.data.statistics import InputStatistics, difference
from real_data import photographs

SCALES = {
    "0..255": lambda x: x.astype(np.float64),
    "bytes": lambda x: x,
    "0..1": lambda x: x / 255,
    "float32": lambda x: (x / 255).astype(np.float32),
    "-1..1": lambda x: x / 127.5 - 1,
    "standardised": lambda x: (x - x.mean()) / x.std(),
}


@pytest.fixture(scope="module")
def digits():
    """Training and test images of MNIST, uint8, with the labels of the latter."""
    (x, _), (x_test, y_test) = datasets.load_sample()
    return x, x_test, y_test


def alarms(trained, x, size):
    parts = (x[start : start + size] for start in range(0, len(x) - size + 1, size))
    return [difference(trained, InputStatistics.of(part)) for part in parts]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(7, 3), (5, 6, 4), (20, 5, 5, 3)])
def test_numbers_are_those_of_numpy(dtype, shape, rng):
    x = rng.integers(3, 200, shape).astype(dtype)
    means = x.reshape(len(x), -1).mean(axis=1, dtype=np.float64)
    found = InputStatistics.of(x)
    assert (found.low, found.high, found.count) == (x.min(), x.max(), len(x))
    wanted = x.mean(dtype=np.float64), x.std(dtype=np.float64), means.std()
    np.testing.assert_allclose((found.mean, found.deviation, found.spread), wanted, rtol=1e-12)


def test_parts_of_large_arrays_in_any_layout_say_enough(rng):
    x = rng.normal(3, 2, (40_000, 10, 10)).astype(np.float32)
    for each in (x, x.transpose(0, 2, 1), x[::-1]):
        found = InputStatistics.of(each)
        np.testing.assert_allclose((found.mean, found.deviation), (3, 2), rtol=0.02)
        assert found.count == 40_000


def test_merged_statistics_are_those_of_all(rng):
    x = rng.normal(size=(60, 9))
    merged = InputStatistics.of(x[:20]).merged(InputStatistics.of(x[20:]))
    for name, wanted in InputStatistics.of(x).document().items():
        np.testing.assert_allclose(getattr(merged, name), wanted, rtol=1e-12)
    assert merged.merged(merged) is merged


def test_training_in_another_range_starts_anew(rng):
    x = rng.random((60, 9))
    before, after = InputStatistics.of(x), InputStatistics.of(255 * x)
    assert before.merged(after) is after


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [1, 10, 100])
def test_no_alarm_for_the_same_scale(digits, scale, size):
    x, x_test, _ = digits
    trained = InputStatistics.of(SCALES[scale](x))
    assert not any(alarms(trained, SCALES[scale](x_test), size))


@pytest.mark.parametrize("scale", SCALES)
def test_no_alarm_for_one_class_nor_for_photographs(digits, scale):
    x, x_test, y_test = digits
    trained, given = (InputStatistics.of(SCALES[scale](a)) for a in (x, x_test[y_test == 0]))
    assert difference(trained, given) is None
    x, _, x_test, _ = photographs()
    trained = InputStatistics.of(SCALES[scale](x))
    assert not any(alarms(trained, SCALES[scale](x_test), 1) + alarms(trained, SCALES[scale](x_test), 10))


@pytest.mark.parametrize("size", [1, 10])
@pytest.mark.parametrize(
    "change",
    [
        np.zeros_like,
        np.ones_like,
        lambda x: np.full_like(x, 255),
        lambda x: x / 4,
        lambda x: np.clip(x + 0.3, 0, 1),
        lambda x: x + 0.3,
        lambda x: x - 0.3,
        lambda x: x + np.random.default_rng(0).normal(0, 0.5, x.shape),
        lambda x: x[:, ::-1],
    ],
)
def test_no_alarm_for_ordinary_changes(digits, change, size):
    x, x_test, _ = digits
    assert not any(alarms(InputStatistics.of(x / 255), change(x_test / 255), size))


@pytest.mark.parametrize("size", [10, 100])
@pytest.mark.parametrize(
    ("trained", "given", "advice"),
    [
        ("0..1", "0..255", "divide by 255"),
        ("float32", "bytes", "divide by 255"),
        ("0..255", "0..1", "multiply by 255"),
        ("bytes", "float32", "multiply by 255"),
        ("-1..1", "bytes", "write x / 127.5 - 1"),
        ("0..1", "-1..1", "they seem to be in -1..1 instead of 0..1: write (x + 1) / 2"),
        ("-1..1", "0..1", "they seem to be in 0..1 instead of -1..1: write 2 * x - 1"),
        ("standardised", "bytes", "scale them as for training"),
    ],
)
def test_another_scale_is_always_found(digits, trained, given, advice, size):
    x, x_test, _ = digits
    statistics = InputStatistics.of(SCALES[trained](x))
    assert set(alarms(statistics, SCALES[given](x_test), size)) == {advice}


def test_one_image_is_enough_for_bytes_and_for_inverted_digits(digits):
    x, x_test, _ = digits
    trained = InputStatistics.of(x / 255)
    assert set(alarms(trained, x_test, 1)) == {"divide by 255"}
    assert set(alarms(trained, 1 - x_test / 255, 1)) == {"subtract them from 1, as they seem to be inverted"}


@pytest.mark.parametrize("x", [np.full((12, 3), np.nan), np.full((12, 3), np.inf), np.full((12, 3), 1.5e308)])
def test_nothing_is_known_of_numbers_that_are_not_finite(x):
    x[0] = -1.5e308
    assert InputStatistics.of(x) is None


@pytest.mark.parametrize(
    "change", [{"low": "0"}, {"mean": None}, {"count": 0}, {"count": True}, {"high": np.inf}, {"more": 1.0}]
)
def test_a_document_is_checked(change):
    sound = InputStatistics.of(np.arange(6.0).reshape(2, 3))
    assert InputStatistics.from_document(sound.document()) == sound
    with pytest.raises(ValueError, match="expected"):
        InputStatistics.from_document(sound.document() | change)
