"""Convolutional neural networks, compiled, for CPUs."""

from gwucnn._version import __version__
