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


def module(told: dict[str, Any]) -> nn.Module | None:
    """Make the layer that a description means, without its activation; None for no layer."""
    bias = told.get("bias", False)
    match told["kind"]:
        case "conv":
            options = {"stride": told["strides"], "padding": told["padding"], "bias": bias}
            return nn.Conv2d(told["in"][-1], told["filters"], told["size"], **options)
        case "depthwise":
            C = told["in"][-1]
            options = {"stride": told["strides"], "padding": told["padding"], "groups": C, "bias": False}
            return nn.Conv2d(C, C, told["size"], **options)
        case "norm":
            return nn.BatchNorm2d(told["in"][-1], eps=1e-3, momentum=0.01)
        case "mean":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case "pool":
            return nn.MaxPool2d(told["size"])
        case "flatten":
            return nn.Flatten()
        case "dense":
            return nn.Linear(told["in"][0], told["units"], bias=bias)
    return None


class Chain(nn.Module):
    """All layers one after the other, up to the last sum, with what is remembered on the way."""

    def __init__(self, chain: list[dict[str, Any]]) -> None:
        super().__init__()
        made = [module(told) for told in chain]
        self.layers = nn.ModuleList(layer for layer in made if layer is not None)
        self._steps: list[tuple[str, nn.Module | None]] = []
        for told, layer in zip(chain, made, strict=True):
            if layer is not None or told["kind"] in ("fork", "shortcut", "add"):
                self._steps.append((told["kind"], layer))
            if told.get("activation") == "relu":
                self._steps.append(("relu", functional.relu))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        remembered: list[torch.Tensor] = []
        for kind, layer in self._steps:
            if layer is not None:
                x = layer(x)
            elif kind == "fork":
                remembered.append(x)
            elif kind == "shortcut":
                x, remembered[-1] = remembered[-1], x
            else:
                x = x + remembered.pop()
        return x

    def weights(self) -> list[torch.Tensor]:
        """Return all weights, also running means and variances, layer by layer."""
        every = []
        for layer in self.layers:
            every += [t for name, t in layer.state_dict(keep_vars=True).items() if name != "num_batches_tracked"]
        return every


class Network:
    """A chain up to the last sum, whose activation is part of the loss, or comes with predict."""

    def __init__(self, case: dict[str, Any], arrays: dict[str, Any], form: str) -> None:
        x, y = channels_first.images(arrays.pop("x")), arrays.pop("y")
        told = channels_first.layers(case, arrays)
        self._first = [torch.from_numpy(weight) for _, weights in told for weight in weights]
        self._model = Chain(case["layers"]).to(memory_format=torch.channels_last)
        self._x = torch.from_numpy(x).to(memory_format=torch.channels_last)
        self._y = torch.from_numpy(y)
        self._log_loss = case["loss"] == "log_loss"
        self._bf16 = form == "bf16"
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=case["lr"])
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        for weight, first in zip(self._model.weights(), self._first, strict=True):
            weight.copy_(first)

    def _sums(self, training: bool) -> torch.Tensor:
        if self._model.training != training:
            self._model.train(training)
        if not self._bf16:
            return self._model(self._x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self._model(self._x)

    def train(self) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        z = self._sums(True).float()
        if self._log_loss:
            loss = functional.binary_cross_entropy_with_logits(z, self._y, reduction="sum") / len(z)
        else:
            loss = functional.cross_entropy(z, self._y)
        loss.backward()
        self._optimizer.step()
        return loss

    @torch.inference_mode()
    def predict(self) -> torch.Tensor:
        z = self._sums(False)
        return torch.sigmoid(z) if self._log_loss else torch.softmax(z, 1)

    def finish(self) -> None:
        """Nothing is queued on a CPU."""

    @staticmethod
    def to_numpy(result: torch.Tensor) -> np.ndarray:
        return result.detach().float().numpy()
