"""Fused, differentiable morphable-model operators for PyTorch.

They take any mean (N, 3), modes (K, N, 3) and list of landmark vertices; see docs/operators.md.
"""

from ._load import native as _native
from .basis import MorphableBasis
from .distance import vertex_distance_cost
from .importance import importance_weights
from .landmarks import landmarks
from .memory import release_memory
from .neighbors import PointIndex, nearest_neighbors
from .rasterize import rasterize
from .vertices import vertices

build_info = _native.build_info
cpu_capability = _native.cpu_capability

__all__ = [
    "MorphableBasis",
    "PointIndex",
    "build_info",
    "cpu_capability",
    "importance_weights",
    "landmarks",
    "nearest_neighbors",
    "rasterize",
    "release_memory",
    "vertex_distance_cost",
    "vertices",
]
