"""Pictures of networks and of their training, drawn by matplotlib (the extra ``plot``).

Each function returns a matplotlib Figure, which a notebook shows as the value of a cell. Elsewhere save it,
``figure.savefig(path)``, or open a window, ``figure.show()``. pyplot does not know these figures, so none has to be
closed. To draw into a figure of your own, pass its Axes as ``ax``: one, or for several panels as many as there are.
"""

from gwucnn.plotting.augmentation import augmented
from gwucnn.plotting.diagram import network_diagram
from gwucnn.plotting.explanations import grad_cam, saliency
from gwucnn.plotting.gradients import gradients
from gwucnn.plotting.mistakes import most_confused
from gwucnn.plotting.training import confusion_matrix, learning_curves, lr_find
from gwucnn.plotting.weights import feature_maps, filters
from gwucnn.plotting.window import sliding_window

__all__ = [
    "augmented",
    "confusion_matrix",
    "feature_maps",
    "filters",
    "grad_cam",
    "gradients",
    "learning_curves",
    "lr_find",
    "most_confused",
    "network_diagram",
    "saliency",
    "sliding_window",
]
