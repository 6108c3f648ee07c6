"""Networks that are no rows: gates, crossing branches, shared layers, inputs used twice."""

from gwucnn import (
    RELU,
    Add,
    Average,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GWUNetwork,
    Input,
    Maximum,
    MaxPooling2D,
    Multiply,
    Reshape,
    Residual,
    Subtract,
    UpSampling2D,
)

SHAPE = (6, 6, 2)


def conv(filters, size=3, **options):
    return Conv2D(filters, size, **{"padding": "same", "add_bias": True} | options)


def head(x):
    return Dense(3, True, "softmax")(GlobalAveragePooling2D()(x))


def residual(x):
    y = conv(4, activation="relu")(x)
    return RELU()(Add()([y, conv(4)(y)]))


def gate(x):
    """Squeeze and excitation."""
    y = conv(4)(x)
    channels = Dense(4, True, "sigmoid")(Dense(2, True, "relu")(GlobalAveragePooling2D()(y)))
    return Multiply()([y, Reshape((1, 1, 4))(channels)])


def gate_of_pixels(x):
    y = conv(4, activation="tanh")(x)
    return Multiply()([conv(1, 1, activation="sigmoid")(y), y])


def crossing(x):
    """Two branches that read each other."""
    a, b = conv(3, activation="relu")(x), conv(3, activation="tanh")(x)
    c, d = Add()([a, conv(3)(b)]), Subtract()([b, conv(3)(a)])
    return Concatenate()([c, Maximum()([c, d]), d])


def shared(x):
    """One layer in three places, and a relu behind two of them."""
    layer = conv(2)
    y = RELU()(layer(x))
    return Average()([y, layer(y), RELU()(layer(Subtract()([x, y])))])


def twice(x):
    """The same value several times among the inputs of a layer."""
    y = conv(3, activation="sigmoid")(x)
    return Multiply()([y, y, Add()([y, y])])


def unet(x):
    a = conv(4, activation="relu")(x)
    b = conv(6, activation="relu")(MaxPooling2D()(a))
    return conv(4)(Concatenate()([UpSampling2D()(b), a]))


def normalised(x):
    """Batch normalisation behind a convolution that something else reads too: it must not be folded there."""
    y = conv(4)(x)
    z = RELU()(BatchNormalization()(y))
    return Add()([y, RELU()(BatchNormalization()(DepthwiseConv2D(padding="same")(Dropout(0.0)(z))))])


def blocks(x):
    """Layers that contain layers, in a graph, and a pooled convolution that is read twice."""
    y = Concatenate([conv(2, 1), [conv(3), RELU()], []])(x)
    z = Residual([conv(7), RELU(), conv(7)])(y)
    return Maximum()([MaxPooling2D()(z), MaxPooling2D()(y), MaxPooling2D()(Add()([z, y]))])


def flat(x):
    y = Flatten()(x)
    a, b = Dense(5, True, "tanh")(y), Dense(5, True)(y)
    return Reshape((1, 1, 5))(Multiply()([a, Subtract()([b, a]), b]))


PARTS = [residual, gate, gate_of_pixels, crossing, shared, twice, unet, normalised, blocks, flat]


def network(part, shape=SHAPE, **options):
    """Return a network of one of PARTS and a head."""
    x = Input(shape)
    return GWUNetwork(inputs=x, outputs=head(part(x)), **{"seed": 3} | options)
