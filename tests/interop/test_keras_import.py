"""Networks from .keras files compute what the models do; everything else is refused, with the layer named."""

import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest

import keras_models
from gwucnn import Conv2D as Conv
from gwucnn import Dense, Flatten, FormatError, GWUNetwork, ShapeError, interop

pytest.importorskip("h5py")

GOLDEN = Path(__file__).parent / "golden" / "models.npz.xz"
NAMES = ["conv", "separable", "transposed", "sizes", "activations", "activation layers", "channels first", "functional"]


@pytest.fixture(scope="module")
def golden():
    """What Keras 3.15 saved, its inputs and outputs: `keras_models` made them."""
    with np.load(io.BytesIO(lzma.decompress(GOLDEN.read_bytes()))) as file:
        return dict(file)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.keras"


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_keras(golden, path, name):
    path.write_bytes(golden[f"{name}.file"].tobytes())
    network = interop.import_keras(path)
    assert network.precision == "float64"
    want = golden[f"{name}.y"]
    # Keras computes group normalisation, and holds some constants, in float32.
    np.testing.assert_allclose(network.predict(golden[f"{name}.x"]), want, rtol=1e-6, atol=1e-6 * abs(want).max())


@pytest.mark.filterwarnings("ignore")  # of Keras and its backends
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-6), ("float32", 1e-5)])
def test_with_keras_itself(path, precision, tolerance):
    keras = pytest.importorskip("keras")
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    try:
        for name, model, x in keras_models.made(keras):
            if precision == "float64" or name in ("conv", "functional"):
                model.save(path)
                network = interop.import_keras(path)
                assert network.precision == precision
                want = keras_models.outputs(model, x)
                # A backend may compute in float32 all the same, as JAX does by default.
                atol = (tolerance if want.dtype == precision else 1e-5) * abs(want).max()
                np.testing.assert_allclose(network.predict(x), want, rtol=atol, atol=atol, err_msg=name)
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def test_weights_of_a_keras_file(golden, path):
    """Also into a network that was made in Python, as from a .weights.h5 file."""
    path.write_bytes(golden["functional.file"].tobytes())
    network = GWUNetwork([Conv(3, add_bias=True, activation="relu"), Flatten()], precision="float64")
    for size in (4, 2):
        network.add(Dense(size, add_bias=True))
    network.build((6, 6))
    interop.load_keras_weights(network, path)
    np.testing.assert_allclose(network.predict(golden["functional.x"]), golden["functional.y"], rtol=1e-6)
    other = GWUNetwork([Flatten(), Dense(2, input_size=4)])
    other.build((2, 2))
    with pytest.raises(ShapeError, match="load_keras_weights: expected layers/dense/vars/0 of shape"):
        interop.load_keras_weights(other, path)


def older_layout(path, golden):
    path.write_bytes(golden["functional.older"].tobytes())
    network = GWUNetwork([Conv(3, add_bias=True, activation="relu"), Flatten()], precision="float64")
    for size in (4, 2):
        network.add(Dense(size, add_bias=True))
    network.build((6, 6))
    return network


def test_weights_of_a_whole_model_in_the_older_layout(golden, tmp_path):
    """Also without the rest of the model, and with names as bytes, as Keras 2 wrote weights alone."""
    import h5py

    path = tmp_path / "model.h5"
    network = older_layout(path, golden)
    start = network.get_weights()
    interop.load_keras_weights(network, path)
    np.testing.assert_allclose(network.predict(golden["functional.x"]), golden["functional.y"], rtol=1e-6)
    with h5py.File(path) as whole, h5py.File(tmp_path / "weights.h5", "w") as weights:
        for layer in whole["model_weights"]:
            whole.copy(f"model_weights/{layer}", weights)
        names = whole["model_weights"].attrs["layer_names"]
        weights.attrs["layer_names"] = [name.encode() for name in names]
    other = older_layout(path, golden)
    interop.load_keras_weights(other, tmp_path / "weights.h5")
    np.testing.assert_array_equal(other.predict(golden["functional.x"]), network.predict(golden["functional.x"]))
    with pytest.raises(FormatError, match=r"import_keras: expected a \.keras file, got .*model\.h5"):
        interop.import_keras(path)
    network.set_weights(start)

    def refused(error, text):
        with pytest.raises(error, match=f"load_keras_weights: expected {text}"):
            interop.load_keras_weights(network, path)
        for was, now in zip(start, network.get_weights(), strict=True):
            np.testing.assert_array_equal(now, was)

    with h5py.File(path, "r+") as file:
        group = file["model_weights/hidden"]
        kept = list(group.attrs["weight_names"])
        group.attrs["weight_names"] = kept[:1]
    refused(ShapeError, "6 arrays in the file, one a parameter, got 5; check add_bias")
    with h5py.File(path, "r+") as file:
        file["model_weights/hidden"].attrs["weight_names"] = [kept[0], "elsewhere"]
    refused(FormatError, "model_weights/hidden/elsewhere in the file")
    with h5py.File(path, "r+") as file:
        file["model_weights/hidden"].attrs["weight_names"] = kept[::-1]
    refused(ShapeError, "model_weights/hidden/.*kernel|model_weights/hidden/.*bias of shape")
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["layer_names"] = ["first", "lost"]
    refused(FormatError, "model_weights/lost in the file, got none")
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["layer_names"] = 3
    refused(FormatError, "a file of Keras")


def test_an_imported_network_goes_on_learning_and_is_saved(golden, path, tmp_path, rng):
    path.write_bytes(golden["conv.file"].tobytes())
    network = interop.import_keras(path)
    network.compile("cross_entropy", lr=0.01)
    x, y = rng.random((20, 9, 8, 2)), np.arange(20) % 5
    losses = network.fit(x, y, epochs=30, batch_size=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    network.save(tmp_path / "network.safetensors")
    again = GWUNetwork.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


# --------------------------------------------------------------------------------------------- other models and options


def parts(golden, name="conv"):
    with zipfile.ZipFile(io.BytesIO(golden[f"{name}.file"].tobytes())) as archive:
        return {part: archive.read(part) for part in archive.namelist()}


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def changed(golden, path, change, name="conv"):
    """Write a model whose config was changed by a function."""
    contents = parts(golden, name)
    model = json.loads(contents["config.json"])
    contents["config.json"] = json.dumps(change(model) or model)
    write(path, contents)


def layer_of(kind):
    return lambda model: next(entry for entry in model["config"]["layers"] if entry["class_name"] == kind)


def option(kind, **options):
    return lambda model: layer_of(kind)(model)["config"].update(options)


def entry(kind, **options):
    return lambda model: layer_of(kind)(model).update(options)


def model(**options):
    return lambda whole: whole["config"].update(options)


NESTED = {"class_name": "Sequential", "module": "keras", "config": {"name": "inner"}, "registered_name": None}
REFUSED = {
    "lambda": (entry("ReLU", class_name="Lambda"), "layer 're_lu' of class Lambda, because gwucnn runs no code"),
    "unknown class": (entry("ReLU", class_name="MultiHeadAttention"), "expected layers that gwucnn has, .* of class Multi"),
    "nested": (entry("ReLU", **NESTED), "layer 'inner' of class Sequential; save its layers one by one"),
    "own class": (entry("ReLU", module=None, registered_name="Custom>ReLU"), "Keras itself, got .*Custom>ReLU; .* no code"),
    "own module": (entry("ReLU", module="os"), "expected layers of Keras itself"),
    "mixed precision": (option("Dense", dtype={"config": {"name": "mixed_float16"}}), "in layer 'dense.*' of class Dense, got"),
    "activation": (option("Dense", activation="exponential"), "an activation that gwucnn has in layer 'dense.*got 'expone"),
    "own activation": (option("Dense", activation={"class_name": "function"}), "an activation that gwucnn has"),
    "option": (option("Dense", from_the_future=3), "got from_the_future=3"),
    "padding": (option("Conv2D", padding="causal"), "in layer 'conv2d.*' of class Conv2D, got others"),
    "data format": (option("MaxPooling2D", data_format="channels_first"), "one data_format, got channels_first and chan"),
    "axis": (option("BatchNormalization", axis=1), "expected axis=-1 in layer 'batch_norm.*, got 1"),
    "no scale": (option("BatchNormalization", scale=False), "expected scale=True in layer"),
    "renorm": (option("BatchNormalization", renorm=True), "got renorm=True"),
    "relu": (option("ReLU", max_value=3.0), "max_value None, or 6"),
    "threshold": (option("ReLU", threshold=0.5), "expected threshold=0"),
    "open size": (option("InputLayer", batch_shape=[None, None, 8, 2]), "images or features of known size"),
    "no size": (option("InputLayer", batch_shape=None), "images or features of known size"),
    "no layers": (model(layers=[]), "a model with layers that compute something, got none"),
    "other model": (lambda whole: whole.update(class_name="MyModel"), "Sequential or Functional model, got .*'MyModel'"),
    "wrong size": (option("Dense", units=6), "expected layers/dense/vars/0 of shape"),
    "no size of a layer": (option("Conv2D", filters=None), "in layer 'conv2d"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(golden, path, case):
    change, message = REFUSED[case]
    changed(golden, path, change)
    with pytest.raises(ValueError, match=f"import_keras: .*{message}"):
        interop.import_keras(path)


def history(*names):
    return {"args": [{"config": {"keras_history": [name, 0, 0]}} for name in names], "kwargs": {}}


ENTANGLED = {
    "two inputs": (entry("Dense", inbound_nodes=[history("first", "flatten")]), "in one row|form one row"),
    "shared": (entry("Dense", inbound_nodes=[history("flatten")] * 2), "form one row"),
    "a loop": (entry("Flatten", inbound_nodes=[history("hidden")]), "form one row, got branches"),
    "mode": (entry("Dense", inbound_nodes=[history("flatten") | {"kwargs": {"training": False}}]), "form one row"),
    "outputs": (model(output_layers=[["last", 0, 0], ["first", 0, 0]]), "one input and one output"),
    "unused layer": (model(output_layers=["hidden", 0, 0]), "form one row"),
    "nonsense": (entry("Dense", inbound_nodes=7), "form one row"),
    "lost": (model(input_layers=None), "one input and one output"),
}


@pytest.mark.parametrize("case", ENTANGLED)
def test_models_that_are_no_row(golden, path, case):
    change, message = ENTANGLED[case]
    changed(golden, path, change, "functional")
    with pytest.raises(ValueError, match=message):
        interop.import_keras(path)


def test_no_layer_of_a_functional_model_needs_to_be_listed_in_order(golden, path):
    changed(golden, path, lambda whole: whole["config"]["layers"].reverse(), "functional")
    # The file of weights counts layers of one class in the order of the list, which Keras sorts by depth.
    assert [type(layer).__name__ for layer in interop_layers(path)] == [
        "Conv2D",
        "Activation",
        "Flatten",
        "Dense",
        "Dense",
    ]


def interop_layers(path):
    from gwucnn.interop.keras_archive import config_in_archive
    from gwucnn.interop.keras_config import layers_of
    from gwucnn.interop.keras_layers import layers_for

    rows, _ = layers_of("import_keras", config_in_archive("import_keras", path))
    return [made for row in rows for made in layers_for("import_keras", row, channels_first=False)]


def test_frozen_layers_stay_frozen(golden, path):
    changed(golden, path, option("Dense", trainable=False))
    assert [layer.trainable for layer in interop.import_keras(path).layers if isinstance(layer, (Dense, Conv))] == [
        True, True, False]  # fmt: skip


def test_flattened_channels_first_outputs_are_refused(golden, path):
    def drop(whole):
        whole["config"]["layers"] = [e for e in whole["config"]["layers"] if e["class_name"] != "Dense"]

    changed(golden, path, drop, "channels first")
    with pytest.raises(ValueError, match="expected a Dense layer behind Flatten in a channels_first model"):
        interop.import_keras(path)


# --------------------------------------------------------------------------------------------------- damaged files


def test_archives_that_keras_has_not_written(golden, path, tmp_path):
    contents = parts(golden)

    def refused(text, given=None, **more):
        if given is not None:
            write(path, given, **more)
        with pytest.raises(FormatError, match=f"import_keras: expected .*{text}"):
            interop.import_keras(path)

    for name in contents:
        refused(f"with {name}", {part: data for part, data in contents.items() if part != name})
    refused("stored without compression", contents, compression=zipfile.ZIP_DEFLATED)
    refused("JSON in config.json", contents | {"config.json": b"{"})
    refused("JSON in config.json", contents | {"config.json": b"[" * 100_000})
    refused("JSON in config.json", contents | {"config.json": b"\xff\xfe"})
    refused("an object in config.json", contents | {"config.json": b"[]"})
    refused(
        "the layers of a model", contents | {"config.json": b'{"class_name": "Sequential", "config": {"layers": [1]}}'}
    )
    refused("Keras 3, got version '2.13.1'", contents | {"metadata.json": b'{"keras_version": "2.13.1"}'})
    refused("a file of Keras", contents | {"model.weights.h5": b"no weights"})
    path.write_bytes(b"anything")
    refused("a .keras file, got .*, which is no zip archive")
    with pytest.raises(TypeError, match="import_keras: expected path to be a path, got 3"):
        interop.import_keras(3)  # which open would take for an open file
    with pytest.raises(FileNotFoundError):
        interop.import_keras(tmp_path / "missing.keras")


def test_nothing_is_written_outside_of_memory(golden, path, tmp_path):
    """Parts with names that climb out of the folder are not even read."""
    write(path, parts(golden) | {"../../escaped": b"x"})
    before = sorted(tmp_path.rglob("*"))
    interop.import_keras(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_damaged_files(golden, path, rng):
    """Changed or cut off anywhere, a file is refused with a message, or still a network."""
    sound, refused = golden["functional.file"].tobytes(), 0
    for trial in range(300):
        data = bytearray(sound[: rng.integers(len(sound))] if trial % 5 == 0 else sound)
        for place in rng.integers(len(data), size=1 + trial % 3) if data and trial % 5 else ():
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            interop.import_keras(path)
        except (ValueError, TypeError) as error:
            refused += 1
            assert str(error).startswith("import_keras: expected "), error
    assert refused > 60


def test_damaged_configs(golden, path, rng):
    """Any value in a config replaced by one of another kind is refused with a message, or makes no difference."""
    strange = [None, -1, 0, 10**30, 1.5, float("nan"), "", "x", [], [1], [[1, 2], [3]], {}, {"config": 3}, True]

    def places(node):
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            yield node, key
            if isinstance(value, (dict, list)):
                yield from places(value)

    refused = 0
    for trial in range(400):

        def spoil(whole):
            found = list(places(whole))
            node, key = found[rng.integers(len(found))]
            node[key] = strange[rng.integers(len(strange))]

        changed(golden, path, spoil, ("functional", "conv", "sizes")[trial % 3])
        try:
            interop.import_keras(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("import_keras: expected "), error
    assert refused > 60


def test_sizes_are_compared_before_memory_is_allocated(golden, path):
    changed(golden, path, option("Dense", units=10**12))
    with pytest.raises(ShapeError, match="expected layers/dense/vars/0 of shape"):
        interop.import_keras(path)
