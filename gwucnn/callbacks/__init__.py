"""Callbacks: they are called after every epoch or batch, and may stop training.

A callback is a function of an epoch's record, or an object with any of the methods `set_network(network)`,
`on_train_begin()`, `on_epoch_begin(epoch)`, `on_batch_begin(batch)`, `on_batch_end(record)`,
`on_epoch_end(record)` and `on_train_end()`. Epochs, and the batches of each epoch, are counted from 0. The record is a
dict with `epoch`, `loss`, `accuracy`, `val_loss`, `val_accuracy`, `lr` and `seconds`, as far as they exist. Training
stops if the function or `on_epoch_end` returns True; the answers of other hooks are ignored.

    network.fit(x, y, epochs=50, callbacks=[lambda record: record['accuracy'] > 0.99])

The record of a batch is a dict with `batch`, its number, `batch_loss`, its loss before the update, and, as in Keras,
the `loss` and the metrics of the epoch so far. With hooks for batches, `fit` returns to Python after each batch, which
makes small networks slower; without them nothing is computed. Weights are the same either way.

    losses = []
    network.fit(x, y, callbacks=[LambdaCallback(on_batch_end=lambda record: losses.append(record['batch_loss']))])

A callback with state that matters from epoch to epoch also has `state()`, which returns a dict of numbers, strings,
None and lists of arrays, and `restore(state)`, after which the next run continues from there. The state is saved with
the network.

In data-parallel training (`gwucnn.distributed`) every process calls its callbacks, with the same records; the record of
a batch is that of the process's own share. Callbacks whose attribute `writes` is true, such as ModelCheckpoint and
CSVLogger, are called on rank 0 only.

Each public callback has a file here; `calling.py` checks and calls all of them, and `state.py` checks states from
files.
"""

from gwucnn.callbacks.checkpoint import ModelCheckpoint
from gwucnn.callbacks.csv_log import CSVLogger
from gwucnn.callbacks.functions import LambdaCallback
from gwucnn.callbacks.history import History
from gwucnn.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from gwucnn.callbacks.stopping import EarlyStopping

__all__ = [
    "CSVLogger",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
]
