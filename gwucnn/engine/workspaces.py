"""The workspaces of a network: one for training, and one for each thread that is in `predict` or `evaluate`."""

from __future__ import annotations

from typing import Any

from gwucnn.layers.graphs.graph import Graph
from gwucnn.memory import Arena, Randomness, Workspace

__all__ = ["Workspaces"]


class Workspaces:
    """Lends out buffers for the passes of one network.

    Parameters
    ----------
    training, inference : Graph
        The steps of the plans that run over them.
    arena : Arena
    dtype : numpy dtype
    winograd : bool
        Whether convolutions may use Winograd's algorithm.
    randomness : Randomness
        Where layers draw random numbers in training.
    """

    def __init__(
        self,
        training: Graph,
        inference: Graph,
        arena: Arena,
        dtype: Any,
        *,
        winograd: bool,
        randomness: Randomness,
    ) -> None:
        self._training_graph, self._inference_graph = training, inference
        self._arena, self._dtype, self._winograd, self._randomness = arena, dtype, winograd, randomness
        self._idle: list[Workspace] = []
        self._training: Workspace | None = None

    def clear(self) -> None:
        """Drop all workspaces, and with them whatever was recorded."""
        self._idle.clear()
        self._training = None

    @property
    def current_training(self) -> Workspace | None:
        """The training workspace if there is one and its bound steps still apply."""
        return self._training if self._training is not None and self._training.is_current else None

    def training(self) -> Workspace:
        """Return the training workspace, the same one for every batch."""
        workspace = self.current_training
        if workspace is None:
            graph = self._training_graph
            workspace = self._training = Workspace(
                graph.needs_dx(graph.needs_gradient()),
                self._dtype,
                training=True,
                winograd=self._winograd,
                randomness=self._randomness,
            )
            for space, accumulates in zip(workspace.spaces, graph.accumulates(), strict=True):
                space.accumulates = accumulates
        return workspace

    def borrow(self) -> Workspace:
        """Return an inference workspace that no other thread uses, until `give_back`."""
        # list.pop and list.append are atomic: threads that predict at the same time get a workspace each.
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = None
        constant = self._arena.tracked
        if workspace is None or not workspace.is_current or workspace.constant_weights != constant:
            workspace = Workspace(
                [False] * len(self._inference_graph.nodes),
                self._dtype,
                training=False,
                winograd=self._winograd,
                constant_weights=constant,
            )
        return workspace

    def give_back(self, workspace: Workspace) -> None:
        """Take a workspace back for the next call. One whose pass raised an exception is not given back."""
        self._idle.append(workspace)
