"""The built-in callbacks: when they act, which arguments they reject, and that they resume from a saved state."""

import csv
import json
import os
import re

import numpy as np
import pytest

from gwucnn import (
    CSVLogger,
    EarlyStopping,
    ExponentialDecay,
    GWUNetwork,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from gwucnn.common.errors import NotBuiltError
from trainees import small, small_data, weights


@pytest.fixture
def data(rng):
    return small_data(rng)


class Net:
    """Stands for a network: one weight, a learning rate, and a list of where it was saved."""

    def __init__(self, lr=1.0):
        self.weight, self.optimizer, self.saved = 0.0, self if lr else None, []
        self.lr = lr

    def get_weights(self):
        return [np.array(self.weight)]

    def set_weights(self, given):
        self.weight = float(given[0])

    def save(self, path):
        self.saved.append(path)


def run(callback, values, name="val_loss", net=None):
    """Feed one value an epoch; return the number of epochs until it stops, and the network."""
    net = net or Net()
    callback.set_network(net)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        net.weight = float(epoch)
        if callback.on_epoch_end({"epoch": epoch, "loss": 0.0, name: value}):
            break
    if hasattr(callback, "on_train_end"):
        callback.on_train_end()
    return epoch + 1, net


# ---------------------------------------------------------------------------------------------- EarlyStopping

NAN = float("nan")

STOPPING = [
    # arguments, name, values, epochs that run, epoch whose weights are left
    ({}, "val_loss", [3, 2, 1, 2, 0], 4, 2),
    ({"patience": 1}, "val_loss", [3, 2, 1, 2, 0], 4, 2),
    ({"patience": 2}, "val_loss", [3, 2, 1, 2, 0], 5, 4),
    ({"patience": 2}, "val_loss", [3, 2, 2, 2, 2, 0], 4, 1),
    ({"patience": 3}, "val_loss", [3, 4, 4, 2, 3, 3, 3, 0], 7, 3),
    ({"patience": 5}, "val_loss", [3, 4], 2, 0),
    ({"min_delta": 0.5}, "val_loss", [3, 2.6], 2, 0),
    ({"min_delta": 0.5, "patience": 2}, "val_loss", [3, 2.6, 2.4], 3, 2),
    ({"monitor": "val_accuracy"}, "val_accuracy", [0.1, 0.2, 0.2], 3, 1),
    ({"monitor": "accuracy", "mode": "min"}, "accuracy", [0.3, 0.2, 0.2], 3, 1),
    ({"monitor": "score", "mode": "max"}, "score", [1, 2, 1], 3, 1),
    ({"monitor": "val_top_k_accuracy"}, "val_top_k_accuracy", [0.1, 0.2, 0.1], 3, 1),
    ({"restore_best_weights": False}, "val_loss", [3, 2, 1, 2], 4, 3),
    ({"patience": 2}, "val_loss", [NAN, 2, NAN, 1, NAN, NAN], 6, 3),
    ({"start_from_epoch": 2}, "val_loss", [1, 2, 4, 3, 4, 0], 5, 3),
    ({"start_from_epoch": 2, "patience": 2}, "val_loss", [1, 2, 4, 5, 5, 0], 5, 2),
    ({"start_from_epoch": 9}, "val_loss", [1, 2, 3], 3, 2),
]  # fmt: skip


@pytest.mark.parametrize(("options", "name", "values", "epochs", "left"), STOPPING)
def test_early_stopping(options, name, values, epochs, left):
    stopping = EarlyStopping(**options)
    for _ in range(2):  # the second time as if nothing had been
        ran, net = run(stopping, values, name)
        assert (ran, net.weight) == (epochs, left)


def test_early_stopping_of_a_network(data):
    """The weights at the end are those after the epoch of the smallest validation loss."""
    x, y = data
    network, kept = small(lr=3.0), []
    stopping = EarlyStopping(patience=4)
    history = network.fit(
        x[:10], y[:10], epochs=40, batch_size=5, validation_data=(x[10:], y[10:]),
        callbacks=[stopping, lambda record: kept.append(weights(network))],
    ).history["val_loss"]  # fmt: skip
    best = int(np.argmin(history))
    assert len(history) == best + 1 + 4 < 40
    assert stopping.best_epoch == best and stopping.best == history[best]
    np.testing.assert_array_equal(weights(network), kept[best])
    assert (weights(network) != kept[-1]).any()


# ------------------------------------------------------------------------------------------ ReduceLROnPlateau

PLATEAUS = [
    # arguments, values, learning rates after each epoch
    ({"patience": 1}, [3, 2, 2, 2, 1], [1, 1, 0.1, 0.01, 0.01]),
    ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.25, 0.25]),
    ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3, 3, 3, 3, 3], [1, 0.5, 0.5, 0.25, 0.25]),
    ({"patience": 1, "factor": 0.5, "min_lr": 0.3}, [3, 3, 3, 3], [1, 0.5, 0.3, 0.3]),
    ({"patience": 1, "min_delta": 0.5, "factor": 0.5}, [3, 2.6, 2.4], [1, 0.5, 0.5]),
    ({"patience": 1, "mode": "max", "factor": 0.5}, [3, 4, 3], [1, 1, 0.5]),
    ({}, [3] * 12, [1] * 10 + [0.1] * 2),
]


@pytest.mark.parametrize(("options", "values", "rates"), PLATEAUS)
def test_reduce_lr_on_plateau(options, values, rates):
    net, seen = Net(), []
    callback = ReduceLROnPlateau(**options)
    callback.set_network(net)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        assert not callback.on_epoch_end({"epoch": epoch, "val_loss": value})
        seen.append(net.lr)
    assert seen == pytest.approx(rates, rel=1e-12)


def test_reduce_lr_on_plateau_of_a_network(data, capsys):
    network = small(lr=0.5)
    plateau = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9, verbose=1)
    history = network.fit(*data, epochs=3, callbacks=[plateau])
    assert history.history["lr"] == [0.5, 0.5, 0.25]
    assert network.optimizer.lr == 0.125
    assert capsys.readouterr().err == "epoch 2: lr reduced to 0.25\nepoch 3: lr reduced to 0.125\n"


def test_reduce_lr_on_plateau_beside_a_schedule(data):
    network = small()
    network.compile("cross_entropy", lr=ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(ValueError) as caught:
        network.fit(*data, callbacks=[ReduceLROnPlateau("loss")])
    assert str(caught.value) == (
        f"ReduceLROnPlateau: expected an optimizer whose lr is a number, got {network.optimizer.schedule!r}; use one of "
        "the two"
    )


# -------------------------------------------------------------------------------------------------- CSVLogger


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_csv_logger_writes_during_training(data, tmp_path):
    path, lengths = tmp_path / "log.csv", []
    history = small().fit(
        *data,
        epochs=3,
        validation_data=data,
        callbacks=[CSVLogger(path), lambda record: lengths.append(len(rows(path)))],
    )
    assert lengths == [2, 3, 4]
    history.to_csv(tmp_path / "history.csv")
    assert rows(path) == rows(tmp_path / "history.csv")


def test_csv_logger_overwrites_or_appends(data, tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    small().fit(*data, epochs=3, callbacks=[logger])
    small().fit(*data, epochs=2, callbacks=[logger])
    assert [row[0] for row in rows(path)] == ["epoch", "1", "2"]
    network = small()
    network.fit(*data, epochs=4, initial_epoch=1, callbacks=[CSVLogger(str(path), append=True)])
    assert [row[0] for row in rows(path)] == ["epoch", "1", "2", "3", "4"], "epoch 2 is there once"
    network.fit(*data, epochs=1, callbacks=[CSVLogger(tmp_path / "new.csv", append=True)])
    assert len(rows(tmp_path / "new.csv")) == 2
    with pytest.raises(
        ValueError,
        match=r"^CSVLogger: expected .*log\.csv to have the columns epoch, loss, accuracy, "
        r"val_loss, .*, got epoch, loss, accuracy, lr, seconds; give another path, or append=False$",
    ):
        network.fit(*data, validation_data=data, callbacks=[CSVLogger(path, append=True)])  # fmt: skip


def test_csv_logger_appends_after_truncated_rows(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("loss,epoch\n0.5,1\n0.2")
    logger = CSVLogger(path, append=True)
    logger.on_train_begin()
    logger.on_epoch_end({"epoch": 1, "loss": 0.25})
    assert rows(path) == [["loss", "epoch"], ["0.5", "1"], ["0.25", "2"]]
    path.write_text("")
    logger.on_train_begin()
    logger.on_epoch_end({"epoch": 1, "loss": 0.25})
    assert rows(path) == [["epoch", "loss"], ["2", "0.25"]]


def test_csv_logger_renumbers_a_file_that_counts_from_0(tmp_path):
    """So did this package once, and so does Keras."""
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n0,0.5\n1,0.4\n2,0.3\n")
    logger = CSVLogger(path, append=True)
    for _ in range(2):  # the second time, the file counts from 1
        logger.on_train_begin()
        logger.on_epoch_end({"epoch": 2, "loss": 0.25})
        assert rows(path) == [["epoch", "loss"], ["1", "0.5"], ["2", "0.4"], ["3", "0.25"]]


# ---------------------------------------------------------------------------------------- LearningRateScheduler


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.5**epoch, [1.0, 0.5, 0.25]),
        (lambda epoch, lr: lr / 2, [0.05, 0.025, 0.0125]),
        (lambda epoch, factor=3: factor * 2, [0.2, 0.4, 0.8]),
        (lambda *args: np.float32(args[1]), [np.float32(0.1)] * 3),
    ],
)
@pytest.mark.filterwarnings("ignore:fit. the loss stays")
def test_learning_rate_scheduler(schedule, rates, data):
    history = small(lr=0.1).fit(*data, epochs=3, callbacks=[LearningRateScheduler(schedule)])
    assert history.history["lr"] == pytest.approx(rates, rel=1e-12)


def test_learning_rate_scheduler_trains_with_its_rate_and_prints_it(data, capsys):
    scheduled, by_hand = small(lr=0.1), small(lr=0.3)
    scheduled.fit(*data, callbacks=[LearningRateScheduler(lambda epoch: 0.3, verbose=True)])
    by_hand.fit(*data)
    np.testing.assert_array_equal(weights(scheduled), weights(by_hand))
    assert capsys.readouterr().err == "epoch 1: lr set to 0.3\n"


def test_learning_rate_scheduler_continues_a_saved_run(data, tmp_path):
    def halve():
        return LearningRateScheduler(lambda epoch, lr: lr / 2)

    whole, part = small(), small()
    whole.fit(*data, epochs=4, callbacks=[halve()])
    part.fit(*data, epochs=2, callbacks=[halve(), ModelCheckpoint(tmp_path / "net")])
    resumed = GWUNetwork.load(tmp_path / "net")
    resumed.fit(*data, epochs=4, initial_epoch=2, callbacks=[halve()])
    assert resumed.history.history["lr"] == whole.history.history["lr"]
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_learning_rate_scheduler_with_a_wrong_answer_changes_nothing(data):
    network = small()
    network.build((6, 6))
    before = weights(network)
    for wrong in (None, 0, -1.0, float("nan"), "0.1"):
        with pytest.raises(
            ValueError, match=r"^LearningRateScheduler: expected schedule to return a positive number, got "
        ):
            network.fit(*data, callbacks=[LearningRateScheduler(lambda *_, wrong=wrong: wrong)])
    assert network.optimizer.lr == 0.1
    np.testing.assert_array_equal(weights(network), before)
    network.compile("cross_entropy", lr=ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(ValueError, match="LearningRateScheduler: expected an optimizer whose lr is a number"):
        network.fit(*data, callbacks=[LearningRateScheduler(lambda epoch: 0.1)])


# --------------------------------------------------------------------------- LambdaCallback, ModelCheckpoint


def test_lambda_callback(data):
    calls, network = [], small()
    callback = LambdaCallback(
        on_train_begin=lambda: calls.append("begin"),
        on_epoch_end=lambda record: calls.append(record["epoch"]) or record["epoch"] == 1,
        on_train_end=lambda: calls.append("end"),
        set_network=lambda given: calls.append(given is network),
        on_epoch_begin=lambda epoch: calls.append(("epoch", epoch)),
        on_batch_begin=lambda batch: calls.append(("batch", batch)),
        on_batch_end=lambda record: calls.append((record["batch"], list(record))),
    )
    assert network.fit(*data, epochs=5, batch_size=10, callbacks=[callback]).epoch == [0, 1]
    batches = [
        ("batch", 0),
        (0, ["batch", "batch_loss", "loss", "accuracy"]),
        ("batch", 1),
        (1, ["batch", "batch_loss", "loss", "accuracy"]),
    ]
    assert calls == [True, "begin", ("epoch", 0), *batches, 0, ("epoch", 1), *batches, 1, "end"]
    only = LambdaCallback(on_train_end=lambda: calls.append("only"))
    small().fit(*data, callbacks=[only])
    assert calls[-1] == "only"


def test_model_checkpoint():
    every = ModelCheckpoint("net-{epoch:02d}-{val_loss:.1f}")
    assert run(every, [3, 2, 4])[1].saved == ["net-01-3.0", "net-02-2.0", "net-03-4.0"]
    best = ModelCheckpoint("best", save_best_only=True)
    assert run(best, [3, 2, 4, 1])[1].saved == ["best"] * 3
    accurate = ModelCheckpoint("{epoch}", True, monitor="accuracy")
    assert run(accurate, [0.1, 0.3, 0.3, 0.2, 0.4], "accuracy")[1].saved == ["1", "2", "5"]


def test_a_checkpoint_is_saved_after_the_other_callbacks_have_seen_the_epoch(data):
    network, order = small(), []
    network.save = lambda path: order.append("saved")
    network.fit(*data, callbacks=[ModelCheckpoint("x"), lambda record: order.append("seen")])
    assert order == ["seen", "saved"]


# ------------------------------------------------------------------------------------------------------ state


@pytest.mark.parametrize("cut", [1, 3, 5])
@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyStopping(patience=3),
        lambda: ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1),
        lambda: ModelCheckpoint("{epoch}", save_best_only=True),
    ],
    ids=["EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"],
)
def test_resuming_from_a_state_equals_an_uninterrupted_run(make, cut):
    values = [5, 4, 6, 3, 3.5, 3.2, 9, 1, 1, 1]
    whole, net = make(), Net()
    run(whole, values, net=net)
    first, before = make(), Net()
    first.set_network(before)
    first.on_train_begin()
    for epoch in range(cut):
        before.weight = float(epoch)
        first.on_epoch_end({"epoch": epoch, "val_loss": values[epoch]})
    state = first.state()
    json.dumps({name: value for name, value in state.items() if name != "best_weights"})
    second, after = make(), Net(before.lr)
    after.weight, after.saved = before.weight, before.saved
    second.restore(state)
    second.set_network(after)
    second.on_train_begin()
    for epoch in range(cut, len(values)):
        after.weight = float(epoch)
        if second.on_epoch_end({"epoch": epoch, "val_loss": values[epoch]}):
            break
    if hasattr(second, "on_train_end"):
        second.on_train_end()
    assert (after.weight, after.lr, after.saved) == (net.weight, net.lr, net.saved)
    assert second.state() == whole.state()
    second.on_train_begin()
    assert second.state() != whole.state(), "the next run starts afresh"


def test_csv_logger_resumes_from_a_state(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    for epoch in range(3):
        logger.on_train_begin()
        logger.on_epoch_end({"epoch": epoch, "loss": 0.5})
        state = logger.state()
        logger = CSVLogger(path)
        logger.restore(state)
    assert [row[0] for row in rows(path)] == ["epoch", "1", "2", "3"]


# ----------------------------------------------------------------------------------------------- wrong uses

MISTAKES = [
    (lambda: EarlyStopping(3), TypeError, "EarlyStopping: expected monitor to be a name such as 'val_loss', got 3"),
    (lambda: EarlyStopping(patience=-1), ValueError,
     "EarlyStopping: expected patience to be an integer of at least 0, got -1"),
    (lambda: EarlyStopping(min_delta=-0.1), ValueError,
     "EarlyStopping: expected min_delta to be a number of at least 0, got -0.1"),
    (lambda: EarlyStopping(mode="minimum"), ValueError,
     "EarlyStopping: expected mode to be one of 'auto', 'min', 'max', got 'minimum'; did you mean 'min'?"),
    (lambda: EarlyStopping(patients=3), TypeError,
     "EarlyStopping: expected the arguments monitor, patience, min_delta, restore_best_weights, mode, start_from_epoch, got 'patients'; did "
     "you mean 'patience'?"),
    (lambda: ReduceLROnPlateau(factor=1.5), ValueError,
     "ReduceLROnPlateau: expected factor between 0 and 1, got 1.5; try 0.5"),
    (lambda: ReduceLROnPlateau(min_lr="0"), ValueError,
     "ReduceLROnPlateau: expected min_lr to be a number of at least 0, got '0'; write 0 without quotes"),
    (lambda: LearningRateScheduler(0.1), TypeError,
     "LearningRateScheduler: expected schedule to be a function (epoch) or (epoch, lr), got 0.1; write lambda epoch: ..."),
    (lambda: EarlyStopping(start_from_epoch=-1), ValueError,
     "EarlyStopping: expected start_from_epoch to be an integer of at least 0, got -1"),
    (lambda: LambdaCallback(), TypeError,
     "LambdaCallback: expected a function for any of on_train_begin, on_epoch_end, on_train_end, set_network, "
     "on_epoch_begin, on_batch_begin, on_batch_end, got none"),
    (lambda: LambdaCallback(on_epoch_end=3), TypeError, "LambdaCallback: expected on_epoch_end to be a function, got 3"),
    (lambda: LambdaCallback(on_batch_ends=print), TypeError,
     "LambdaCallback: expected the arguments on_train_begin, on_epoch_end, on_train_end, set_network, on_epoch_begin, "
     "on_batch_begin, on_batch_end, got 'on_batch_ends'; did you mean 'on_batch_end'?"),
    (lambda: CSVLogger("x", sep=";"), TypeError, "CSVLogger: expected the arguments path, append, got 'sep'"),
    (lambda: run(ReduceLROnPlateau(patience=0), [1, 1], net=Net(None)), NotBuiltError,
     "ReduceLROnPlateau: expected a compiled network; give it to fit(callbacks=[...])"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "message"), MISTAKES, ids=[re.sub(r"[^\w]+", "-", case[-1])[:40] for case in MISTAKES]
)
def test_wrong_callbacks(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message


@pytest.mark.parametrize("make", [CSVLogger, ModelCheckpoint])
def test_a_place_where_nothing_can_be_written_is_said_before_anything_moves(make, data, tmp_path):
    caller, network, missing = make.__name__, small(), tmp_path / "runs" / "today"
    with pytest.raises(FileNotFoundError) as caught:
        network.fit(*data, epochs=1, callbacks=[make(missing / "file")])
    assert str(caught.value) == f"{caller}: expected a folder {str(missing)!r} to save in, got none; make it first"
    with pytest.raises(IsADirectoryError) as caught:
        network.fit(*data, epochs=1, callbacks=[make(tmp_path)])
    assert str(caught.value) == (f"{caller}: expected the path of a file, got the folder {str(tmp_path)!r}; add a name")
    assert network.history.epoch == []
    makes = LambdaCallback(on_train_begin=lambda: missing.mkdir(parents=True))
    network.fit(*data, epochs=1, callbacks=[makes, make(os.fsencode(missing / "file"))])
    assert (missing / "file").stat().st_size > 0


def test_a_folder_named_by_the_record_may_come_later(data, tmp_path):
    callbacks = [
        lambda record: (tmp_path / str(record["epoch"] + 1)).mkdir(),
        ModelCheckpoint(tmp_path / "{epoch}" / "net"),
    ]
    small().fit(*data, epochs=2, callbacks=callbacks)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["net", "net"]


NAMES = "'epoch', 'loss', 'accuracy', 'lr', 'seconds'"
UNKNOWN = [
    (EarlyStopping(), f"EarlyStopping: expected monitor to be one of {NAMES}, got 'val_loss'; give fit "
     "validation_data or validation_split, or an estimator early_stopping=True"),
    (EarlyStopping("acuracy"), f"EarlyStopping: expected monitor to be one of {NAMES}, got 'acuracy'; did you mean "
     "'accuracy'?"),
    (ReduceLROnPlateau("error"), f"ReduceLROnPlateau: expected monitor to be one of {NAMES}, got 'error'"),
    (ModelCheckpoint("x", save_best_only=True, monitor="los"), f"ModelCheckpoint: expected monitor to be one of {NAMES}, got "
     "'los'; did you mean 'loss'?"),
    (ModelCheckpoint("{los}"), "ModelCheckpoint: expected filepath with names out of epoch, loss, accuracy, lr, seconds in "
     "braces, got '{los}' ('los'); write {{ for a brace itself"),
]  # fmt: skip


@pytest.mark.parametrize(("callback", "message"), UNKNOWN, ids=lambda case: type(case).__name__)
def test_an_unknown_monitor_is_said_before_anything_moves(callback, message, data):
    network = small()
    network.build((6, 6))
    before = weights(network)
    with pytest.raises(ValueError) as caught:
        network.fit(*data, callbacks=[callback])
    assert str(caught.value) == message
    np.testing.assert_array_equal(weights(network), before)


def test_an_unknown_monitor_is_said_with_the_records_names_outside_of_fit_too():
    with pytest.raises(
        ValueError,
        match="^EarlyStopping: expected monitor to be one of 'epoch', 'loss', got 'val_acc'; give fit validation_data or validation_split, or an estimator early_stopping=True$",
    ):
        EarlyStopping("val_acc").on_epoch_end({"epoch": 0, "loss": 1.0})


def test_history_of_a_run_that_was_broken_off(data):
    network = small()
    assert network.history is None

    def interrupt(record):
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network.fit(*data, epochs=5, callbacks=[interrupt])
    assert network.history.epoch == [0, 1]
    assert network.fit(*data) is network.history
