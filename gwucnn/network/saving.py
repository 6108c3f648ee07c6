"""A network that can be kept: in a file, in a pickle, as a copy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from gwucnn.callbacks.calling import Callbacks
from gwucnn.callbacks.history import History
from gwucnn.callbacks.state import check_states
from gwucnn.common import FormatError, check_path, checks_arguments, write_atomically
from gwucnn.files import decode, described, encode, own_classes, read, restored
from gwucnn.layers import Layer
from gwucnn.network.base import NetworkBase
from gwucnn.network.inputs import InputValidation

__all__ = ["Savable"]

State = tuple[str, dict[str, Any]]


class Savable(InputValidation):
    """A network that can be saved and copied with all that its training needs. `GWUNetwork` trains it."""

    # Of the whole run, also while `fit` runs and after it was broken off.
    history: History | None = None
    _first_epoch = 0  # of the last fit
    _watchers: Callbacks | None = None
    _loaded_states: tuple[State, ...] = ()  # of callbacks, until a fit that goes on begins

    @property
    def epochs_done(self) -> int:
        """How many epochs of training there were: what `fit` takes as initial_epoch to go on."""
        done = self.history.epoch if self.history is not None else []
        return max(done[-1] + 1 if done else 0, self._first_epoch)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network into one safetensors file.

        Layers and weights, and all that a training needs that shall go on later as if it had never stopped:
        loss, optimizer with what it remembers, counts of updates and epochs, state of the random numbers,
        running statistics, history, and what callbacks remember.

        Parameters
        ----------
        path : path
            A file there is replaced as a whole: whatever happens meanwhile, there is the old one or the new.
            The network may have been loaded from it.

        Raises
        ------
        OSError
            If the file cannot be written; the old one is as it was.
        NotBuiltError
            If nobody knows yet what weights there are.
        TypeError, ValueError
            For layers of your own that could not be made again from their `config()`.

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
        write_atomically("save", path, encode("save", *described("save", self)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Any:
        """Return the network that `save` wrote.

        Layers, losses and the like are looked up by name among the package's classes and those that your
        program has defined before; nothing in a file is run or imported. To go on training, give `fit` the
        same data and callbacks, and `initial_epoch=network.epochs_done`: on the same instruction set and
        number of threads weights and `network.history` become, to the last bit, those of a training never
        stopped, but for the seconds.

        Raises
        ------
        FormatError
            If the file is damaged, cut off, of a newer version of gwucnn or no network at all, or needs a
            class that nobody has defined. The message names what was found.
        OSError
            If it cannot be read.
        """
        path = check_path("load", "path", path)
        caller = f"load {path!r}"
        document, arrays = read(caller, path)
        if document.get("built") is not True:
            raise FormatError(f"{caller}: expected a network with its weights, got one that is not built")
        return restored(caller, document, arrays, cls._made)

    @classmethod
    def _made(cls, options: dict[str, Any]) -> Any:
        """Return a network without layers; a derived class's own constructor is not called, as in pickles."""
        network = cls.__new__(cls)
        NetworkBase.__init__(network, **options)
        return network

    def __reduce__(self) -> tuple[Any, ...]:
        data = encode("pickle", *described("pickle", self))
        # The classes go along, so that whoever unpickles has them.
        arguments = (type(self), data, own_classes(self))
        ours = vars(NetworkBase()).keys() | vars(Savable).keys() | {"_train"}
        more = {name: value for name, value in vars(self).items() if name not in ours}
        return _unpickled, arguments, more or None

    @checks_arguments
    def add(self, layer: Layer) -> None:
        super().add(layer)
        # What callbacks remember, such as the best weights, is of the network that it was.
        self._watchers, self._loaded_states = None, ()

    add.__doc__ = InputValidation.add.__doc__

    def _callback_states(self) -> list[dict[str, Any]]:
        states = self._loaded_states if self._watchers is None else self._watchers.states()
        check_states(states, [parameter.constant for parameter in self.parameters])
        return [{"class_name": name, "state": state} for name, state in states]

    def _put_back(self, epochs: int, history: History | None, states: Iterable[State]) -> None:
        """Take what `epochs_done`, `history` and `_callback_states` were, or raise ValueError."""
        states = tuple(states)
        check_states(states, [parameter.constant for parameter in self.parameters])
        self._first_epoch, self.history, self._loaded_states = epochs, history, states

    def _begin_histories(self, first_epoch: int) -> tuple[History, History]:
        """Return the history of a fit and that of its run; one and the same where a run begins."""
        fit, run = History(), self.history if first_epoch else None
        if run is not None:
            run.check("fit")
        self.history = fit if run is None else run.before(first_epoch)
        return fit, self.history

    def _watch(self, callbacks: Iterable[Any], first_epoch: int, *, writes: bool = True) -> Callbacks:
        """Return what calls the callbacks of a fit, which go on as they were if that fit goes on."""
        watchers = Callbacks(callbacks, self, writes=writes)
        if first_epoch and first_epoch == self.epochs_done:
            watchers.restore(self._loaded_states)
        self._watchers, self._loaded_states, self._first_epoch = watchers, (), first_epoch
        return watchers


def _unpickled(kind: type[Savable], data: bytes, classes: list[type]) -> Any:
    return restored("unpickle", *decode("unpickle", data), kind._made)
