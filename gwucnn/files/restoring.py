"""Creates a network from the document and arrays of `snapshot.py`.

They may come from anywhere. Every part has to exist, with the right type and the size that the layers require, and
there must be nothing else; otherwise no network is created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from gwucnn.callbacks.history import History
from gwucnn.common import FormatError, NotBuiltError, check_size, from_config
from gwucnn.data import InputStatistics
from gwucnn.files.functions import Functions
from gwucnn.files.snapshot import OPTIONS, names_of, slots_of
from gwucnn.layers.base import CLASSES
from gwucnn.layers.graphs.tensor import Input
from gwucnn.memory import MANY_UPDATES

__all__ = ["from_document"]

# Length, in characters, to which an error is cut that quotes a document of perhaps megabytes.
LONGEST_ERROR = 1800

# The keys that each part of a document has, and no others.
DOCUMENT = (
    "gwucnn", "format", "network", "layers", "graph", "input_shape", "built", "weights", "compiled", "random",
    "epochs", "history", "callbacks",
)  # fmt: skip
NOT_IN_FORMAT_1 = ("graph",)
GRAPH = ("inputs", "nodes", "outputs")
INPUT = ("shape", "name")
RECIPE = ("loss", "optimizer", "metrics", "global_clipnorm", "lr", "updates")
WEIGHT = ("name", "trainable", "trained")
STATE = ("class_name", "state")
HISTORY = ("records", "epoch", "seconds")


def from_document(
    caller: str,
    document: Any,
    arrays: dict[str, Any],
    make: Callable[..., Any],
    functions: Mapping[str, Callable[..., Any]],
) -> Any:
    """Return the network that a document from `to_document` describes; `make(options)` returns one without layers.

    functions : by their names, those of the user's that the document may name as loss and metrics. It warns if some are
    missing, and leaves out what needs them.

    Raises FormatError for anything that does not belong to a network, or not to this one.
    """
    try:
        return _restored(document, arrays, make, Functions(caller, functions))
    except MemoryError:
        raise  # not necessarily damaged: no more memory is requested than the file has bytes
    except RecursionError:
        raise FormatError(f"{caller}: expected layers nested a hundred levels deep at most, got more") from None
    except Exception as error:
        # Of any kind: constructors of the user's own classes are called too.
        expected = isinstance(error, (NotBuiltError, TypeError, ValueError))
        text = str(error) if expected else f"{type(error).__name__}: {error}"
        raise FormatError(
            f"{caller}: {text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR] + '...'}"
        ) from error


def _restored(document: Any, arrays: dict[str, Any], make: Callable[..., Any], functions: Functions) -> Any:
    trained_on = None
    if isinstance(document, dict) and "trained_on" in document:  # not in files of earlier versions
        document = dict(document)
        trained_on = InputStatistics.from_document(document.pop("trained_on"))
    if _part(document, "format", int) == 1:
        document = document | dict.fromkeys(NOT_IN_FORMAT_1)
    _part(_only("a network of", document, DOCUMENT), "gwucnn", str)
    options = _only("the options", _part(document, "network", dict), OPTIONS)
    layers = [_layer(number, entry) for number, entry in enumerate(_part(document, "layers", list))]
    graph = _part(document, "graph", dict, None)
    if graph is not None:
        inputs, outputs = _connected(layers, graph, options["data_format"])
        network = make(options, inputs=inputs, outputs=outputs)
        if network.layers != tuple(layers):
            raise ValueError("expected a graph that uses all layers in their order, got another")
    else:
        network = make(options)
        for layer in layers:
            network.add(layer)
    shape = _part(document, "input_shape", list, None)
    if shape is not None:
        network._layer_row.start(_sizes(shape))
    names, recipe = names_of(network), _part(document, "compiled", dict, None)
    if recipe is not None:
        joint = len(network._layer_row.output_names) > 1
        _only("the training settings", recipe, (*RECIPE, "loss_weights") if joint else RECIPE)
        loss = functions.loss(_part(recipe, "loss", list if joint else dict))
        metrics = functions.metrics(_part(recipe, "metrics", list), each=joint)
        functions.warn_missing()
        if loss is None:  # the network can predict, and be compiled again
            recipe = None
            for name in [name for name in arrays if name.startswith("optimizer.")]:
                del arrays[name]
    entries = _take_weights(network, names, _part(document, "weights", list), arrays)
    if recipe is not None:
        network.compile(
            loss,
            optimizer=_part(recipe, "optimizer", dict),
            metrics=metrics,
            loss_weights=recipe.get("loss_weights"),
            global_clipnorm=_part(recipe, "global_clipnorm", float, None),
        )
    if _part(document, "built", bool):
        _build(network, names, entries)
    if recipe is not None:
        _resume(network, names, recipe, arrays)
    _restore_random_state(network, _part(document, "random", dict, None))
    network._range.trained = trained_on
    if arrays:
        raise ValueError(f"expected arrays of this network only, got {_listed(sorted(arrays))} besides")
    epochs = check_size("epochs", "their number", _part(document, "epochs", int), 0)
    network._resume_from(
        epochs,
        _history_from(_part(document, "history", dict, None), epochs),
        [
            (_part(_only("a callback of", entry, STATE), "class_name", str), _part(entry, "state", dict))
            for entry in _part(document, "callbacks", list)
        ],
    )
    return network


def _sizes(shape: list[Any]) -> Any:
    """Return the shape of an input, or a tuple of the shapes of several."""
    return tuple(
        _sizes(length) if isinstance(length, list) else check_size("input_shape", "each length", length)
        for length in shape
    )


def _layer(number: int, entry: Any) -> Any:
    if _part(entry, "class_name", str) not in CLASSES:
        raise ValueError(
            f"expected layer {number} to be of a class that is known, got {entry['class_name']!r}; "
            "define or import it first"
        )
    return from_config("add", "a layer", entry, CLASSES)


def _connected(layers: list[Any], graph: Any, data_format: str) -> tuple[list[Any], list[Any]]:
    """Call the layers as they were connected; return the inputs and outputs."""
    _only("a graph of", graph, GRAPH)
    tensors = []
    for entry in _part(graph, "inputs", list):
        _only("an input of", entry, INPUT)
        shape = _part(entry, "shape", list)
        if data_format == "channels_first" and len(shape) == 3:
            shape = [shape[2], *shape[:2]]
        tensors.append(Input(shape, name=_part(entry, "name", str, None), data_format=data_format))
    count = len(tensors)
    for node in _part(graph, "nodes", list):
        if not isinstance(node, list) or len(node) != 2 or not isinstance(node[1], list):
            raise ValueError(f"expected nodes of a layer and what it reads, got {str(node)[:60]}")
        layer = layers[_below(len(layers), node[0], "the layers")]
        read = [tensors[_below(len(tensors), value, "the values before it")] for value in node[1]]
        tensors.append(layer(read if len(read) != 1 else read[0]))
    outputs = [tensors[_below(len(tensors), value, "the values")] for value in _part(graph, "outputs", list)]
    return tensors[:count], outputs


def _below(count: int, number: Any, what: str) -> int:
    """Return an index into a list of this length, or raise ValueError."""
    if type(number) is not int or not 0 <= number < count:
        raise ValueError(f"expected the number of one of {what}, below {count}, got {str(number)[:60]}")
    return number


def _only(what: str, document: Any, keys: Iterable[str]) -> Any:
    """Return a part of the document, after checking that it has exactly these keys."""
    if not isinstance(document, dict) or document.keys() != set(keys):
        got = _listed(document) if isinstance(document, dict) else str(document)[:60]
        raise ValueError(f"expected {what} {', '.join(keys)}, got {got}")
    return document


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 800 else f"{text[:797]}..."


def _part(document: Any, key: str, *kinds: Any) -> Any:
    """Return document[key] if it has one of these types, where None stands for None itself."""
    if not isinstance(document, dict) or key not in document:
        raise ValueError(f"expected a description with {key!r}, got {str(document)[:60]}")
    value = document[key]
    if not any(value is None if kind is None else type(value) is kind for kind in kinds):
        wanted = " or ".join("null" if kind is None else kind.__name__ for kind in kinds)
        raise ValueError(f"expected {key!r} to be {wanted}, got {str(value)[:60]}")
    return value


def _array(arrays: dict[str, Any], name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Remove and return an array that has to exist with this shape and dtype."""
    if name not in arrays:
        raise ValueError(f"expected an array {name!r}, got none")
    array = arrays.pop(name)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"expected {name!r} to be {np.dtype(dtype).name} of shape {shape}, got {array.dtype.name} of "
            f"shape {array.shape}"
        )
    return array


def _take_weights(network: Any, names: Mapping[str, Any], entries: list[Any], arrays: dict[str, Any]) -> list[Any]:
    """Set the values of parameters that have any; return the entries, checked."""
    found = [_part(_only("a weight of", entry, WEIGHT), "name", str) for entry in entries]
    if found != list(names):
        wanted, got = (_listed(weights) for weights in (names, found))
        raise ValueError(f"expected the weights {wanted}, got {got}")
    for name, parameter in names.items():
        if name in arrays:
            parameter.value = _array(arrays, name, parameter.shape, network._dtype)
        if parameter.updates is not None:
            updates = _array(arrays, f"updates.{name}", (1,), np.int64)
            parameter.updates[...] = check_size(f"updates.{name}", "their number", int(updates[0]), 0)
    return entries


def _build(network: Any, names: Mapping[str, Any], entries: list[Any]) -> None:
    """Lay out the weights as they were, also if layers have been frozen or unfrozen since."""
    for entry, (name, parameter) in zip(entries, names.items(), strict=True):
        if parameter.constant is None:
            raise ValueError(f"expected an array {name!r}, got none")
        parameter.trainable = _part(entry, "trained", bool)
    network._build(network._layer_row.in_shape or ())
    for entry, parameter in zip(entries, names.values(), strict=True):
        parameter.trainable = _part(entry, "trainable", bool)


def _resume(network: Any, names: Mapping[str, Any], recipe: Any, arrays: dict[str, Any]) -> None:
    if network._engine is not None:
        for slot, name, part in slots_of(network, names):
            part[...] = _array(arrays, f"optimizer.{slot}.{name}", part.shape, part.dtype)
    updates = check_size("updates", "their number", _part(recipe, "updates", int), 0)
    if updates > MANY_UPDATES:
        raise ValueError(f"expected at most {MANY_UPDATES} updates, got {updates}")
    chosen, lr = network.optimizer, _part(recipe, "lr", float)
    if chosen.schedule is None and lr != chosen.lr:
        raise ValueError(f"expected lr to be {chosen.lr}, as in {chosen!r}, got {lr}")
    chosen.resume(updates, lr)


# The entries of a generator's state, with the number of possible values of each.
PCG64 = {"bit_generator": None, "state": None, "has_uint32": 2, "uinteger": 2**32}
PCG64_STATE = {"state": 2**128, "inc": 2**128}
WORD = 2**64


def _restore_random_state(network: Any, random: Any) -> None:
    if random is None:
        return
    _only("random numbers of", random, ("entropy", "generator", "draws"))
    state = _only("a generator of", _part(random, "generator", dict), PCG64)
    if state["bit_generator"] != "PCG64":
        raise ValueError(f"expected random numbers of PCG64, got those of {str(state['bit_generator'])[:60]}")
    _numbers(_only("its state of", _part(state, "state", dict), PCG64_STATE), PCG64_STATE)
    _numbers(state, {name: count for name, count in PCG64.items() if count is not None})
    entropy, draws = _part(random, "entropy", int, list), _part(random, "draws", list)
    for word in [entropy] if isinstance(entropy, int) else entropy:
        check_size("entropy", "each number", word, 0)
    if len(draws) != 2:
        raise ValueError(f"expected 'draws' to be a key and a count, got {str(draws)[:60]}")
    _numbers(dict(enumerate(draws)), {0: WORD, 1: WORD})
    network._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    network._generator.bit_generator.state = state
    network._randomness.restore(draws)


def _numbers(found: Mapping[Any, Any], counts: Mapping[Any, int]) -> None:
    """Raise ValueError unless each entry is an integer from 0 to less than its count."""
    for name, count in counts.items():
        value = found[name]
        if type(value) is not int or not 0 <= value < count:
            raise ValueError(
                f"expected random numbers with {name!r} from 0 to less than {count}, got {str(value)[:60]}"
            )


def _history_from(kept: Any, epochs: int) -> History | None:
    """Return the history of a run after this number of epochs."""
    if kept is None:
        return None
    _only("a history of", kept, HISTORY)
    history, records = History(), _part(kept, "records", dict)
    history.epoch = _column(kept, "epoch", np.int64)
    history.seconds = _column(kept, "seconds", np.float64)
    history.history = {name: _column(records, name, np.float64) for name in records}
    history.check("history")
    if history.epoch and history.epoch[-1] >= epochs:
        raise ValueError(f"expected a history of {epochs} epochs, got number {history.epoch[-1]} in it")
    return history


def _column(kept: Any, name: str, dtype: Any) -> list[Any]:
    values = _part(kept, name, np.ndarray)
    if values.ndim != 1 or values.dtype != dtype:
        raise ValueError(
            f"expected the history's {name!r} to be a row of {np.dtype(dtype).name}, got {values.dtype.name} "
            f"of shape {values.shape}"
        )
    return values.tolist()
