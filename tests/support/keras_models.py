"""Models of Keras, each with several layers and their options, from which `golden/models.npz.xz` was made.

`python tests/support/keras_models.py PATH` makes that file again, where Keras is installed. Weights are random, and the
numbers float64, so that a layer that computes something slightly different shows.
"""

import io
import lzma
import sys
import tempfile
from pathlib import Path

import numpy as np

ACTIVATIONS = ("relu", "sigmoid", "tanh", "elu", "selu", "silu", "gelu", "softplus", "relu6", "hard_sigmoid", "hard_silu",
               "mish", "leaky_relu", "linear", "softmax", "swish")  # fmt: skip


def models(L):
    """Return the layers of each model, given `keras.layers`, with the shape of its inputs."""
    return {
        "conv": ((9, 8, 2), [
            L.Rescaling(0.5, -1), L.Conv2D(4, 3, padding="same", strides=(2, 1), activation="relu"),
            L.Conv2D(6, (1, 3), dilation_rate=(1, 2), groups=2, use_bias=False), L.BatchNormalization(epsilon=0.01),
            L.ReLU(), L.MaxPooling2D((2, 1)), L.Flatten(), L.Dense(5, activation="softmax")]),
        "separable": ((8, 9, 3), [
            L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="tanh"), L.BatchNormalization(),
            L.DepthwiseConv2D(2, strides=2, use_bias=False), L.SeparableConv2D(5, 2, activation="leaky_relu"),
            L.SeparableConv2D(4, 2, depth_multiplier=2, padding="same", use_bias=False), L.GlobalAveragePooling2D(),
            L.Dense(3, use_bias=False)]),
        "transposed": ((4, 3, 2), [
            L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="elu"), L.LayerNormalization(epsilon=0.01),
            L.Conv2DTranspose(2, (2, 3), strides=(1, 2), output_padding=(0, 1), use_bias=False), L.LeakyReLU(0.1),
            L.Conv2DTranspose(4, 2, dilation_rate=2), L.GroupNormalization(groups=2)]),
        "sizes": ((8, 7, 2), [
            L.ZeroPadding2D(((1, 0), (2, 3))), L.AveragePooling2D(3, strides=2, padding="same"),
            L.UpSampling2D((2, 3)), L.Cropping2D(((1, 0), (0, 2))), L.Resizing(7, 9), L.SpatialDropout2D(0.5),
            L.Resizing(6, 6, interpolation="nearest"), L.MaxPooling2D(3, strides=1, padding="same"),
            L.AveragePooling2D(2), L.GlobalMaxPooling2D(), L.Reshape((2, 1)), L.Flatten()]),
        "activations": ((11,), [
            layer for name in ACTIVATIONS for layer in (L.Dense(3, activation=name), L.Activation(name))]),
        "activation layers": ((3, 4, 2), [
            L.PReLU(shared_axes=[1, 2]), L.ReLU(negative_slope=0.2), L.ELU(0.5), L.ReLU(6.0), L.PReLU(), L.Softmax(),
            L.LeakyReLU(), L.Dropout(0.3), L.Flatten(), L.BatchNormalization(), L.Activation("gelu"),
            L.Dense(2, activation="hard_sigmoid"), L.Normalization()]),
        "channels first": ((2, 8, 7), [
            L.Conv2D(4, 3, padding="same", activation="relu", data_format="channels_first"),
            L.BatchNormalization(axis=1), L.MaxPooling2D(2, data_format="channels_first"),
            L.GroupNormalization(2, axis=1), L.DepthwiseConv2D(2, data_format="channels_first"),
            L.Flatten(data_format="channels_first"), L.Dense(4, activation="relu"), L.Dense(3)]),
    }  # fmt: skip


def functional(keras):
    """Return a Functional model whose layers form one row."""
    given = keras.Input((6, 6, 1))
    y = keras.layers.Conv2D(3, 3, name="first")(given)
    y = keras.layers.Activation("relu")(y)
    y = keras.layers.Flatten()(y)
    return keras.Model(given, keras.layers.Dense(2, name="last")(keras.layers.Dense(4, name="hidden")(y)))


def made(keras, data=None):
    """Yield the name of each model, the model itself with random weights, and inputs."""
    rng = np.random.default_rng(3)
    rows = {
        name: keras.Sequential([keras.Input(shape), *layers]) for name, (shape, layers) in models(keras.layers).items()
    }
    for name, model in {**rows, "functional": functional(keras)}.items():
        weights = [
            rng.uniform(0.5, 1.5, weight.shape) if "variance" in weight.path else rng.normal(size=weight.shape) / 2
            if weight.shape else np.array(7)
            for weight in model.weights if "seed" not in weight.path
        ]  # fmt: skip
        for variable, value in zip((w for w in model.weights if "seed" not in w.path), weights, strict=True):
            variable.assign(value)
        for layer in model.layers:
            if hasattr(layer, "finalize_state"):  # of a Normalization, as after adapt
                layer.finalize_state()
        yield name, model, rng.normal(size=(3, *model.input_shape[1:]))


def outputs(model, x):
    """Return what Keras computes."""
    return np.array(model(x, training=False))


if __name__ == "__main__":
    import keras

    keras.config.set_floatx("float64")
    arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model, x in made(keras):
            path = Path(folder) / "model.keras"
            model.save(path)
            arrays |= {f"{name}.file": np.frombuffer(path.read_bytes(), np.uint8), f"{name}.x": x}
            arrays[f"{name}.y"] = outputs(model, x)
        model.save(path.with_suffix(".h5"))  # the older layout, of the last model
        arrays[f"{name}.older"] = np.frombuffer(path.with_suffix(".h5").read_bytes(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    Path(sys.argv[1]).write_bytes(lzma.compress(buffer.getvalue(), preset=9))
