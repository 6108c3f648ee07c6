"""What goes wrong, by kind.

Every message has the form ``who: expected X, got Y; how to fix``, where *who* is the function or the layer
with its place in the network, such as ``2.Conv2D``.
"""

__all__ = ["ShapeError", "NotBuiltError", "FormatError", "SizeMismatchWarning"]


class ShapeError(ValueError):
    """Raised when the sizes of arrays or layers do not fit each other."""


class NotBuiltError(RuntimeError):
    """Raised when a call comes too early, such as ``fit`` before ``compile``."""


class FormatError(ValueError):
    """Raised when a file is damaged, truncated or of another format than expected."""


class SizeMismatchWarning(UserWarning):
    """Issued when a stated ``input_size`` differs from what the layer before really makes."""
