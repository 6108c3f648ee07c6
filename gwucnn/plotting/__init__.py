"""Pictures of networks and of their training, drawn by matplotlib (the extra ``plot``).

Each function returns a matplotlib Figure, to be shown (``matplotlib.pyplot.show()``), saved
(``figure.savefig(path)``) or modified.
"""

from gwucnn.plotting.explanations import grad_cam, saliency
from gwucnn.plotting.training import confusion_matrix, learning_curves
from gwucnn.plotting.weights import feature_maps, filters

__all__ = ["confusion_matrix", "feature_maps", "filters", "grad_cam", "learning_curves", "saliency"]
