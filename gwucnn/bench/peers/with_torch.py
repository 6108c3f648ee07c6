"""PyTorch, eager, images in its channels-last memory format; in float32, or in bfloat16 by autocast."""

# What is imported here exists in the peer's interpreter and beside this file.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

from typing import Any

import channels_first
import numpy as np
import torch
from torch import nn
from torch.nn import functional


def set_threads(threads: int) -> None:
    """Let the library use so many threads; called before it computes anything."""
    torch.set_num_threads(threads)


def version() -> str:
    """Return the version of the library that is timed."""
    return torch.__version__


def module(told: dict[str, Any]) -> nn.Module:
    """Make the layer that a description means, without its activation."""
    bias = told.get("bias", False)
    match told["kind"]:
        case "conv":
            return nn.Conv2d(
                told["in"][-1], told["filters"], told["size"], padding=told["padding"], bias=bias
            )
        case "pool":
            return nn.MaxPool2d(told["size"])
        case "flatten":
            return nn.Flatten()
    return nn.Linear(told["in"][0], told["units"], bias=bias)


class Network:
    """A Sequential up to the last sum; its activation is part of the loss, or comes with predict."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        x, y = channels_first.images(arrays.pop("x")), arrays.pop("y")
        modules: list[nn.Module] = []
        self._first: list[torch.Tensor] = []
        for told, kernel, bias in channels_first.layers(case, arrays):
            modules.append(module(told))
            self._first += [torch.from_numpy(array) for array in (kernel, bias) if array is not None]
            if told.get("activation") == "relu":
                modules.append(nn.ReLU())
        self._model = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        self._x = torch.from_numpy(x).to(memory_format=torch.channels_last)
        self._y = torch.from_numpy(y)
        self._log_loss = case["loss"] == "log_loss"
        self._bf16 = form == "bf16"
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=case["lr"])
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        for parameter, first in zip(self._model.parameters(), self._first, strict=True):
            parameter.copy_(first)

    def _sums(self) -> torch.Tensor:
        if not self._bf16:
            return self._model(self._x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self._model(self._x)

    def train(self) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        z = self._sums().float()
        if self._log_loss:
            loss = functional.binary_cross_entropy_with_logits(z, self._y, reduction="sum") / len(z)
        else:
            loss = functional.cross_entropy(z, self._y)
        loss.backward()
        self._optimizer.step()
        return loss

    @torch.inference_mode()
    def predict(self) -> torch.Tensor:
        z = self._sums()
        return torch.sigmoid(z) if self._log_loss else torch.softmax(z, 1)

    def finish(self) -> None:
        """Nothing is queued on a CPU."""

    @staticmethod
    def to_numpy(result: torch.Tensor) -> np.ndarray:
        return result.detach().float().numpy()
