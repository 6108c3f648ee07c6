"""The state of a network as a document with arrays, from which `restoring.py` creates the network again.

Weights are named by layer and parameter, '0.Conv2D.kernel', and whatever belongs to one is named after it:
'optimizer.m.0.Conv2D.kernel', 'updates.1.BatchNormalization.moving_mean'. A document names the user's own classes and
functions, and does not contain them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from gwucnn._version import __version__
from gwucnn.callbacks.history import History
from gwucnn.common import from_config, to_config
from gwucnn.layers.base import CLASSES, Layer, layer_config, leaves
from gwucnn.loss_functions import FunctionLoss, JointLoss, loss_function
from gwucnn.optimizers import optimizer

__all__ = ["OPTIONS", "names_of", "own_classes", "own_functions", "slots_of", "to_document"]

OPTIONS = ("data_format", "precision", "seed", "fuse", "winograd")


def _every_layer(layers: Any) -> Iterator[Layer]:
    """Yield these layers and all layers inside them."""
    for layer in layers:
        yield layer
        yield from _every_layer(layer.children)


def names_of(network: Any) -> dict[str, Any]:
    """Return all parameters by name."""
    labels: dict[int, str] = {}
    for number, top in enumerate(network.layers):
        for leaf in leaves(top):
            # By its place in this network: a layer that another one shares has a label of that one.
            label = f"{number}.{type(top).__name__}{leaf.label[len(top.label) :]}"
            labels |= {id(parameter): label for parameter in leaf.parameters}
    named: dict[str, Any] = {}
    for layer in network.layers:
        for parameter in layer.parameters:
            name = f"{labels.get(id(parameter), layer.label)}.{parameter.name}"
            named[f"{name}.{len(named)}" if name in named else name] = parameter
    return named


def own_functions(network: Any) -> dict[str, Any]:
    """Return the user's functions that the network was compiled with, as loss and as metrics, by name."""
    recipe = network._compiled
    if recipe is None:
        return {}
    losses = [loss.function for loss in _losses(recipe.loss) if isinstance(loss, FunctionLoss)]
    reported = recipe.metrics if not isinstance(recipe.loss, JointLoss) else chain.from_iterable(recipe.metrics)
    functions = [*losses, *(metric for metric in reported if not isinstance(metric, str))]
    return {function.__name__: function for function in functions}


def _losses(loss: Any) -> tuple[Any, ...]:
    """Return the loss of each output."""
    return loss.losses if isinstance(loss, JointLoss) else (loss,)


def own_classes(network: Any) -> list[type]:
    """Return the user's own classes that the document of this network names."""
    recipe = network._compiled
    layers = list(_every_layer(network.layers))
    things = [*layers, *(layer.split_activation()[1] for layer in layers)]
    things += [] if recipe is None else [*_losses(recipe.loss), recipe.optimizer, recipe.optimizer.schedule]
    kinds = [thing if isinstance(thing, type) else type(thing) for thing in things]
    package = __name__.partition(".")[0]
    return [kind for kind in dict.fromkeys(kinds) if kind.__module__.partition(".")[0] not in (package, "builtins")]


def to_document(caller: str, network: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the document and the arrays of a network.

    Raises TypeError or ValueError for a user's own layers and losses that could not be recreated.
    """
    names, arrays, engine = names_of(network), {}, network._engine
    trained = [] if engine is None else engine.arena.trained
    for name, parameter in names.items():
        if parameter.constant is not None:
            arrays[name] = parameter.constant
        if parameter.updates is not None:
            arrays[f"updates.{name}"] = parameter.updates
    document = {
        "gwucnn": __version__,
        "network": {option: getattr(network, option) for option in OPTIONS},
        "layers": [_layer(caller, layer) for layer in network.layers],
        "graph": network._layer_row.description(),
        "input_shape": network._layer_row.in_shape,
        "built": engine is not None,
        "weights": [
            {"name": name, "trainable": p.trainable, "trained": any(p is other for other in trained)}
            for name, p in names.items()
        ],
        "compiled": _recipe(caller, network, names, arrays),
        "random": _random(network),
        "epochs": network.epochs_done,
        "history": _history(caller, network.history),
        "callbacks": network._callback_states(),
    }
    if network._range.trained is not None:
        document["trained_on"] = network._range.trained.document()
    return document, arrays


def _layer(caller: str, layer: Layer) -> dict[str, Any]:
    """Return the config of a layer, after checking that the layer can be recreated from it."""
    for each in _every_layer([layer]):
        kind, held = type(each), CLASSES.get(type(each).__name__)
        if not _same(held, kind):
            raise ValueError(
                f"{caller}: expected {each.label} to be of a class with a name of its own, got one beside "
                f"{held!r}; call it something else"
            )
        takes = len(inspect.signature(kind.__init__).parameters) > 1 and kind.__init__ is not object.__init__
        if kind.config is Layer.config and takes:
            raise TypeError(
                f"{caller}: expected {each.label} to define config(), got none; return the constructor's "
                "arguments from it, so that the layer can be recreated"
            )
    found = layer_config(layer)
    try:
        recreated = from_config(caller, "a layer", found, CLASSES)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{caller}: expected arguments of which {layer.label} can be recreated, got {found['config']!r} "
            f"from its config(), and that raises {error}"
        ) from error
    if recreated.split_activation()[1] is not layer.split_activation()[1]:
        raise ValueError(
            f"{caller}: expected the activation of {layer.label} to have a name of its own, got that of another "
            "function; give its class another `name`"
        )
    return found


def _recipe(caller: str, network: Any, names: Mapping[str, Any], arrays: dict[str, Any]) -> Any:
    if network._compiled is None:
        return None
    loss, chosen, metrics, clipnorm = network._compiled
    joint = isinstance(loss, JointLoss)
    losses = [{"function": one.name} if isinstance(one, FunctionLoss) else to_config(one) for one in _losses(loss)]
    found = {
        "loss": losses if joint else losses[0],
        "optimizer": to_config(chosen),
        "metrics": [_metrics(of_it) for of_it in metrics] if joint else _metrics(metrics),
        "global_clipnorm": clipnorm,
        "lr": chosen.lr,
        "updates": chosen.updates,
    }
    if joint:
        found["loss_weights"] = list(loss.weights)
    for one, config in zip(_losses(loss), losses, strict=True):
        _check_recipe(caller, config, found["optimizer"], (one, chosen, chosen.schedule))
    if network._engine is not None:
        for slot, name, part in slots_of(network, names):
            arrays[f"optimizer.{slot}.{name}"] = part
    return found


def _metrics(metrics: Any) -> list[Any]:
    return [metric if isinstance(metric, str) else {"function": metric.__name__} for metric in metrics]


def _check_recipe(caller: str, loss_config: Any, optimizer_config: Any, things: tuple[Any, ...]) -> None:
    """Raise an error unless loss, optimizer and schedule can be recreated from their configs."""
    try:
        chosen = optimizer(optimizer_config, None)
        loss = things[0] if isinstance(things[0], FunctionLoss) else loss_function(loss_config)
        copies = loss, chosen, chosen.schedule
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{caller}: expected a loss and an optimizer that can be recreated, got {things[:2]}, and that "
            f"raises {error}"
        ) from error
    for recreated, thing in zip(copies, things, strict=True):
        if not _same(type(recreated), type(thing)):
            raise ValueError(
                f"{caller}: expected {thing!r} to be of a class with a name of its own, got one beside "
                f"{type(recreated)!r}; call it something else"
            )


def _same(kind: type | None, other: type) -> bool:
    """Whether these are the same class, or the same one defined again, as by running a notebook cell twice."""
    return kind is not None and (kind.__module__, kind.__qualname__) == (other.__module__, other.__qualname__)


def slots_of(network: Any, names: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the state of the optimizer: slot, name of a parameter, and the part of the slot that belongs to it."""
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


def _history(caller: str, history: History | None) -> Any:
    if history is None:
        return None
    history.check(caller)
    return {
        "records": {name: np.asarray(values, np.float64) for name, values in history.history.items()},
        "epoch": np.asarray(history.epoch, np.int64),
        "seconds": np.asarray(history.seconds, np.float64),
    }
