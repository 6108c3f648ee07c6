"""A network remembers the range of what it was trained on, and warns once about inputs in another one."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from gwucnn import Dense, Flatten, GWUNetwork, Rescaling, datasets

WARNING = (
    r"expected inputs in the range that the network was trained on, 0\.\.1 \(mean \.1\d*\), got "
    r"0\.\.255 \(mean [\d.]+\); divide by 255"
)


@pytest.fixture(scope="module")
def digits():
    (x, y), _ = datasets.load_sample()
    return x, y


def made(*layers):
    network = GWUNetwork([*layers, Flatten(), Dense(10, activation="softmax")], seed=0)
    network.compile("cross_entropy", lr=0.01)
    return network


@pytest.fixture
def trained(digits):
    x, y = digits
    network = made()
    network.fit(x[:200] / 255, y[:200], batch_size=50, verbose=0)
    return network


def batches(x, y):
    return [(x[start : start + 50], y[start : start + 50]) for start in range(0, len(x), 50)]


def warns_once(network, x):
    with pytest.warns(UserWarning, match=rf"^predict: {WARNING}$") as caught:
        network.predict(x)
        network.predict(x)
    assert len(caught) == 1


@pytest.mark.parametrize("count", [1, 20])
def test_predict_warns_once(trained, digits, count):
    trained.predict(digits[0][-count:] / 255)
    warns_once(trained, digits[0][-count:])


def test_evaluate_warns_and_results_stay(trained, digits):
    x, y = digits
    silent = copy.deepcopy(trained)
    with pytest.warns(UserWarning, match=rf"^evaluate: {WARNING}$"):
        loss = trained.evaluate(x[:20], y[:20])
    silent._range.trained = None
    assert silent.evaluate(x[:20], y[:20]) == loss


def test_streams_are_compared_too(trained, digits):
    with pytest.warns(UserWarning, match=f"^evaluate: {WARNING}$") as caught:
        trained.evaluate(batches(*digits))
    assert len(caught) == 1


def test_validation_data_of_another_scale(digits):
    x, y = digits
    network = made()
    with pytest.warns(UserWarning, match=f"^fit: validation_data: {WARNING}$"):
        network.fit(x[:200] / 255, y[:200], batch_size=50, validation_data=(x[-50:], y[-50:]), verbose=0)


@pytest.mark.parametrize("way", ["indexed", "generator", "train_on_batch"])
def test_whatever_it_was_trained_by(digits, way):
    x, y = digits[0][:200] / 255, digits[1][:200]
    network = made()
    if way == "train_on_batch":
        for batch in batches(x, y):
            network.train_on_batch(*batch)
    else:
        source = batches(x, y)
        network.fit(source if way == "indexed" else (item for item in source), verbose=0)
    assert network._range.trained.count == 200
    warns_once(network, digits[0][:10])


@pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, lambda n: pickle.loads(pickle.dumps(n)), "save", "weights"])
def test_files_and_copies_remember(trained, digits, tmp_path, way):
    if way == "save":
        trained.save(tmp_path / "net")
        other = GWUNetwork.load(tmp_path / "net")
    elif way == "weights":
        other = made()
        other.build((28, 28))
        trained.save_weights(tmp_path / "net")
        other.load_weights(tmp_path / "net")
    else:
        other = way(trained)
    assert other._range.trained == trained._range.trained
    warns_once(other, digits[0][:10])


def test_weights_from_elsewhere_make_it_forget(trained, digits, tmp_path):
    other = made()
    other.build((28, 28))
    other.save_weights(tmp_path / "net")
    trained.load_weights(tmp_path / "net")
    trained.predict(digits[0])


def test_onnx_files_remember(trained, digits, tmp_path):
    onnx = pytest.importorskip("onnx")
    from gwucnn.onnx import export_onnx, import_onnx

    path = tmp_path / "net.onnx"
    export_onnx(trained, path)
    other = import_onnx(path)
    assert other._range.trained == trained._range.trained
    model = onnx.load(path)
    model.metadata_props[0].value = "[]"
    onnx.save(model, path)
    with pytest.raises(ValueError, match="statistics of the inputs"):
        import_onnx(path)


def test_rescaling_sees_what_the_user_passes(digits):
    x, y = digits
    network = made(Rescaling(1 / 255))
    network.fit(x[:200], y[:200], batch_size=50, verbose=0)
    network.predict(x[:20])
    with pytest.warns(UserWarning, match="multiply by 255"):
        network.predict(x[:20] / 255)


def test_training_in_another_range_is_what_counts(trained, digits):
    x, y = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pixels up to 255
        trained.fit(x[:200], y[:200], batch_size=50, verbose=0)
    trained.predict(x[:20])


def test_refused_training_is_not_remembered(trained, digits):
    before = trained._range.trained
    with pytest.raises(TypeError):
        trained.fit(digits[0] / 100, digits[1], callbacks=[3])
    with pytest.raises(FloatingPointError, match="finite"):
        trained.train_on_batch(np.full((20, 28, 28), np.nan), digits[1][:20])
    assert trained._range.trained is before


def test_many_small_calls_are_looked_at_now_and_then(trained, digits):
    x = (digits[0][:16] / 255).astype(np.float32)
    for _ in range(40):
        trained.predict(x)
    with pytest.warns(UserWarning, match="divide by 255"):
        for _ in range(4096 // 16):
            trained.predict(255 * x)


def test_a_change_of_dtype_is_looked_at_at_once(trained, digits):
    for _ in range(40):
        trained.predict(digits[0][:16] / 255)
    with pytest.warns(UserWarning, match="divide by 255"):
        trained.predict(digits[0][:1])
