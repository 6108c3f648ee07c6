"""Weights of networks that PyTorch and Keras have trained, copied into the same network here.

`torch_weights.py` takes a state dict; `keras_weights.py` takes a list, or a file that `keras_file.py` reads.
Both use `feature_order.py` to translate the order of flattened features.
"""

from gwucnn.interop.keras_weights import load_keras_weights
from gwucnn.interop.torch_weights import load_torch_state_dict

__all__ = ["load_keras_weights", "load_torch_state_dict"]
