"""TODO."""

from gwucnn.common.atomic_file import check_target, write_atomically
from gwucnn.common.checks import (
    check_between,
    check_flag,
    check_fraction,
    check_not_negative,
    check_number,
    check_path,
    check_positive,
    check_size,
    gives_items,
    is_number,
)
from gwucnn.common.chunked import CHUNK, chunks, extremes
from gwucnn.common.configurable import Described, by_name, call_of, rebuilt, written
from gwucnn.common.errors import (
    FormatError,
    NotBuiltError,
    ShapeError,
    SizeMismatchWarning,
    speaking,
    tell_user,
    warn_user,
)
from gwucnn.common.names import CheckedCalls, hint, keywords_checked, look_up, unknown_argument, unquoted
from gwucnn.common.seeds import set_random_seed
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
    "CheckedCalls",
    "Described",
    "FormatError",
    "NotBuiltError",
    "Padding",
    "Shape",
    "ShapeError",
    "Size",
    "SizeMismatchWarning",
    "TransposedWindow",
    "Window",
    "border",
    "by_name",
    "call_of",
    "check_between",
    "check_flag",
    "check_fraction",
    "check_not_negative",
    "check_number",
    "check_path",
    "check_positive",
    "check_size",
    "check_target",
    "chunks",
    "extremes",
    "gives_items",
    "hint",
    "is_number",
    "keywords_checked",
    "look_up",
    "pair",
    "rebuilt",
    "set_random_seed",
    "speaking",
    "tell_user",
    "unknown_argument",
    "unquoted",
    "warn_user",
    "write_atomically",
    "written",
]
