"""Memory that the arrays of a pass use one after the other."""

import numpy as np

import graphs
from compare import assert_exact
from gwucnn import SGD
from gwucnn.memory import Pool, Space

F4 = np.dtype("float32")


def test_what_nobody_holds_is_lent_again():
    pool = Pool()
    a = pool.take(100, F4)
    pool.hold(a[:60].reshape(6, 10))
    pool.settle()
    b = pool.take(50, F4)
    assert not np.shares_memory(a, b)
    pool.hold(b)
    pool.settle()
    pool.drop(a.reshape(10, 10))
    c = pool.take(80, F4)
    assert np.shares_memory(a, c)
    d = pool.take(1, F4)  # nothing is free
    assert not any(np.shares_memory(d, other) for other in (a, b))


def test_the_smallest_that_fits_is_lent():
    pool = Pool()
    large, small = pool.take(100, F4), pool.take(10, F4)
    pool.settle()  # nobody holds them
    assert np.shares_memory(pool.take(8, F4), small)
    assert np.shares_memory(pool.take(11, F4), large)
    assert pool.take(5, np.dtype("float64")).dtype == "float64"


def test_several_holders():
    pool = Pool()
    a = pool.take(4, F4)
    for _ in range(2):
        pool.hold(a)
    pool.settle()
    pool.drop(a)
    assert not np.shares_memory(pool.take(4, F4), a)
    pool.drop(a)
    assert np.shares_memory(pool.take(4, F4), a)


def test_memory_of_an_earlier_pass_is_never_lent_again():
    pool = Pool()
    a = pool.take(100, F4)
    pool.begin()
    assert not np.shares_memory(pool.take(10, F4), a)
    other = np.zeros(3)
    pool.hold(other)
    pool.drop(other)  # not the pool's: nothing happens


def test_which_arrays_share_memory():
    """Those that only the next steps read, by their names; in inference what forward returns too."""
    for follows, shared in ((False, {"y", "y 2", "dx", "dz", "dx sum"}), (True, {"dx", "dz", "dx sum"})):
        for name in ("y", "y 2", "dx", "dz", "dx sum", "yes", "mask", "before activation"):
            pool = Pool()
            space = Space(F4, backward_follows=follows, pool=pool)
            first = space.array(name, (3, 4))
            pool.settle()
            assert np.shares_memory(first, pool.take(12, F4)) == (name in shared), name
    pool = Pool()
    space = Space(F4, pool=pool)
    kept = space.array("dz", (5,))
    space.keep(kept)
    pool.settle()
    assert not np.shares_memory(kept, pool.take(5, F4))


def sizes(network):
    """Return the bytes of all distinct memory that the spaces of training hold."""
    owners = {}
    for space in network._engine.workspaces.current_training.spaces:
        for memory in space._memory.values():
            owners[id(memory if memory.base is None else memory.base)] = memory.nbytes
    return sum(owners.values())


def test_gradients_share_memory_in_training(rng):
    network = graphs.network(graphs.residual, shape=(24, 24, 2))
    network.compile("cross_entropy", optimizer=SGD(0.1))
    network.train_on_batch(rng.standard_normal((8, 24, 24, 2)), rng.integers(0, 3, 8))
    spaces = network._engine.workspaces.current_training.spaces
    gradients = [space._memory[name] for space in spaces for name in space._memory if name.startswith(("dx", "dz"))]
    apart = {id(memory.base) for memory in gradients}
    assert len(gradients) >= 4 and len(apart) < len(gradients)
    assert sizes(network) < sum(m.nbytes for space in spaces for m in space._memory.values())


def test_batches_that_grow_and_shrink_compute_the_same(rng):
    """Memory is planned anew for larger batches, and the plan of the first ones serves smaller ones."""
    for part in graphs.PARTS:
        network, alone = graphs.network(part), graphs.network(part, fuse=False)
        for n in (2, 5, 3, 9, 1, 9, 4):
            x = rng.standard_normal((n, *graphs.SHAPE)).astype(np.float32)
            got = network.predict(x)
            np.testing.assert_allclose(got, alone.activations(x)[-1], atol=1e-5)
            assert_exact(network.predict(x), got, np.float32)
