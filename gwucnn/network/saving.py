"""Saving and loading: a network as a file, a pickle or a copy, and the continuation of its training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from gwucnn.callbacks.calling import Callbacks
from gwucnn.callbacks.history import History
from gwucnn.callbacks.state import check_states
from gwucnn.common import (
    FormatError,
    check_path,
    checks_arguments,
    function_name,
    set_inside,
    warn_user,
    write_atomically,
)
from gwucnn.files import (
    decode,
    encode,
    from_document,
    own_classes,
    own_functions,
    read,
    to_document,
    to_weights,
    trained_on,
    weights_from,
)
from gwucnn.layers import Layer
from gwucnn.network.base import NetworkBase
from gwucnn.network.inputs import InputValidation

__all__ = ["Savable"]

State = tuple[str, dict[str, Any]]


class Savable(InputValidation):
    """A network that can be saved and copied with everything its training needs. `GWUNetwork` adds the training."""

    # Of the whole run; up to date while `fit` runs and after it was interrupted.
    history: History | None = None
    _first_epoch = 0  # of the last call of fit
    _callbacks: Callbacks | None = None
    _loaded_states: tuple[State, ...] = ()  # states of callbacks in a loaded file, until `fit` continues the run

    @property
    def epochs_done(self) -> int:
        """The number of completed epochs: the `initial_epoch` with which `fit` continues the run."""
        done = self.history.epoch if self.history is not None else []
        return max(done[-1] + 1 if done else 0, self._first_epoch)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a single safetensors file.

        The file holds the layers and weights, and everything needed to continue training as if it had never stopped:
        loss, optimizer and its slots, counts of updates and epochs, the state of the random numbers, running
        statistics, the range of the inputs of training, the history, and the states of callbacks. Of your own classes
        and functions it holds the names; with functions, as loss or metrics, there is a warning that says how to load
        it.

        Parameters
        ----------
        path : path
            An existing file is replaced atomically: at any time there is either the old file or the new one. It may be
            the file that the network was loaded from.

        Raises
        ------
        OSError
            If the file cannot be written. The old file is left as it was.
        NotBuiltError
            If the network has no weights yet.
        TypeError, ValueError
            For layers of your own that cannot be recreated from their `config()`.

        Examples
        --------
        >>> import os, tempfile
        >>> from gwucnn import Dense, GWUNetwork
        >>> network = GWUNetwork([Dense(2, input_size=3)], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, 'net.safetensors')
        ...     network.save(path)
        ...     same = GWUNetwork.load(path)
        >>> bool((same.predict([[1, 2, 3]]) == network.predict([[1, 2, 3]])).all())
        True
        """
        path = check_path("save", "path", path)
        self._require_weights("save")
        write_atomically("save", path, encode("save", *to_document("save", self)))
        functions = ", ".join(own_functions(self))
        if functions and "functions" not in self._warned:
            self._warned.add("functions")
            warn_user(
                f"save: expected a loss and metrics that a file can hold, got functions, of which it holds the names "
                f"{functions}; load it by GWUNetwork.load(path, functions=[{functions}])"
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, functions: Iterable[Callable[..., Any]] = ()) -> Any:
        """Return the network that `save` wrote.

        Classes of layers, losses and the like are looked up by name, among the package's own and those that your
        program has defined before the call; nothing in a file is executed or imported. To continue training, pass `fit`
        the same data and callbacks, and `initial_epoch=network.epochs_done`. On the same instruction set and number of
        threads, weights and `network.history` (except for the seconds) are then bit-identical to an uninterrupted run.

        Parameters
        ----------
        path : path
        functions : list of functions
            Those that the network was compiled with as loss and metrics, found by their names. Without the loss the
            network can predict, but is not compiled; without a metric it is not reported. A warning says so.

        Raises
        ------
        FormatError
            If the file is damaged, truncated, written by a newer version of gwucnn or not a network, or needs a class
            that is not defined. The message names what was found.
        OSError
            If the file cannot be read.
        """
        path = check_path("load", "path", path)
        caller = f"load {path!r}"
        by_name = {function_name("load", "each of functions", function): function for function in functions}
        document, arrays = read(caller, path)
        if "layers" not in document and "weights" in document:
            raise FormatError(
                f"{caller}: expected a network, got weights alone; make the network and call load_weights({path!r})"
            )
        if document.get("built") is not True:
            raise FormatError(f"{caller}: expected a network with its weights, got one that is not built")
        return from_document(caller, document, arrays, cls._made, by_name)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights alone to a safetensors file: no layers, and nothing that training needs.

        For everything else see `save`. The arrays have names such as '0.Conv2D.kernel', which other programs can read.

        Parameters
        ----------
        path : path
            An existing file is replaced atomically.

        Raises
        ------
        OSError
            If the file cannot be written. The old file is left as it was.
        NotBuiltError
            If the network has no weights yet.

        Examples
        --------
        >>> import os, tempfile
        >>> from gwucnn import Dense, GWUNetwork
        >>> trained, other = (GWUNetwork([Dense(2, input_size=3)], seed=seed) for seed in (0, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, 'weights.safetensors')
        ...     trained.save_weights(path)
        ...     other.load_weights(path)
        >>> bool((other.predict([[1, 2, 3]]) == trained.predict([[1, 2, 3]])).all())
        True
        """
        path = check_path("save_weights", "path", path)
        self._require_weights("save_weights")
        write_atomically("save_weights", path, encode("save_weights", *to_weights(self)))

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Set all weights from a file that `save_weights`, or `save`, wrote for a network of the same layers.

        Weights are matched by their order, the classes of their layers and their names, and rounded if the networks
        differ in precision; layers without weights do not matter. Everything else, such as the state of the optimizer,
        stays as it is. If one weight does not fit, the network is not changed.

        Raises
        ------
        FormatError
            If the file is damaged, truncated, written by a newer version of gwucnn or holds no weights.
        ValueError, ShapeError
            If the file is for other layers. The message names the first weight that does not fit.
        NotBuiltError
            If the network has no weights yet, because its input size is not known.
        OSError
            If the file cannot be read.
        """
        path = check_path("load_weights", "path", path)
        caller = f"load_weights {path!r}"
        document, arrays = read(caller, path)
        self._require_weights("load_weights")
        inputs, weights = trained_on(caller, document), weights_from(caller, document, arrays, self)
        self._range.trained = inputs
        for parameter, array, updates in weights:
            parameter.value = array
            if parameter.updates is not None:
                parameter.updates[...] = updates

    @classmethod
    def _made(cls, options: dict[str, Any], **ends: Any) -> Any:
        """Return a network without layers, or of the layers between `ends`, which are its inputs and outputs.

        As with pickles, the constructor of a derived class is not called.
        """
        network = cls.__new__(cls)
        NetworkBase.__init__(network, **ends, **options)
        return network

    def __reduce__(self) -> tuple[Any, ...]:
        data = encode("pickle", *to_document("pickle", self))
        # Classes and functions are part of the pickle, so that they are imported before the network is restored.
        arguments = (type(self), data, own_classes(self), own_functions(self))
        restored_by_us = vars(NetworkBase()).keys() | vars(Savable).keys() | {"_train"}
        user_attributes = {name: value for name, value in vars(self).items() if name not in restored_by_us}
        return _unpickled, arguments, user_attributes or None

    @checks_arguments
    def add(self, layer: Layer) -> None:
        super().add(layer)
        # The states of callbacks, such as the best weights, belong to the network as it was before.
        self._callbacks, self._loaded_states = None, ()

    add.__doc__ = InputValidation.add.__doc__

    @checks_arguments
    def pop(self) -> Layer:
        layer = super().pop()
        self._callbacks, self._loaded_states = None, ()
        return layer

    pop.__doc__ = InputValidation.pop.__doc__

    def _callback_states(self) -> list[dict[str, Any]]:
        states = self._loaded_states if self._callbacks is None else self._callbacks.states()
        check_states(states, [parameter.constant for parameter in self.parameters])
        return [{"class_name": name, "state": state} for name, state in states]

    def _resume_from(self, epochs: int, history: History | None, states: Iterable[State]) -> None:
        """Restore `epochs_done`, `history` and the states of callbacks, or raise ValueError."""
        states = tuple(states)
        check_states(states, [parameter.constant for parameter in self.parameters])
        set_inside(self, history=history)
        self._first_epoch, self._loaded_states = epochs, states

    def _begin_histories(self, first_epoch: int) -> tuple[History, History]:
        """Return the history of this `fit` and that of the whole run: the same object if the run starts here."""
        fit, run = History(), self.history if first_epoch else None
        if run is not None:
            run.check("fit")
        run = fit if run is None else run.before(first_epoch)
        set_inside(self, history=run)
        return fit, run

    def _watch(self, callbacks: Iterable[Any], first_epoch: int, *, writes: bool = True) -> Callbacks:
        """Return the callbacks, checked; their states are restored if `fit` continues where the run stopped."""
        checked = Callbacks(callbacks, self, writes=writes)
        if first_epoch and first_epoch == self.epochs_done:
            checked.restore(self._loaded_states)
        self._callbacks, self._loaded_states, self._first_epoch = checked, (), first_epoch
        return checked


def _unpickled(kind: type[Savable], data: bytes, classes: list[type], functions: dict[str, Any] | None = None) -> Any:
    return from_document("unpickle", *decode("unpickle", data), kind._made, functions or {})
