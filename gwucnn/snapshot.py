"""What a network is at a moment, as a document with arrays, and a network made from them again.

Weights are called by layer and parameter, '0.Conv2D.kernel', what belongs to one after it:
'optimizer.m.0.Conv2D.kernel', 'updates.1.BatchNormalization.moving_mean'.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gwucnn._version import __version__
from gwucnn.described import rebuilt, written
from gwucnn.errors import FormatError, NotBuiltError
from gwucnn.history import History
from gwucnn.layers.base import CLASSES, Layer, as_written, leaves
from gwucnn.loss_functions import loss_function
from gwucnn.optimizers import optimizer
from gwucnn.parameters import MANY
from gwucnn.shapes import check_size

__all__ = ["described", "own_classes", "restored"]

OPTIONS = ("data_format", "precision", "seed", "fuse", "winograd")


def _every_layer(layers: Any) -> Iterator[Layer]:
    """Yield layers, and all that they hold."""
    for layer in layers:
        yield layer
        yield from _every_layer(layer.children)


def _names(network: Any) -> dict[str, Any]:
    """Return all parameters by name."""
    homes = {id(p): leaf.label for top in network.layers for leaf in leaves(top) for p in leaf.parameters}
    named: dict[str, Any] = {}
    for layer in network.layers:
        for parameter in layer.parameters:
            name = f"{homes.get(id(parameter), layer.label)}.{parameter.name}"
            named[f"{name}.{len(named)}" if name in named else name] = parameter
    return named


def own_classes(network: Any) -> list[type]:
    """Return the classes that descriptions of this network name and that are not the package's."""
    recipe = network._compiled
    layers = list(_every_layer(network.layers))
    things = [*layers, *(layer.split_activation()[1] for layer in layers)]
    things += [] if recipe is None else [recipe.loss, recipe.optimizer, recipe.optimizer.schedule]
    kinds = [thing if isinstance(thing, type) else type(thing) for thing in things]
    package = __name__.partition(".")[0]
    return [
        kind
        for kind in dict.fromkeys(kinds)
        if kind.__module__.partition(".")[0] not in (package, "builtins")
    ]


# --------------------------------------------------------------------------------------------- writing down


def described(who: str, network: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the document and the arrays of a network.

    Raises TypeError, ValueError for layers and losses of a user's own that could not be made again.
    """
    names, arrays, engine = _names(network), {}, network._engine
    trained = [] if engine is None else engine.arena.trained
    for name, parameter in names.items():
        if parameter.constant is not None:
            arrays[name] = parameter.constant
        if parameter.updates is not None:
            arrays[f"updates.{name}"] = parameter.updates
    document = {
        "gwucnn": __version__,
        "network": {option: getattr(network, option) for option in OPTIONS},
        "layers": [_layer(who, layer) for layer in network.layers],
        "input_shape": network._stack.in_shape,
        "built": engine is not None,
        "weights": [
            {"name": name, "trainable": p.trainable, "trained": any(p is other for other in trained)}
            for name, p in names.items()
        ],
        "compiled": _recipe(who, network, names, arrays),
        "random": _random(network),
        "epochs": network.epochs_done,
        "history": _history(network.history),
        "callbacks": network._callback_states(),
    }
    return document, arrays


def _layer(who: str, layer: Layer) -> dict[str, Any]:
    """Return a layer's description, after a test that it can be made from it."""
    for each in _every_layer([layer]):
        kind, held = type(each), CLASSES.get(type(each).__name__)
        if not _same(held, kind):
            raise ValueError(
                f"{who}: expected {each.label} to be of a class with a name of its own, got one beside "
                f"{held!r}; call it something else"
            )
        takes = len(inspect.signature(kind.__init__).parameters) > 1 and kind.__init__ is not object.__init__
        if kind.config is Layer.config and takes:
            raise TypeError(
                f"{who}: expected {each.label} to define config(), got none; return the constructor's "
                "arguments from it, so that the layer can be made again"
            )
    found = as_written(layer)
    try:
        twin = rebuilt(who, "a layer", found, CLASSES)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{who}: expected arguments of which {layer.label} can be made again, got {found['config']!r} "
            f"from its config(), and that raises {error}"
        ) from error
    if twin.split_activation()[1] is not layer.split_activation()[1]:
        raise ValueError(
            f"{who}: expected the activation of {layer.label} to have a name of its own, got that of another "
            "function; give its class another `name`"
        )
    return found


def _recipe(who: str, network: Any, names: Mapping[str, Any], arrays: dict[str, Any]) -> Any:
    if network._compiled is None:
        return None
    loss, moves, metrics, clipnorm = network._compiled
    found = {
        "loss": written(loss),
        "optimizer": written(moves),
        "metrics": list(metrics),
        "global_clipnorm": clipnorm,
        "lr": moves.lr,
        "updates": moves.updates,
    }
    _check_recipe(who, found, (loss, moves, moves.schedule))
    if network._engine is not None:
        for slot, name, part in _slots(network, names):
            arrays[f"optimizer.{slot}.{name}"] = part
    return found


def _check_recipe(who: str, found: Mapping[str, Any], things: tuple[Any, ...]) -> None:
    """Raise an error unless loss, optimizer and schedule can be made of their descriptions."""
    try:
        moves = optimizer(found["optimizer"], None)
        twins = loss_function(found["loss"]), moves, moves.schedule
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{who}: expected a loss and an optimizer that can be made again, got {things[:2]}, and that "
            f"raises {error}"
        ) from error
    for twin, thing in zip(twins, things, strict=True):
        if not _same(type(twin), type(thing)):
            raise ValueError(
                f"{who}: expected {thing!r} to be of a class with a name of its own, got one beside "
                f"{type(twin)!r}; call it something else"
            )


def _same(kind: type | None, other: type) -> bool:
    """Whether these are one class, or one that was defined anew, as when a cell of a notebook runs again."""
    return kind is not None and (kind.__module__, kind.__qualname__) == (other.__module__, other.__qualname__)


def _slots(network: Any, names: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield what the optimizer remembers: slot, name of a parameter, and its part of the slot."""
    name_of = {id(parameter): name for name, parameter in names.items()}
    for slot, flat in network.optimizer.slots.items():
        for parameter, part in network._engine.arena.parts(flat):
            yield slot, name_of[id(parameter)], part


def _random(network: Any) -> Any:
    generator = network._generator
    if generator is None:
        return None
    seed = generator.bit_generator.seed_seq
    entropy = seed.entropy if isinstance(seed.entropy, int) else [int(word) for word in seed.entropy]
    return {
        "entropy": entropy,
        "generator": generator.bit_generator.state,
        "draws": [int(number) for number in network._randomness.state],
    }


def _history(history: History | None) -> Any:
    if history is None:
        return None
    return {
        "records": {name: np.asarray(values, np.float64) for name, values in history.history.items()},
        "epoch": np.asarray(history.epoch, np.int64),
        "seconds": np.asarray(history.seconds, np.float64),
    }


# -------------------------------------------------------------------------------------------- making again


def restored(who: str, document: Any, arrays: dict[str, Any], make: Callable[..., Any]) -> Any:
    """Return the network that `described` wrote down; `make(options)` makes one without layers.

    Raises FormatError for anything that does not belong to a network, or not to this one.
    """
    try:
        return _restored(document, arrays, make)
    except Exception as error:
        # Of any kind: classes of the user's own are asked too.
        kind = (
            "" if isinstance(error, (NotBuiltError, TypeError, ValueError)) else f"{type(error).__name__}: "
        )
        raise FormatError(f"{who}: {kind}{error}") from error


def _restored(document: Any, arrays: dict[str, Any], make: Callable[..., Any]) -> Any:
    options = _part(document, "network", dict)
    if options.keys() != set(OPTIONS):
        raise ValueError(f"expected the options {', '.join(OPTIONS)}, got {', '.join(options)}")
    network = make(options)
    for number, layer in enumerate(_part(document, "layers", list)):
        if _part(layer, "class_name", str) not in CLASSES:
            raise ValueError(
                f"expected layer {number} to be of a class that is known, got {layer['class_name']!r}; "
                "define or import it first"
            )
        network.add(rebuilt("add", "a layer", layer, CLASSES))
    shape = _part(document, "input_shape", list, None)
    if shape is not None:
        network._stack.start(tuple(check_size("input_shape", "each length", length) for length in shape))
    names, recipe = _names(network), _part(document, "compiled", dict, None)
    entries = _take_weights(network, names, _part(document, "weights", list), arrays)
    if recipe is not None:
        network.compile(
            _part(recipe, "loss", dict),
            optimizer=_part(recipe, "optimizer", dict),
            metrics=_part(recipe, "metrics", list),
            global_clipnorm=_part(recipe, "global_clipnorm", float, None),
        )
    if _part(document, "built", bool):
        _build(network, names, entries)
    if recipe is not None:
        _resume(network, names, recipe, arrays)
    _put_back_random(network, _part(document, "random", dict, None))
    if arrays:
        raise ValueError(f"expected arrays of this network only, got {', '.join(sorted(arrays))} besides")
    network._put_back(
        check_size("epochs", "their number", _part(document, "epochs", int), 0),
        _history_again(_part(document, "history", dict, None)),
        [
            (_part(entry, "class_name", str), _part(entry, "state", dict))
            for entry in _part(document, "callbacks", list)
        ],
    )
    return network


def _part(document: Any, key: str, *kinds: Any) -> Any:
    """Return document[key] if it is of one of these types; None stands for None."""
    if not isinstance(document, dict) or key not in document:
        raise ValueError(f"expected a description with {key!r}, got {str(document)[:60]}")
    value = document[key]
    if not any(value is None if kind is None else type(value) is kind for kind in kinds):
        wanted = " or ".join("null" if kind is None else kind.__name__ for kind in kinds)
        raise ValueError(f"expected {key!r} to be {wanted}, got {str(value)[:60]}")
    return value


def _array(arrays: dict[str, Any], name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Take out an array that has to be there, in this shape and dtype."""
    if name not in arrays:
        raise ValueError(f"expected an array {name!r}, got none")
    array = arrays.pop(name)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"expected {name!r} to be {np.dtype(dtype).name} of shape {shape}, got {array.dtype.name} of "
            f"shape {array.shape}"
        )
    return array


def _take_weights(
    network: Any, names: Mapping[str, Any], entries: list[Any], arrays: dict[str, Any]
) -> list[Any]:
    """Give the parameters their values, as far as there are any; return the entries, checked."""
    found = [_part(entry, "name", str) for entry in entries]
    if found != list(names):
        raise ValueError(f"expected the weights {', '.join(names)}, got {', '.join(found)}")
    for name, parameter in names.items():
        if name in arrays:
            parameter.value = _array(arrays, name, parameter.shape, network._dtype)
        if parameter.updates is not None:
            parameter.updates[...] = _array(arrays, f"updates.{name}", (1,), np.int64)
    return entries


def _build(network: Any, names: Mapping[str, Any], entries: list[Any]) -> None:
    """Lay the weights out as they were, also where layers were frozen or freed since."""
    for entry, (name, parameter) in zip(entries, names.items(), strict=True):
        if parameter.constant is None:
            raise ValueError(f"expected an array {name!r}, got none")
        parameter.trainable = _part(entry, "trained", bool)
    network._build(network._stack.in_shape or ())
    for entry, parameter in zip(entries, names.values(), strict=True):
        parameter.trainable = _part(entry, "trainable", bool)


def _resume(network: Any, names: Mapping[str, Any], recipe: Any, arrays: dict[str, Any]) -> None:
    if network._engine is not None:
        for slot, name, part in _slots(network, names):
            part[...] = _array(arrays, f"optimizer.{slot}.{name}", part.shape, part.dtype)
    updates = check_size("updates", "their number", _part(recipe, "updates", int), 0)
    if updates > MANY:
        raise ValueError(f"expected at most {MANY} updates, got {updates}")
    network.optimizer.resume(updates, _part(recipe, "lr", float))


def _put_back_random(network: Any, random: Any) -> None:
    if random is None:
        return
    entropy, state, draws = (
        _part(random, "entropy", int, list),
        _part(random, "generator", dict),
        _part(random, "draws", list),
    )
    numbers = [_part(_part(state, "state", dict), name, int) for name in ("state", "inc")]
    numbers += [_part(state, name, int) for name in ("has_uint32", "uinteger")]
    try:
        network._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        network._generator.bit_generator.state = state
        key, count = (check_size("draws", "each", number, 0) for number in draws)
        network._randomness.put_back([key, count])
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"expected random numbers of PCG64, got {numbers} and {draws}; {error}") from error


def _history_again(kept: Any) -> History | None:
    if kept is None:
        return None
    history = History()
    history.history = {name: values.tolist() for name, values in _part(kept, "records", dict).items()}
    history.epoch, history.seconds = (_part(kept, name, np.ndarray).tolist() for name in ("epoch", "seconds"))
    return history
