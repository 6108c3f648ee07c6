"""The program of the slides, word for word, and the calls of gwu_nn that course code makes.

What the slides and gwu_nn got wrong has its tests in test_seed_mistakes.py.
"""

import warnings

import numpy as np
import pytest

import real_data
from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, Sigmoid, datasets, to_categorical
from gwucnn.common.errors import SizeMismatchWarning

quiet = pytest.mark.filterwarnings("ignore::gwucnn.SizeMismatchWarning")

POOL_NOTE = "MaxPooling2D: input_size=23 stated, Conv2D makes 26 = (28 - 3) + 1; using 26"
FLATTEN_NOTE = "Flatten: input_size=(11, 11) stated, MaxPooling2D makes 13 = (26 - 2) // 2 + 1; using (13, 13)"


def seed_program(x_train_subset, y_train_subset, x_test_subset):
    """Slide 41, without a word changed; return what it ends with, and the network."""
    network = GWUNetwork()
    network.add(Conv2D(input_size=28, kernel_size=3))
    network.add(MaxPooling2D(pool_size=2, strides=2, input_size=23))
    network.add(Flatten(input_size=(11, 11)))
    network.add(Dense(100, add_bias=False, activation="relu"))
    network.add(Dense(2, add_bias=False, activation="sigmoid"))
    network.compile(loss="log_loss", lr=0.001)
    network.fit(x_train_subset, y_train_subset, epochs=2)
    results = network.predict(x_test_subset)
    return results, network


def subsets(data):
    """Zeros and ones out of the first 1,500 and 150 images, as the slides take them."""
    (x_train, y_train), (x_test, y_test) = data
    train, test = np.flatnonzero(y_train[:1500] < 2)[:200], np.flatnonzero(y_test[:150] < 2)[:10]
    scale = np.float32(255)
    return (
        x_train[train].astype("float32") / scale,
        to_categorical(y_train[train], num_classes=2),
        x_test[test].astype("float32") / scale,
        y_test[test],
    )


@pytest.fixture(scope="module")
def digits():
    return subsets(datasets.load_sample())


def test_the_program_of_the_slides(digits):
    x_train, y_train, x_test, _ = digits
    assert x_train.shape == (200, 28, 28) and x_train.dtype == np.float32 and y_train.shape == (200, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results, network = seed_program(x_train, y_train, x_test)
    assert [str(warning.message) for warning in caught] == [POOL_NOTE, FLATTEN_NOTE]
    assert {warning.category for warning in caught} == {SizeMismatchWarning}
    assert {warning.filename for warning in caught} == {__file__}, "a warning points to the user's own line"
    assert type(results) is np.ndarray and results.shape == (10, 2) and results.dtype == np.float32
    assert ((results > 0) & (results < 1)).all()
    assert [weight.shape for weight in network.get_weights()] == [(3, 3, 1, 2), (338, 100), (100, 2)]
    assert "input_size=26" in repr(network) and "input_size=(13, 13)" in repr(network), "repr is honest"


@quiet
def test_it_learns_on_the_embedded_sample(digits):
    """On real digits of its own; the mark that the issue sets needs MNIST itself, below."""
    x_train, y_train, x_test, labels = digits
    shares = []
    for seed in range(5):
        np.random.seed(seed)
        results, _ = seed_program(x_train, y_train, x_test)
        shares.append(np.mean(results.argmax(axis=1) == labels))
    assert np.median(shares) >= 0.9


def mnist():
    folder = real_data.FOLDER / "mnist"
    if not folder.is_dir():
        pytest.skip(f"no MNIST in {folder.parent}; set GWUCNN_DATA to a folder that holds mnist/")
    return datasets.load_mnist(folder)


@quiet
def test_median_accuracy_on_mnist_over_20_seeds():
    """Trained on 200 zeros and ones, tested on all zeros and ones of the test set; single seeds may start badly."""
    data = mnist()
    x_train, y_train, _, _ = subsets(data)
    _, (x_test, y_test) = data
    chosen = y_test < 2
    x_test, y_test = x_test[chosen].astype("float32") / np.float32(255), y_test[chosen]
    assert len(y_test) == 2115
    shares = []
    for seed in range(20):
        np.random.seed(seed)
        results, _ = seed_program(x_train, y_train, x_test)
        shares.append(np.mean(results.argmax(axis=1) == y_test))
    assert np.median(shares) >= 0.97, sorted(shares)


@quiet
def test_numpys_global_seed_repeats_a_run(digits):
    x_train, y_train, x_test, _ = digits

    def run(seed):
        np.random.seed(seed)
        return seed_program(x_train, y_train, x_test)[0]

    first = run(4)
    np.testing.assert_array_equal(run(4), first)
    assert (run(5) != first).any()


# ------------------------------------------------------------------------------------ calls that course code makes


def test_names_lie_where_gwu_nn_has_them():
    from gwucnn.activation_functions import RELUActivation, SigmoidActivation, SoftmaxActivation
    from gwucnn.activation_layers import RELU, Sigmoid, Softmax
    from gwucnn.gwu_network import GWUNetwork as Network
    from gwucnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D
    from gwucnn.loss_functions import MSE, CrossEntropy, LogLoss

    assert Network is GWUNetwork
    for layer in (Dense, Conv2D, MaxPooling2D, Flatten, Sigmoid, RELU, Softmax):
        assert issubclass(layer, Layer)
    for function in (SigmoidActivation, RELUActivation, SoftmaxActivation):
        assert function.activation(np.zeros((1, 2))).shape == (1, 2)
        assert function.activation_partial_derivative(np.zeros((1, 2))).shape[:2] == (1, 2)
    for loss in (MSE, LogLoss, CrossEntropy):
        assert loss.loss([[0, 1]], [[0.5, 0.5]]) > 0
        assert loss.loss_partial_derivative([[0, 1]], [[0.5, 0.5]]).shape == (1, 2)


def test_activations_take_single_numbers():
    from gwucnn.activation_functions import RELUActivation, SigmoidActivation

    assert SigmoidActivation.activation(0) == 0.5
    assert SigmoidActivation.activation_partial_derivative(0.0) == 0.25
    assert RELUActivation.activation(-3) == 0
    assert RELUActivation.activation_partial_derivative(2) == 1


@pytest.fixture
def table(rng):
    """Three columns, and a target that a small network can learn from them."""
    x = rng.standard_normal((60, 3))
    return x, x @ [0.5, -1.0, 2.0] + 1


def test_the_examples_of_gwu_nn(table, capsys):
    """A regression: positional output_size, add_bias, activation, input_size; loss, lr; x, y, epochs, batch_size."""
    x, y = table
    network = GWUNetwork()
    network.add(Dense(14, True, "relu", 3))
    network.add(Dense(1, True))
    network.compile("mse", 0.01)
    first = network.evaluate(x, y)
    history = network.fit(x, y, 10)
    network.fit(x, y, epochs=10, batch_size=10)
    assert len(history.epoch) == 10
    assert network.evaluate(x, y) < 0.2 * first
    assert capsys.readouterr().out == ""
    layer = network.layers[0]
    assert (layer.output_size, layer.add_bias, layer.activation.name, layer.input_size) == (
        14,
        True,
        "relu",
        3,
    )


def test_an_activation_as_a_layer_and_a_loss_as_a_class(table):
    from gwucnn.loss_functions import LogLoss

    x, y = table
    network = GWUNetwork()
    network.add(Dense(1, True, input_size=3))
    network.add(Sigmoid())
    network.compile(loss=LogLoss, lr=0.1)
    history = network.fit(x, y > 1, epochs=10, batch_size=10)
    assert history.history["accuracy"][-1] > 0.9
    assert network.predict(x).shape == (60, 1)


FORMS = {
    "lists": lambda x: x.tolist(),
    "float64": lambda x: x.astype("float64"),
    "float16": lambda x: x.astype("float16").astype("float32").astype("float16"),
    "not contiguous": lambda x: np.asfortranarray(x),
    "a slice": lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "one channel": lambda x: x[..., None],
    "another byte order": lambda x: x.astype(">f4"),
}


@quiet
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_images_gives_the_same_network(form, digits):
    x, y, x_test, _ = digits
    exact = x[:40].astype("float16").astype("float32")  # what all forms can hold
    np.random.seed(0)
    expected, _ = seed_program(exact, y[:40], x_test)
    np.random.seed(0)
    got, _ = seed_program(FORMS[form](exact), y[:40], FORMS[form](x_test) if form != "float16" else x_test)
    np.testing.assert_array_equal(got, expected)


def test_uint8_images_are_pixels_like_others(digits):
    x = (digits[0][:40] > 0.5).astype(np.uint8)
    results = []
    for images in (x, x.astype("float32"), x.astype(bool), x.astype(np.int64).tolist()):
        network = GWUNetwork([Conv2D(), Flatten(), Dense(1, activation="sigmoid")], seed=1)
        network.compile("log_loss", 0.01)
        network.fit(images, digits[1][:40, 1])
        results.append(network.predict(images))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 1, 1, 0]),
        np.array([[0], [1], [1], [0]]),
        np.array([0.0, 1.0, 1.0, 0.0]),
        np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32),
        [0, 1, 1, 0],
        np.array([0, 1, 1, 0], np.uint8),
        np.array([False, True, True, False]),
    ],
    ids=["(N,)", "(N, 1)", "floats", "one-hot", "list", "uint8", "bool"],
)
def test_every_form_of_the_same_labels_gives_the_same_network(y, rng):
    x = np.random.default_rng(0).standard_normal((4, 3))
    network = GWUNetwork([Dense(2, activation="sigmoid", input_size=3)], seed=1)
    network.compile("log_loss", 0.1)
    network.fit(x, y)
    twin = GWUNetwork([Dense(2, activation="sigmoid", input_size=3)], seed=1)
    twin.compile("log_loss", 0.1)
    twin.fit(x, to_categorical([0, 1, 1, 0]))
    np.testing.assert_array_equal(network.get_weights()[0], twin.get_weights()[0])
