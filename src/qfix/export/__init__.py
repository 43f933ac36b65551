"""Policies that leave the library: as an ONNX model, or as named arrays for plain NumPy.

    from qfix.export import to_onnx, to_weights

What a policy is made of is known by one module a family, `network.py` and `table.py`, imported when a policy of that
family is written. A model is held against the policy's own `predict` before anything is published.
"""

from qfix.export.onnx_file import to_onnx
from qfix.export.weights_file import to_weights

__all__ = ["to_onnx", "to_weights"]
