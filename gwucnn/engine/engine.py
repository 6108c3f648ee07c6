"""What a built network runs: a plan of steps over one arena of weights, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from gwucnn.common import NotBuiltError, each, only
from gwucnn.data import Batch, Batches
from gwucnn.engine.epoch_totals import Totals
from gwucnn.engine.fusion import plan
from gwucnn.engine.joint_head import make_head
from gwucnn.engine.joint_totals import make_totals, metrics_of
from gwucnn.engine.nonfinite import describe_nonfinite
from gwucnn.engine.recorded import Recorder, Sum, TrainingRecording
from gwucnn.engine.team import ALONE
from gwucnn.engine.workspaces import Workspaces
from gwucnn.layers import Layer
from gwucnn.layers.graphs.graph import Graph
from gwucnn.loss_functions import JointLoss, LossFunction
from gwucnn.memory import Arena, Parameter, Randomness, Space, Workspace
from gwucnn.ops import all_finite, clip_norm, fill_zero, weight_penalty
from gwucnn.optimizers import Optimizer

__all__ = ["Engine", "TrainingConfig"]


class TrainingConfig(NamedTuple):
    """The arguments of `compile`, checked."""

    loss: LossFunction | JointLoss
    optimizer: Optimizer
    metrics: tuple[Any, ...] = ()  # names and functions; with a JointLoss, a tuple of them for each output
    global_clipnorm: float | None = None


class Engine:
    """Runs the layers of a built network forward and backward.

    Parameters
    ----------
    layers : sequence of Layer
        Built: their shapes and parameters are known. Each once, in the order of their parameters.
    graph : Graph
        How they are connected.
    out_shape : tuple of int
        Shape of one sample's outputs; for several outputs, a tuple of their shapes.
    dtype : numpy dtype
        float32 or float64: of weights, activations and gradients.
    fuse : bool
        Whether to replace sequences of layers by fused steps.
    winograd : bool
        Whether convolutions may use Winograd's algorithm, which is faster and rounds more.
    randomness : Randomness
        Where layers draw random numbers in training.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        graph: Graph,
        out_shape: tuple[Any, ...],
        dtype: Any,
        *,
        fuse: bool = True,
        winograd: bool = True,
        randomness: Randomness | None = None,
    ) -> None:
        self.layers, self.graph = layers, graph
        self.out_shape = out_shape
        self.dtype = np.dtype(dtype)
        self.randomness = Randomness(lambda: 0) if randomness is None else randomness
        self.team = ALONE  # the processes that share each batch
        self._fuse, self._winograd = fuse, winograd
        self._config: TrainingConfig | None = None
        self._layout_lock = Lock()
        self._lay_out()

    def _lay_out(self) -> None:
        """Lay out the weights, trainable ones first, and plan the steps over them."""
        self.arena = Arena([parameter for layer in self.layers for parameter in layer.parameters], self.dtype)
        self._trainable_grads = self.arena.grads[: self.arena.trainable]
        self._training_graph, self._activations = plan(self.graph, fuse=self._fuse)
        self._inference_graph, _ = plan(self.graph, fuse=self._fuse, training=False)
        self._needs_gradient = self._training_graph.needs_gradient()
        # Gradients that backward accumulates into, and which therefore have to start at zero.
        nodes = zip(self.steps, self._training_graph.accumulates(), strict=True)
        accumulated = [p for step, accumulates in nodes if accumulates for p in step.parameters]
        self._accumulated = [p.grad for p in dict.fromkeys(accumulated)]
        self.head = make_head(self._activations, None)
        self.optimizer: Optimizer | None = None
        self._metrics: tuple[Any, ...] = ()
        self._clipnorm: float | None = None
        parameters = [p for layer in self.layers for p in layer.parameters]
        self._regularized = [p for p in parameters if p.regularizer is not None]
        # Separate, because a layer that cannot be recorded may be for training only.
        self.recorder, self._inference_recorder = Recorder(self.arena), Recorder(self.arena)
        self._enable_recorders(True)
        self.workspaces = Workspaces(
            self._training_graph,
            self._inference_graph,
            self.arena,
            self.dtype,
            winograd=self._winograd,
            randomness=self.randomness,
        )
        # In one attribute, so that threads that predict while the layout changes never see parts of both.
        self._inference = self._inference_graph, self._inference_recorder, self.workspaces
        if self._config is not None:
            self.compile(self._config)

    def update_layout(self) -> None:
        """Lay out the weights again if some have been frozen or unfrozen, or are in use by another network.

        Optimizers go on with what they know of the gradients of those that are still trained.
        """
        if self.arena.outdated:
            with self._layout_lock:
                if self.arena.outdated:  # still: another thread may have done it
                    self._lay_out()

    def compile(self, config: TrainingConfig) -> None:
        """Set the loss, the optimizer, the metrics and the clipping of gradients."""
        self._config = config
        loss, optimizer = config.loss, config.optimizer
        loss.check_outputs(only(self._activations), self.out_shape)
        self.head = make_head(self._activations, loss)
        self._enable_recorders(self.head.replayable)
        self.optimizer = optimizer
        self._metrics = metrics_of(config.metrics, loss, self.out_shape)
        self._clipnorm = config.global_clipnorm
        optimizer.bind(self.arena)
        self.workspaces.clear()

    def _enable_recorders(self, loss_is_replayable: bool) -> None:
        """Enable recording where all steps are compiled ones."""
        graphs = (self.recorder, self._training_graph), (self._inference_recorder, self._inference_graph)
        for recorder, graph in graphs:
            recorder.enabled = loss_is_replayable and all(step.replayable for step in graph.steps)

    @property
    def steps(self) -> list[Layer]:
        """The steps that run in training, in their order."""
        return self._training_graph.steps

    @property
    def clips_gradients(self) -> bool:
        """Whether gradients are changed between backward and the optimizer."""
        return self._clipnorm is not None

    @property
    def has_metrics(self) -> bool:
        """Whether metrics are computed beside the loss."""
        return bool(self._metrics)

    def totals(self) -> Totals:
        """Return empty totals for an epoch."""
        return make_totals(self.head.loss_function, self._metrics, self.out_shape)

    # ---------------------------------------------------------------- inference

    def predict(self, batches: Batches, size: int) -> Any:
        """Return the outputs of all samples in a new array; a tuple of them for several outputs."""
        self.update_layout()
        graph, recorder, workspaces = self._inference
        outputs = self._empty_outputs(len(batches))
        workspace = workspaces.borrow()
        for indices in batches.split(size):
            x = batches.inputs(indices, workspace.outer)

            def compute(x: Any = x) -> Any:
                return self.head.outputs(self._forward(graph, x, workspace), workspace.outer)

            found = recorder.run(workspace, ("predict", indices.stop - indices.start), compute)
            if isinstance(outputs, tuple):
                for output, rows in zip(outputs, found, strict=True):
                    output[indices] = rows
            else:
                outputs[indices] = found
        workspaces.give_back(workspace)
        return outputs

    def _empty_outputs(self, count: int) -> Any:
        if len(self.graph.outputs) == 1:
            return np.empty((count, *self.out_shape), self.dtype)
        return tuple(np.empty((count, *shape), self.dtype) for shape in self.out_shape)

    def evaluate(self, batches: Batches, size: int, totals: Totals | None = None) -> Totals:
        """Return the loss and metrics of samples with targets, added to `totals`; weights do not change."""
        self.update_layout()
        totals = self.totals() if totals is None else totals
        totals.penalty = sum(p.regularizer(p.constant) for p in self._penalized)
        graph, recorder, workspaces = self._inference
        workspace = workspaces.borrow()
        for indices in batches.split(size):
            batch = batches.batch(indices, self.out_shape, workspace.outer)

            def compute(batch: Batch = batch) -> Any:
                loss, _, outputs = self._loss(graph, batch, workspace)
                return loss, outputs

            loss, outputs = recorder.run(workspace, ("evaluate", len(batch.share)), compute)
            totals.add(loss.value, batch.weight, batch.target, outputs, batch.weights)
        workspaces.give_back(workspace)
        return totals

    def _forward(self, graph: Graph, x: Any, workspace: Workspace) -> Any:
        """Return the output of a graph, or the tuple of them, given its inputs."""
        values = graph.forward(each(x), workspace.spaces, workspace.pool)
        return only(values[output] for output in graph.outputs)

    def _loss(self, graph: Graph, batch: Batch, workspace: Workspace) -> tuple[Any, Any, Any]:
        """Compute the loss of a batch.

        Returns an object whose `value` is the loss, the gradients with respect to the outputs of the last steps, and
        the network's outputs.
        """
        z = self._forward(graph, batch.x, workspace)
        return self.head.measure(z, batch.target, batch.share, workspace.outer)

    # ---------------------------------------------------------------- training

    def train_step(self, batches: Batches, indices: Any, totals: Totals) -> float:
        """Update the weights once; return the batch's loss.

        Raises FloatingPointError if the loss or a gradient is not finite. Weights, running statistics and random state
        are then as they were before the call.
        """
        if self.optimizer is None:
            raise NotBuiltError("train_step: expected a compiled network; call compile(loss=...) first")
        self.update_layout()
        workspace = self.workspaces.training()
        batch = batches.batch(indices, self.out_shape, workspace.outer)
        draws = self.randomness.draws
        loss, finite, outputs, deferred = self.recorder.run(
            workspace, ("train", len(batch.share)), lambda: self._compute_gradients(batch, workspace)
        )
        if not (finite.value and isfinite(loss.value)):
            self.randomness.draws = draws
            message = describe_nonfinite(loss.value, self._training_graph, batch.x, workspace.spaces)
            self.randomness.draws = draws
            raise FloatingPointError(message)
        self.team.average_gradients(self._trainable_grads, batch.weight)
        if self._clipnorm is not None:
            workspace.outer.run("clip", clip_norm, limit=self._clipnorm, out=self._trainable_grads)
        self.optimizer.step()
        for step in deferred:
            step()
        self.arena.version += 1
        totals.add(loss.value, batch.weight, batch.target, outputs, batch.weights)
        return loss.value

    def _compute_gradients(self, batch: Batch, workspace: Workspace) -> tuple[Any, Any, Any, list[Any]]:
        """Run the forward and backward pass of a batch.

        Returns objects whose `value` is the loss and whether all gradients are finite, the outputs, and the steps to
        call once the weights are updated.
        """
        outer = workspace.outer
        workspace.tape.deferred.clear()
        for number, grad in enumerate(self._accumulated):
            outer.run(f"zero {number}", fill_zero, out=grad)
        loss, dy, outputs = self._loss(self._training_graph, batch, workspace)
        self._training_graph.backward(each(dy), workspace.spaces, self._needs_gradient, workspace.pool)
        loss = self._add_penalties(loss, outer)
        name = f"finite {len(batch.share)}"
        outer.run(name, all_finite, self._trainable_grads, besides=self._self_checking(workspace.tape.steps))
        return loss, outer.step(name), outputs, list(workspace.tape.deferred)

    @property
    def _penalized(self) -> list[Parameter]:
        """The weights with a penalty, which counts while they are trainable."""
        return [p for p in self._regularized if p.trainable]

    def _add_penalties(self, loss: Any, outer: Space) -> Any:
        """Add the gradients of the regularizers; return an object whose `value` is the loss with the penalties."""
        parts = [loss]
        for number, p in enumerate(self._penalized):
            l1, l2 = p.regularizer.l1, p.regularizer.l2
            name = f"penalty {number}"
            outer.run(name, weight_penalty, p.constant, l1=l1, l2=l2, gradient=p.grad)
            parts.append(outer.step(name))
        return Sum(parts) if len(parts) > 1 else loss

    def _self_checking(self, steps: list[Any] | None) -> list[Any]:
        """Return the steps that report by themselves whether the gradients they wrote are finite."""
        changed = [p.grad for p in self._penalized]
        return [
            step
            for step in steps or ()
            if getattr(step, "reports_finite", False) and not any(step.out is grad for grad in changed)
        ]

    def training_recording(self, size: int) -> TrainingRecording | None:
        """Return the recorded training step for batches of `size` samples, or None if there is no valid one."""
        workspace = None if self.arena.outdated else self.workspaces.current_training
        recording = None if workspace is None else self.recorder.find(workspace, ("train", size))
        if workspace is None or recording is None:
            return None
        loss, finite, outputs, deferred = recording.result
        clip = [] if self._clipnorm is None else [workspace.outer.step("clip")]
        updates = (*clip, self.optimizer.step, *deferred)  # type: ignore[union-attr]
        return TrainingRecording(recording.program.steps, loss, finite, outputs, updates, workspace.outer)
