"""Look-ups of names that users type, with suggestions for unknown ones."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = [
    "ChecksArguments",
    "check_arguments",
    "checks_arguments",
    "did_you_mean",
    "look_up",
    "quoted_number_hint",
    "unknown_argument",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


# Names in other libraries, for what similarity of spelling would not find.
OTHER_NAMES = {
    "acc": ["accuracy"],
    "alpha": ["negative_slope"],
    "bce": ["binary_crossentropy"],
    "binary_accuracy": ["accuracy"],
    "bias": ["add_bias"],
    "categorical_accuracy": ["accuracy"],
    "clipnorm": ["global_clipnorm"],
    "double": ["float64"],
    "hardsigmoid": ["hard_sigmoid"],
    "hardswish": ["hard_swish"],
    "hard_silu": ["hard_swish"],
    "eta": ["lr"],
    "in_channels": ["input_size"],
    "in_features": ["input_size"],
    "input_dim": ["input_size"],
    "input_shape": ["input_size"],
    "kaiming_normal": ["he_normal"],
    "kaiming_uniform": ["he_uniform"],
    "learning_rate": ["lr", "initial_learning_rate", "max_learning_rate"],
    "lr": ["initial_learning_rate", "max_learning_rate"],
    "max_lr": ["max_learning_rate"],
    "max_norm": ["global_clipnorm"],
    "mean_absolute_error": ["mae"],
    "mean_squared_error": ["mse"],
    "n_epochs": ["epochs"],
    "nchw": ["channels_first"],
    "negative_log_likelihood": ["cross_entropy"],
    "nhwc": ["channels_last"],
    "nll": ["cross_entropy"],
    "on_train_batch_begin": ["on_batch_begin"],
    "on_train_batch_end": ["on_batch_end"],
    "out_channels": ["filters"],
    "out_features": ["output_size"],
    "p": ["rate"],
    "single": ["float32"],
    "swish": ["silu"],
    "sparse_categorical_accuracy": ["accuracy"],
    "sparse_top_k_categorical_accuracy": ["top_k_accuracy"],
    "top_k_categorical_accuracy": ["top_k_accuracy"],
    "units": ["output_size"],
    "val_data": ["validation_data"],
    "xavier": ["glorot_uniform"],
    "xavier_normal": ["glorot_normal"],
    "xavier_uniform": ["glorot_uniform"],
}

# Arguments that take a list, whose items users tend to pass one by one.
LIST_ARGUMENTS = ("branches", "input_size", "layers", "shape")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the closest of the known names, or an empty string."""
    import difflib  # imported here, as it is only needed after a mistake

    known = list(known)
    if not isinstance(name, str):
        # A class, function or object with the right name, such as activation=RELU.
        meant = getattr(name, "__name__", type(name).__name__).lower().removesuffix("activation")
        return f"; did you mean {meant!r}?" if meant in known else ""
    name = name.lower()
    renamed = [word for word in OTHER_NAMES.get(name, ()) if word in known]
    close = renamed or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def look_up(caller: str, what: str, name: object, table: Mapping[str, T]) -> T:
    """Return table[name], or raise a ValueError that lists the names and suggests the closest one."""
    if isinstance(name, str) and name in table:
        return table[name]
    known = ", ".join(map(repr, table))
    raise ValueError(f"{caller}: expected {what} to be one of {known}, got {name!r}{did_you_mean(name, table)}")


def quoted_number_hint(value: object) -> str:
    """Return a hint if `value` is a number in quotes, otherwise an empty string."""
    if not isinstance(value, str) or not any(map(str.isdigit, value)):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return f"; write {value} without quotes"


def unknown_argument(caller: str, known: Sequence[str], name: str) -> TypeError:
    """Return the error for an argument that does not exist."""
    takes = f"the arguments {', '.join(known)}" if known else "no arguments"
    return TypeError(f"{caller}: expected {takes}, got {name!r}{did_you_mean(name, known)}")


def check_arguments(
    caller: str, function: Callable[..., Any], given: Iterable[str], args: Sequence[Any] | None = None
) -> None:
    """Raise a helpful TypeError unless the method `function` accepts all `given` keywords.

    With `args`, also if there are too many positional arguments, or if a required argument is missing.
    """
    _, *parameters = inspect.signature(function).parameters.values()
    kinds = {parameter.kind for parameter in parameters}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    known = [parameter.name for parameter in parameters]
    for name in given:
        if name not in known:
            raise unknown_argument(caller, known, name)
    if args is None or inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    named = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    places = known[: len(known) - len(named)]
    if len(args) > len(places):
        remedy = f"; write {named[0]}=..." if named else ""
        if len(places) == 1 and places[0] in LIST_ARGUMENTS and not isinstance(args[0], list):
            remedy = "; pass them as one list"
        most = f"{_count(len(places), 'argument')} without a name at most, {', '.join(places)}"
        raise TypeError(
            f"{caller}: expected {most if places else 'no argument without a name'}, got {len(args)}{remedy}"
        )
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in {*places[: len(args)], *given}:
            raise TypeError(
                f"{caller}: expected the argument {parameter.name}, got none; write {caller}({parameter.name}=...)"
            )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def checks_arguments(method: F) -> F:
    """Decorate a method so that wrong arguments raise an error that lists the right ones."""
    _, *parameters = inspect.signature(method).parameters.values()
    known = frozenset(parameter.name for parameter in parameters)
    most = sum(parameter.kind is not inspect.Parameter.KEYWORD_ONLY for parameter in parameters)
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]

    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        missing = len(args) < len(needed) and not kwargs.keys() >= set(needed[len(args) :])
        if missing or len(args) > most or not kwargs.keys() <= known:
            caller = type(self).__name__ if method.__name__ == "__init__" else method.__name__
            check_arguments(caller, method, kwargs, args)
        return method(self, *args, **kwargs)

    return checked  # type: ignore[return-value]


class ChecksArguments:
    """A base class whose derived classes raise a helpful error if the constructor gets wrong arguments."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = checks_arguments(cls.__init__)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.__init__ is object.__init__ and (args or kwargs):
            is_ours = cls.__module__.partition(".")[0] == __name__.partition(".")[0]
            remedy = "" if is_ours else "; define __init__ to take them"
            raise TypeError(f"{cls.__name__}: expected no arguments, got {(*args, *kwargs)}{remedy}")
        return super().__new__(cls)
