"""What every room may use: errors, checks of arguments, hints for mistyped names, and small shared tools.

- `errors.py`: the exceptions, and how messages reach the user
- `checks.py`: checks of single arguments; `names.py`: look-ups of names; `suggestions.py`: what was meant
- `attributes.py`: assignments to attributes that would have no effect
- `figures.py`: figures of matplotlib; `html.py`: tables and curves for notebooks
- `configurable.py`: objects that are fully described by their constructor's arguments
- `several.py`: one array, or a tuple of several
- `windows.py`: arithmetic of windows that slide over images
- `atomic_file.py`, `chunked.py`, `seeds.py`: files replaced atomically, large arrays piece by piece, repeatable runs
"""

from gwucnn.common.atomic_file import check_target, write_atomically
from gwucnn.common.attributes import is_ours, set_inside, unsealing
from gwucnn.common.checks import (
    accepts,
    check_between,
    check_flag,
    check_fraction,
    check_nonnegative,
    check_number,
    check_path,
    check_positive,
    check_size,
    is_batch_source,
    is_number,
    real_number,
)
from gwucnn.common.chunked import CHUNK, chunks, min_and_max
from gwucnn.common.configurable import Configurable, classes_by_name, constructor_repr, from_config, to_config
from gwucnn.common.errors import (
    FormatError,
    NotBuiltError,
    ShapeError,
    SizeMismatchWarning,
    tell_user,
    user_messages,
    warn_user,
)
from gwucnn.common.figures import new_figure, panels
from gwucnn.common.html import html_curves, html_table
from gwucnn.common.names import (
    ChecksArguments,
    checks_arguments,
    function_name,
    look_up,
    quoted_number_hint,
    unknown_argument,
)
from gwucnn.common.seeds import set_random_seed
from gwucnn.common.several import each, only
from gwucnn.common.suggestions import did_you_mean, missing_name
from gwucnn.common.windows import (
    Border,
    Padding,
    Shape,
    Size,
    TransposedWindow,
    Window,
    border,
    pair,
)

__all__ = [
    "CHUNK",
    "Border",
    "ChecksArguments",
    "Configurable",
    "FormatError",
    "NotBuiltError",
    "Padding",
    "Shape",
    "ShapeError",
    "Size",
    "SizeMismatchWarning",
    "TransposedWindow",
    "Window",
    "accepts",
    "border",
    "check_between",
    "check_flag",
    "check_fraction",
    "check_nonnegative",
    "check_number",
    "check_path",
    "check_positive",
    "check_size",
    "check_target",
    "checks_arguments",
    "chunks",
    "classes_by_name",
    "constructor_repr",
    "did_you_mean",
    "each",
    "from_config",
    "function_name",
    "html_curves",
    "html_table",
    "is_batch_source",
    "is_number",
    "is_ours",
    "look_up",
    "min_and_max",
    "missing_name",
    "new_figure",
    "only",
    "pair",
    "panels",
    "quoted_number_hint",
    "real_number",
    "set_inside",
    "set_random_seed",
    "tell_user",
    "to_config",
    "unknown_argument",
    "unsealing",
    "user_messages",
    "warn_user",
    "write_atomically",
]
