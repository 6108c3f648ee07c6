"""OpenVINO on the CPU, one request at a time, in float32. Predicts only."""

# What is imported here exists in the peer's interpreter and beside this file.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from typing import Any

import channels_first
import numpy as np
import onnx_model
import openvino

# Left to itself it computes in bfloat16 where the processor can.
config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}


def set_threads(threads: int) -> None:
    """Let the library use so many threads; called before it computes anything."""
    config["INFERENCE_NUM_THREADS"] = threads
    config["ENABLE_CPU_PINNING"] = False


def version() -> str:
    """Return the version of the library that is timed."""
    return openvino.__version__.partition("-")[0]


class Network:
    """One request, whose input is set once and whose output is read where it lies."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        x = channels_first.images(arrays.pop("x"))
        del arrays["y"]
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(onnx_model.model(case, arrays)), "CPU", config)
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(openvino.Tensor(x))

    def predict(self) -> Any:
        self._request.infer()
        return self._request

    def finish(self) -> None:
        """Nothing is ever queued."""

    @staticmethod
    def to_numpy(result: Any) -> np.ndarray:
        return np.array(result.get_output_tensor().data)
