"""What a built network runs: a plan of steps over one arena of weights, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gwucnn import kernels
from gwucnn.batches import Batches
from gwucnn.fusion import plan
from gwucnn.layers import Layer
from gwucnn.loss_functions import LossFunction, LossHead
from gwucnn.metrics import Accuracy
from gwucnn.optimizers import Optimizer
from gwucnn.parameters import Arena
from gwucnn.workspace import Workspace

__all__ = ["Engine", "Totals"]


class Totals:
    """Loss and accuracy of an epoch so far, each sample with its weight."""

    def __init__(self, accuracy: Accuracy | None) -> None:
        self._accuracy = accuracy
        self._loss = self._weight = 0.0

    def add(self, loss: float, weight: float, target: Any, outputs: Any) -> None:
        """Take a batch."""
        self._loss += loss * weight
        self._weight += weight
        if self._accuracy is not None:
            self._accuracy.update(target, outputs)

    @property
    def loss(self) -> float:
        """Mean loss; NaN before the first batch."""
        return self._loss / self._weight if self._weight else float("nan")

    def record(self, prefix: str = "") -> dict[str, float]:
        """Return the loss, and the accuracy if there is one, under names that begin with `prefix`."""
        record = {f"{prefix}loss": self.loss}
        if self._accuracy is not None:
            record[f"{prefix}accuracy"] = self._accuracy.result()
        return record


class Engine:
    """Runs built layers forward and backward.

    Parameters
    ----------
    layers : sequence of Layer
        Built, so that shapes and parameters are known.
    out_shape : tuple of int
        Of one sample's outputs.
    dtype : numpy dtype
        float32 or float64: of weights, activations and gradients.
    """

    def __init__(self, layers: Sequence[Layer], out_shape: tuple[int, ...], dtype: Any) -> None:
        self.layers = layers
        self.out_shape = out_shape
        self.dtype = np.dtype(dtype)
        self.arena = Arena([parameter for layer in layers for parameter in layer.parameters], dtype)
        self.steps, self._activation = plan(layers)
        self.head = LossHead(self._activation, None)
        self.optimizer: Optimizer | None = None
        self.reports_accuracy = False
        self._idle: list[Workspace] = []
        self._training: Workspace | None = None

    def compile(self, loss: LossFunction, optimizer: Optimizer, *, reports_accuracy: bool) -> None:
        """Take the loss to make small and the optimizer to do it with."""
        loss.check_outputs(self._activation, self.out_shape)
        self.head = LossHead(self._activation, loss)
        self.optimizer = optimizer
        self.reports_accuracy = reports_accuracy and loss.classifies
        optimizer.bind(self.arena)
        self._idle.clear()
        self._training = None

    def totals(self) -> Totals:
        """Return empty sums for an epoch."""
        return Totals(Accuracy(self.out_shape[0]) if self.reports_accuracy else None)

    @contextmanager
    def _borrowed(self) -> Iterator[Workspace]:
        # pop and append are atomic: threads that predict at once get a workspace each.
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = None
        if workspace is None or not workspace.fits:
            workspace = Workspace(len(self.steps), self.dtype, training=False)
        yield workspace
        self._idle.append(workspace)

    def _training_workspace(self) -> Workspace:
        if self._training is None or not self._training.fits:
            self._training = Workspace(len(self.steps), self.dtype, training=True)
        return self._training

    def _forward(self, x: Any, workspace: Workspace) -> Any:
        for step, space in zip(self.steps, workspace.spaces, strict=True):
            x = step.forward(x, space)
        return x

    def predict(self, batches: Batches, size: int) -> Any:
        """Return the outputs of all samples in an array of their own."""
        outputs = np.empty((len(batches), *self.out_shape), self.dtype)
        with self._borrowed() as workspace:
            for indices in batches.split(size):
                z = self._forward(batches.inputs(indices, workspace.outer), workspace)
                outputs[indices] = self.head.outputs(z, workspace.outer)
        return outputs

    def activations(self, batches: Batches) -> list[Any]:
        """Return the output of each layer for all samples, in arrays of their own."""
        with self._borrowed() as workspace:
            x = batches.inputs(slice(None), workspace.outer)
            every = []
            for layer in self.layers:
                # A space of its own: the layers as written are not the steps that the workspace is bound to.
                fresh = Workspace(1, self.dtype, training=False)
                x = np.array(layer.forward(x, fresh.spaces[0]))
                every.append(x)
        return every

    def evaluate(self, batches: Batches, size: int) -> Totals:
        """Return loss and accuracy of samples with targets; weights stay as they are."""
        totals = self.totals()
        with self._borrowed() as workspace:
            for indices in batches.split(size):
                loss, _, weight, target, outputs = self._loss(batches, indices, workspace)
                totals.add(loss, weight, target, outputs)
        return totals

    def _loss(self, batches: Batches, indices: Any, workspace: Workspace) -> tuple[float, Any, float, Any, Any]:
        """Return a batch's loss, its gradient by z, the sum of its weights, its targets and its outputs."""
        outer = workspace.outer
        x = batches.inputs(indices, outer)
        target = batches.outputs(indices, self.out_shape, outer)
        share, weight = batches.shares(indices, len(x), outer)
        z = self._forward(x, workspace)
        loss, gradient, outputs = self.head.loss(z, target, share, outer)
        return loss, gradient, weight, target, outputs

    def train_step(self, batches: Batches, indices: Any, totals: Totals) -> float:
        """Move the weights once; return the batch's loss.

        Raises FloatingPointError, with the weights as they were, if the loss or a gradient is not finite.
        """
        workspace = self._training_workspace()
        grads = self.arena.grads
        grads.fill(0)
        loss, dy, weight, target, outputs = self._loss(batches, indices, workspace)
        for step, space in zip(reversed(self.steps), reversed(workspace.spaces), strict=True):
            dy = step.backward(dy, space)
        finite = workspace.outer.run("finite", _all_finite, grads[: self.arena.trainable])
        if not (finite and np.isfinite(loss)):
            raise FloatingPointError(self._complaint(loss, workspace))
        assert_optimizer: Any = self.optimizer
        assert_optimizer.step()
        totals.add(loss, weight, target, outputs)
        return loss

    def _complaint(self, loss: float, workspace: Workspace) -> str:
        """Say where numbers that are not finite began."""
        for step, space in zip(self.steps, workspace.spaces, strict=True):
            if not np.isfinite(space.saved.get("y", 0.0)).all():
                return f"the loss is {loss}, and numbers that are not finite begin at {step.label}"
        for step in reversed(self.steps):
            for parameter in step.parameters:
                if not np.isfinite(parameter.grad).all():
                    return f"the gradient of {step.label}'s {parameter.name} is not finite"
        return f"the loss is {loss}"


class _AllFinite:
    """Looks like an op to `Space.run`."""

    @staticmethod
    def bind(array: Any, out: Any = None) -> Any:
        return kernels.active.AllFinite(array)


_all_finite = _AllFinite()
