"""ONNX Runtime on its CPU provider, all optimizations on. Predicts only."""

# What is imported here exists in the peer's interpreter and beside this file.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from typing import Any

import channels_first
import numpy as np
import onnx_model
import onnxruntime

options = onnxruntime.SessionOptions()


def set_threads(threads: int) -> None:
    """Let the library use so many threads; called before it computes anything."""
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1


def version() -> str:
    """Return the version of the library that is timed."""
    return onnxruntime.__version__


class Network:
    """A session, called with arrays as its users call it."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        self._inputs = {"x": channels_first.images(arrays.pop("x"))}
        del arrays["y"]
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        model = onnx_model.model(case, arrays)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(self) -> list[Any]:
        return self._session.run(None, self._inputs)

    def finish(self) -> None:
        """Nothing is ever queued."""

    @staticmethod
    def to_numpy(result: list[Any]) -> np.ndarray:
        return result[0]
