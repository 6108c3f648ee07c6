"""The program that `test_mpi` starts on several ranks: trains, fails, recovers, and writes down the results.

mpiexec -n 4 python -m mpi4py tests/support/mpi_program.py FOLDER
"""

import os
import signal
import sys

import numpy as np

from gwucnn import BatchNormalization, Dense, Dropout, Flatten, GWUNetwork
from trainees import deep, deep_data, small, small_data, weights

EPOCHS, BATCH = 7, 8  # of 24 images: 21 batches


def trained(team=None, optimizer="sgd", lr=0.5, **options):
    """Return weights and losses of a network without layers that differ from rank to rank."""
    network = deep(optimizer=optimizer, lr=lr)
    x, y = deep_data(np.random.default_rng(5))
    weight = np.arange(len(x)) % 5
    history = network.fit(x, y, EPOCHS, BATCH, sample_weight=weight, distributed=team, verbose=0, **options)
    return weights(network), history.history["loss"]


def drawing(team=None):
    """Return weights and numbers of draws of a network with layers that do."""
    layers = [Flatten(), BatchNormalization(), Dropout(0.3), Dense(3, True, "softmax")]
    network = GWUNetwork(layers, seed=3)
    network.compile("cross_entropy", optimizer="adam", global_clipnorm=0.5)
    network.fit(*small_data(np.random.default_rng(5)), 4, 6, validation_split=0.3, distributed=team, verbose=0)
    return weights(network), [network._randomness.draws]


def failing(team, error):
    """Return what all come to see where the last rank raises an error after its second epoch."""

    def fail(record):
        if record["epoch"] == 1 and team.rank == team.size - 1:
            error()

    try:
        small().fit(*small_data(np.random.default_rng(5)), 9, 6, callbacks=[fail], distributed=team, verbose=0)
    except BaseException as caught:
        return f"{type(caught).__name__}: {caught}"
    return "nothing"


def not_finite(team):
    """Return what all come to see where numbers of the last rank's images are not finite."""
    x, y = np.random.default_rng(5).random((20, 36)), np.arange(20) % 3
    x[-1] = 1e308
    network = GWUNetwork([Dense(3, True, "softmax")], precision="float64", seed=1)
    network.compile("cross_entropy")
    network.build(36)
    before = weights(network)
    try:
        network.fit(x, y, batch_size=20, shuffle=False, distributed=team)
    except FloatingPointError as caught:
        return f"{(before == weights(network)).all()}: {caught}"
    return "nothing"


def torn():
    raise OSError("torn page")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def main(folder):
    from gwucnn.distributed import DataParallel

    team = DataParallel()
    found = {
        name: part
        for name, pair in {
            "plain": trained(team),
            "adam": trained(team, "adam", 0.01),
            "drawing": drawing(team),
            "again": drawing(team),
        }.items()
        for name, part in zip((f"{name} weights", f"{name} numbers"), pair, strict=True)
    }
    found |= {
        "size": team.size,
        "error": failing(team, torn),
        "interrupted": failing(team, interrupt),
        "not finite": not_finite(team),
        "afterwards": trained(team)[0],
    }
    np.savez(os.path.join(folder, f"{team.rank}.npz"), **found)


if __name__ == "__main__":
    main(sys.argv[1])
