"""ARKit's 52 blend shapes: the names, a model's shapes, and weights from and to expressions."""

from .names import ARKIT_NAMES, mirror_name
from .shapes import arkit_shapes, has_arkit_shapes
from .weights import arkit_weights, from_arkit, to_arkit

__all__ = [
    "ARKIT_NAMES",
    "arkit_shapes",
    "arkit_weights",
    "from_arkit",
    "has_arkit_shapes",
    "mirror_name",
    "to_arkit",
]
