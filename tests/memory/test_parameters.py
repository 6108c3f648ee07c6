"""All weights of a network lie in one array: first the trainable ones, then the rest."""

import numpy as np

from gwucnn.initializers import zeros
from gwucnn.memory.parameters import Arena, Parameter


def declared(*sizes, trainable=()):
    return [Parameter(f"weight {number}", shape, zeros, number in trainable) for number, shape in enumerate(sizes)]


def test_a_declared_parameter_has_no_arrays():
    parameter = Parameter("kernel", (3, 3, 1, 2), zeros)
    assert (parameter.size, parameter.trainable) == (18, True)
    assert parameter.value is None and parameter.grad is None
    assert repr(parameter) == "Parameter('kernel', (3, 3, 1, 2))"


def test_values_and_gradients_are_views(dtype):
    first, second = parameters = declared((2, 3), (4,), trainable=(0, 1))
    arena = Arena(parameters, dtype)
    assert arena.values.dtype == arena.grads.dtype == dtype
    assert (arena.values.size, arena.trainable) == (10, 10)
    first.value[...] = 1
    second.grad[...] = 2
    np.testing.assert_array_equal(arena.values, [1] * 6 + [0] * 4)
    np.testing.assert_array_equal(arena.grads, [0] * 6 + [2] * 4)
    assert first.value.shape == (2, 3) and second.grad.shape == (4,)
    assert not np.shares_memory(arena.values, arena.grads)


def test_trainable_ones_come_first_in_their_order():
    parameters = declared((1,), (2,), (3,), (4,), trainable=(1, 3))
    arena = Arena(parameters, "float64")
    for number, parameter in enumerate(parameters):
        parameter.value[...] = number
    np.testing.assert_array_equal(arena.values, [1] * 2 + [3] * 4 + [0] + [2] * 3)
    assert arena.trainable == 6


def test_a_new_arena_takes_values_along():
    parameters = declared((2,), (3,), trainable=(0, 1))
    old = Arena(parameters, "float64")
    old.values[...] = np.arange(5)
    old.grads[...] = 7
    added = Parameter("bias", (2,), zeros)
    new = Arena([*parameters, added], "float64")
    np.testing.assert_array_equal(new.values, [0, 1, 2, 3, 4, 0, 0])
    assert not new.grads.any()
    parameters[0].value[...] = -1
    assert old.values[0] == 0, "the old arena is left behind, not shared"


def test_an_arena_is_outdated_once_a_parameter_is_frozen_or_freed():
    parameters = declared((2,), (2,), (3,), trainable=(0, 1))
    arena = Arena(parameters, "float64")
    parameters[0].trainable = True
    assert not arena.outdated
    parameters[1].trainable = False
    assert arena.outdated
    assert not Arena(parameters, "float64").outdated


def test_the_largest_begins_a_cache_line(dtype):
    for before in range(20):
        sizes = {"a": before, "largest": 100, "b": 3}
        parameters = [Parameter(name, (size,), zeros) for name, size in sizes.items()]
        Arena(parameters, dtype)
        largest = parameters[1]
        for array in (largest.value, largest.grad):
            assert array.__array_interface__["data"][0] % 64 == 0
            assert not array.any()


def test_no_parameters_and_empty_ones():
    assert Arena([], "float32").values.shape == (0,)
    empty, one = declared((0, 3), (1,), trainable=(0, 1))
    assert Arena([empty, one], "float32").trainable == 1
    assert empty.value.shape == (0, 3)
