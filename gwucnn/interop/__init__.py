"""Weights of networks that PyTorch and Keras have trained, copied into the same network here.

`torch_weights.py` takes a state dict; `keras_weights.py` takes a list, or a file that `keras_file.py` reads. Both use
`feature_order.py` to translate the order of flattened features.

`keras_import.py` makes whole networks: `keras_archive.py` reads the parts of a .keras file, `keras_config.py` finds the
row of layers in its config, and `keras_layers.py` has the layer of gwucnn for each.
"""

from gwucnn.interop.keras_import import import_keras
from gwucnn.interop.keras_weights import load_keras_weights
from gwucnn.interop.torch_weights import load_torch_state_dict

__all__ = ["import_keras", "load_keras_weights", "load_torch_state_dict"]
