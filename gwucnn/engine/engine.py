"""What a built network runs: a plan of steps over one arena of weights, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from gwucnn._ext.step import Program, Step
from gwucnn.common import NotBuiltError
from gwucnn.data import Batch, Batches
from gwucnn.engine.epoch_totals import Metrics, Totals, check_metrics
from gwucnn.engine.fusion import plan
from gwucnn.engine.loss_head import LossHead
from gwucnn.engine.recorded import Computed, Recorded, Replay, Sum
from gwucnn.engine.team import ALONE
from gwucnn.layers import Layer
from gwucnn.layers.base import leaves
from gwucnn.layers.inserting import check_made
from gwucnn.loss_functions import LossFunction
from gwucnn.memory import Arena, Randomness, Space, Workspace
from gwucnn.ops import all_finite, clip_norm, fill_zero, weight_penalty
from gwucnn.optimizers import Optimizer

__all__ = ["Engine", "Totals", "TrainingConfig"]

# Programs that a workspace remembers: for whole batches and the last of an epoch, to predict and to evaluate.
# Each holds steps with scratch memory of their own.
MOST_REPLAYS = 4


class TrainingConfig(NamedTuple):
    """What `compile` decided: how to train."""

    loss: LossFunction
    optimizer: Optimizer
    metrics: tuple[str, ...] = ()
    global_clipnorm: float | None = None


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
    fuse : bool
        Whether to replace runs of layers by fused steps.
    winograd : bool
        Whether convolutions may take the faster algorithm with the larger error.
    randomness : Randomness
        Where layers draw random numbers in training.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        out_shape: tuple[int, ...],
        dtype: Any,
        *,
        fuse: bool = True,
        winograd: bool = True,
        randomness: Randomness | None = None,
    ) -> None:
        self.layers = layers
        self.out_shape = out_shape
        self.dtype = np.dtype(dtype)
        self._winograd = winograd
        self.randomness = Randomness(lambda: 0) if randomness is None else randomness
        self.arena = Arena([parameter for layer in layers for parameter in layer.parameters], dtype)
        self._trainable_grads = self.arena.grads[: self.arena.trainable]
        self.steps, self._activation = plan(layers, fuse=fuse)
        self._inference_steps = plan(layers, fuse=fuse, training=False)[0]
        self._replayable = all(step.replayable for step in [*self.steps, *self._inference_steps])
        # Gradients to which backward adds, and which therefore begin at zero.
        self._added = [
            parameter.grad for step in self.steps if not step.overwrites_grads for parameter in step.parameters
        ]
        self.head = LossHead(self._activation, None)
        self.optimizer: Optimizer | None = None
        self.team = ALONE  # whose gradients are added up
        self._metrics: tuple[str, ...] = ()
        self._clipnorm: float | None = None
        trained = [p for layer in layers for p in layer.parameters if p.trainable]
        self._penalized = [p for p in trained if p.regularizer is not None]
        self._idle: list[Workspace] = []
        self._training: Workspace | None = None

    def compile(self, recipe: TrainingConfig) -> None:
        """Take the loss to make small and what to do it with."""
        loss, optimizer = recipe.loss, recipe.optimizer
        loss.check_outputs(self._activation, self.out_shape)
        self.head = LossHead(self._activation, loss)
        self._replayable = self.head.replayable and all(
            step.replayable for step in [*self.steps, *self._inference_steps]
        )
        self.optimizer = optimizer
        self._metrics = check_metrics(recipe.metrics, loss, self.out_shape[0])
        self._clipnorm = recipe.global_clipnorm
        optimizer.bind(self.arena)
        self._idle.clear()
        self._training = None

    @property
    def unclipped(self) -> bool:
        """Whether gradients go to the optimizer as backward leaves them."""
        return self._clipnorm is None

    @property
    def measures(self) -> bool:
        """Whether metrics are gathered beside the loss."""
        return bool(self._metrics)

    def totals(self) -> Totals:
        """Return empty sums for an epoch."""
        return Totals(Metrics(self._metrics, self.out_shape[0]) if self._metrics else None)

    def _borrow(self) -> Workspace:
        """Return a workspace that no other thread has; back to `_idle` unless something went wrong."""
        # pop and append are atomic: threads that predict at once get a workspace each.
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = None
        keeps = self.arena.tracked
        if workspace is None or not workspace.is_current or workspace.constant_weights != keeps:
            workspace = Workspace(
                len(self._inference_steps),
                self.dtype,
                training=False,
                winograd=self._winograd,
                constant_weights=keeps,
            )
        return workspace

    def _training_workspace(self) -> Workspace:
        if self._training is None or not self._training.is_current:
            self._training = Workspace(
                len(self.steps),
                self.dtype,
                training=True,
                winograd=self._winograd,
                randomness=self.randomness,
            )
            for step, space in zip(self.steps, self._training.spaces, strict=True):
                space.accumulates = not step.overwrites_grads
        return self._training

    def _record_or_replay(self, workspace: Workspace, key: Any, work: Callable[[], Any]) -> Any:
        """Do `work` and record its steps; when `key` comes again, replay them and return what it returned.

        `key` tells all that `work` depends on besides the buffers' contents: what is done, and the batch's
        size.
        """
        replay, version = workspace.replays.get(key), self.arena.version
        if replay is not None and replay.generation == workspace.tape.generation:
            replay.program(workspace.constant_weights and self.arena.tracked and replay.version == version)
            replay.version = version
            return replay.result
        if not self._replayable:
            return work()
        workspace.tape.steps = []
        try:
            result = work()
            steps = workspace.tape.steps
        finally:
            workspace.tape.steps = None
        if not all(isinstance(step, Step) for step in steps):
            self._replayable = False  # an op of the user's own, which only Python can call
            return result
        # What is stale would keep the memory of before alive.
        kept = [(k, r) for k, r in workspace.replays.items() if r.generation == workspace.tape.generation and k != key]
        workspace.replays = dict(kept[1 - MOST_REPLAYS :])
        workspace.replays[key] = Replay(Program(steps), result, workspace.tape.generation, version)
        return result

    def _forward(self, x: Any, workspace: Workspace) -> Any:
        steps = self.steps if workspace is self._training else self._inference_steps
        for step, space in zip(steps, workspace.spaces, strict=True):
            x = step.forward(x, space)
            if not step.replayable:
                check_made(step, x, self.dtype)
        return x

    def predict(self, batches: Batches, size: int) -> Any:
        """Return the outputs of all samples in an array of their own."""
        outputs = np.empty((len(batches), *self.out_shape), self.dtype)
        workspace = self._borrow()
        for indices in batches.split(size):
            x = batches.inputs(indices, workspace.outer)

            def work(x: Any = x) -> Any:
                return self.head.outputs(self._forward(x, workspace), workspace.outer)

            outputs[indices] = self._record_or_replay(workspace, ("predict", len(x)), work)
        self._idle.append(workspace)
        return outputs

    def activations(self, batches: Batches) -> list[Any]:
        """Return the output of each layer for all samples, in arrays of their own."""
        x = batches.inputs(slice(None), Space(self.dtype))
        every = []
        for layer in self.layers:
            # A space of its own: the layers as written are not the steps that run otherwise.
            x = layer.forward(x, Space(self.dtype))
            check_made(layer, x, self.dtype)
            x = np.array(x)
            every.append(x)
        return every

    def evaluate(self, batches: Batches, size: int, totals: Totals | None = None) -> Totals:
        """Return loss and accuracy of samples with targets, added to `totals`; weights stay as they are."""
        totals = self.totals() if totals is None else totals
        totals.penalty = sum(p.regularizer(p.constant) for p in self._penalized)
        workspace = self._borrow()
        for indices in batches.split(size):
            batch = batches.batch(indices, self.out_shape, workspace.outer)

            def work(batch: Batch = batch) -> Any:
                loss, _, outputs = self._loss(batch, workspace)
                return loss, outputs

            loss, outputs = self._record_or_replay(workspace, ("evaluate", len(batch.x)), work)
            totals.add(loss.value, batch.weight, batch.target, outputs, batch.weights)
        self._idle.append(workspace)
        return totals

    def _loss(self, batch: Batch, workspace: Workspace) -> tuple[Any, Any, Any]:
        """Compute a batch's loss; return what holds its value, its gradient by z, and the outputs."""
        z = self._forward(batch.x, workspace)
        value, gradient, outputs = self.head.loss(z, batch.target, batch.share, workspace.outer)
        step = workspace.outer.step("loss") if self.head.replayable else Computed(value)
        return step, gradient, outputs

    def _add_penalties(self, loss: Any, outer: Space) -> Any:
        """Add the slopes of weights' penalties to gradients; return what holds the loss with them."""
        parts = [loss]
        for number, p in enumerate(self._penalized):
            l1, l2 = p.regularizer.l1, p.regularizer.l2
            name = f"penalty {number}"
            outer.run(name, weight_penalty, p.constant, l1=l1, l2=l2, gradient=p.grad)
            parts.append(outer.step(name))
        return Sum(parts) if self._penalized else loss

    def _reporting_finite(self, steps: list[Any] | None) -> list[Any]:
        """Return those steps that tell by themselves whether the gradients that they wrote are finite."""
        changed = [p.grad for p in self._penalized]
        return [
            step
            for step in steps or ()
            if getattr(step, "reports_finite", False) and not any(step.out is grad for grad in changed)
        ]

    def train_step(self, batches: Batches, indices: Any, totals: Totals) -> float:
        """Move the weights once; return the batch's loss.

        Raises FloatingPointError, with weights, running statistics and random state as they were, if the loss
        or a gradient is not finite.
        """
        if self.optimizer is None:
            raise NotBuiltError("train_step: expected a compiled network; call compile(loss=...) first")
        workspace = self._training_workspace()
        batch = batches.batch(indices, self.out_shape, workspace.outer)
        draws = self.randomness.draws

        def work() -> Any:
            outer = workspace.outer
            workspace.tape.deferred.clear()
            for number, grad in enumerate(self._added):
                outer.run(f"zero {number}", fill_zero, out=grad)
            loss, dy, outputs = self._loss(batch, workspace)
            for step, space in zip(reversed(self.steps), reversed(workspace.spaces), strict=True):
                dy = step.backward(dy, space)
            loss = self._add_penalties(loss, outer)
            finite = f"finite {len(batch.x)}"
            besides = self._reporting_finite(workspace.tape.steps)
            outer.run(finite, all_finite, self._trainable_grads, besides=besides)
            return loss, outer.step(finite), outputs, list(workspace.tape.deferred)

        loss, finite, outputs, later = self._record_or_replay(workspace, ("train", len(batch.x)), work)
        if not (finite.value and isfinite(loss.value)):
            self.randomness.draws = draws
            complaint = self._complaint(loss.value, batch, workspace)
            self.randomness.draws = draws
            raise FloatingPointError(complaint)
        self.team.average_gradients(self._trainable_grads, batch.weight)
        if self._clipnorm is not None:
            workspace.outer.run("clip", clip_norm, limit=self._clipnorm, out=self._trainable_grads)
        self.optimizer.step()
        for step in later:
            step()
        self.arena.version += 1
        totals.add(loss.value, batch.weight, batch.target, outputs, batch.weights)
        return loss.value

    def recorded(self, size: int) -> Recorded | None:
        """Return what `train_step` does on so many samples, if it was recorded and the memory is the same."""
        workspace = self._training
        if workspace is None or not workspace.is_current:
            return None
        replay = workspace.replays.get(("train", size))
        if replay is None or replay.generation != workspace.tape.generation:
            return None
        loss, finite, outputs, later = replay.result
        clip = [] if self._clipnorm is None else [workspace.outer.step("clip")]
        moves = (*clip, self.optimizer.step, *later)  # type: ignore[union-attr]
        return Recorded(replay.program.steps, loss, finite, outputs, moves, workspace.outer)

    def _complaint(self, loss: float, batch: Batch, workspace: Workspace) -> str:
        """Say where numbers that are not finite began, by a second pass over the same random numbers."""
        x = batch.x
        for step, space in zip(self.steps, workspace.spaces, strict=True):
            y = step.forward(x, space)
            if not np.isfinite(y).all():
                where = step.find_nonfinite(space)
                return f"the loss is {loss}, and numbers that are not finite begin at {where}"
            x = y
        for layer in reversed([leaf for step in self.steps for leaf in leaves(step)]):
            for parameter in layer.parameters:
                if not np.isfinite(parameter.grad).all():
                    return f"the gradient of {layer.label}'s {parameter.name} is not finite"
        return f"the loss is {loss}"
