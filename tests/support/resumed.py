"""Networks that resume training from a file, for tests in this process and in another one."""

import sys

import numpy as np

from gwucnn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNormalization,
    Conv2D,
    CosineDecay,
    CSVLogger,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    GWUNetwork,
    MaxPooling2D,
    ModelCheckpoint,
    OneCycle,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    ReduceLROnPlateau,
    Residual,
    RMSprop,
    SpatialDropout2D,
)

EPOCHS = 6


def network(optimizer, seed=7, *, augmented=False):
    """Return a compiled network that draws, keeps statistics and has layers in layers."""
    augmentation = [
        RandomTranslation(0.2, 0.1),
        RandomRotation(0.1),
        RandomZoom(0.2),
        RandomFlip("horizontal"),
    ]
    made = GWUNetwork(
        [
            *(augmentation if augmented else ()),
            Conv2D(4, activation="relu", add_bias=True),
            BatchNormalization(),
            MaxPooling2D(),
            Residual([Conv2D(4, padding="same"), BatchNormalization(momentum=0.6), SpatialDropout2D(0.2)]),
            Flatten(),
            Dropout(0.4),
            Dense(3, True, "softmax", kernel_regularizer="l2"),
        ],
        seed=seed,
    )
    made.compile("cross_entropy", optimizer=optimizer, global_clipnorm=1.0, metrics=("accuracy", "f1"))
    return made


OPTIMIZERS = {
    "momentum and a schedule": lambda: SGD(CosineDecay(0.2, 40, warmup_target=0.3, warmup_steps=7), 0.9, True),
    "adam and weight decay": lambda: Adam(0.01, weight_decay=0.1),
    "adamw": lambda: AdamW(0.01),
    "rmsprop": lambda: RMSprop(OneCycle(0.02, 60), momentum=0.5, centered=True),
    "adagrad": lambda: Adagrad(0.05),
}


def data():
    rng = np.random.default_rng(11)
    return rng.random((44, 8, 8)), rng.integers(0, 3, 44)


def callbacks(folder, scheduled):
    """Return callbacks that remember: files of each epoch and of the best, a log, and changes of the rate."""
    made = [
        ModelCheckpoint(f"{folder}/every-{{epoch}}"),
        ModelCheckpoint(f"{folder}/best", save_best_only=True),
        EarlyStopping(patience=5, restore_best_weights=True),
        CSVLogger(f"{folder}/log.csv"),
    ]
    return made if scheduled else [*made, ReduceLROnPlateau(patience=1, factor=0.5, monitor="val_loss")]


def train(made, folder, epochs=EPOCHS, first=0):
    x, y = data()
    watchers = callbacks(folder, made.optimizer.schedule is not None)
    return made.fit(x, y, epochs, 8, initial_epoch=first, validation_split=0.25, callbacks=watchers, verbose=0)


def state(made):
    """Return everything that the next epoch depends on and all that was recorded but for times, comparable."""
    return {
        "weights": [weight.tobytes() for weight in made.get_weights()],
        "slots": {name: slot.tobytes() for name, slot in made.optimizer.slots.items()},
        "updates": (made.optimizer.updates, made.optimizer.lr),
        "statistics": [int(p.updates[0]) for p in made.parameters if p.updates is not None],
        "generator": made._rng.bit_generator.state,
        "draws": made._randomness.state.tolist(),
        "epochs": made.epochs_done,
        "history": None if made.history is None else (made.history.epoch, repr(made.history.history)),
    }


if __name__ == "__main__":  # go on from a file: path, folder of the callbacks, path to save to
    loaded = GWUNetwork.load(sys.argv[1])
    train(loaded, sys.argv[2], first=loaded.epochs_done)
    loaded.save(sys.argv[3])
