"""Things that watch training, epoch by epoch, and may stop it.

A callback is any function of an epoch's record, a dict with `epoch` (from 0), `loss`, `accuracy`, `val_loss`,
`val_accuracy`, `lr` and `seconds`, as far as they exist; or an object that has any of the methods
`set_network(network)`, `on_train_begin()`, `on_epoch_end(record)`, `on_train_end()`. An answer True stops
training.

    network.fit(x, y, epochs=50, callbacks=[lambda record: record['accuracy'] > 0.99])

One that remembers something from epoch to epoch has besides `state()`, a dict of numbers, texts, None and
lists of arrays, and `restore(state)`, which makes the next run go on from there.

Where several processes train one network (`gwucnn.distributed`), each calls its callbacks, with the same
records; but only rank 0 calls those with an attribute `writes` that is true, such as ModelCheckpoint and
CSVLogger.
"""

from gwucnn.callbacks.checkpoint import ModelCheckpoint
from gwucnn.callbacks.csv_log import CSVLogger
from gwucnn.callbacks.functions import LambdaCallback
from gwucnn.callbacks.history import History
from gwucnn.callbacks.learning_rate import ReduceLROnPlateau
from gwucnn.callbacks.stopping import EarlyStopping

__all__ = ["CSVLogger", "EarlyStopping", "History", "LambdaCallback", "ModelCheckpoint", "ReduceLROnPlateau"]
