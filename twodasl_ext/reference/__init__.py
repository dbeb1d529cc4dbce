"""The operators in plain PyTorch: the oracle of the tests and the baseline of the benchmarks.

The same names and arguments as `twodasl_ext`, with a plain mean (N, 3), modes (K, N, 3) and landmarks (L,)
in place of a basis. Everything is differentiable by autograd and runs in the dtype of its inputs.
"""

from .chamfer import chamfer_distance, one_sided_distance
from .closest import closest_point_on_mesh
from .distance import vertex_distance_cost
from .fit import fit_landmarks
from .fit_backward import fit_landmarks_backward
from .fit_start import fit_start
from .icp import iterative_closest_point
from .importance import importance_weights
from .landmarks import landmarks
from .many_neighbors import k_nearest_neighbors
from .neighbors import nearest_neighbors
from .rasterize import rasterize
from .rotation import nearest_rotation
from .skin import skin
from .vertices import vertices

__all__ = [
    "chamfer_distance",
    "closest_point_on_mesh",
    "fit_landmarks",
    "fit_landmarks_backward",
    "fit_start",
    "importance_weights",
    "iterative_closest_point",
    "k_nearest_neighbors",
    "landmarks",
    "nearest_neighbors",
    "nearest_rotation",
    "one_sided_distance",
    "rasterize",
    "skin",
    "vertex_distance_cost",
    "vertices",
]
