"""Fused, differentiable morphable-model operators for PyTorch.

They take any mean (N, 3), modes (K, N, 3) and list of landmark vertices; see docs/operators.md.
"""

from importlib import import_module as _import_module
from types import FunctionType as _FunctionType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from ._dispatch import not_scriptable as _not_scriptable
from ._fit_inputs import Perspective
from ._load import native as _native
from ._load import version as _version
from .basis import MorphableBasis
from .chamfer import chamfer_distance, one_sided_distance
from .closest import closest_point_on_mesh
from .contours import Contours
from .distance import vertex_distance_cost
from .fit import LandmarkFit, fit_landmarks
from .fit_priors import CoefficientPrior, join_points
from .icp import ICPResult, iterative_closest_point
from .importance import importance_weights
from .landmarks import landmarks
from .many_neighbors import k_nearest_neighbors
from .memory import release_memory
from .neighbors import PointIndex, nearest_neighbors
from .rasterize import rasterize
from .rotation import nearest_rotation
from .skin import skin
from .vertices import vertices

if _TYPE_CHECKING:
    from . import reference as reference

    __version__: str


def __getattr__(name: str) -> object:
    if name == "reference":  # at its first use
        return _import_module(".reference", __name__)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


build_info = _native.build_info
cpu_capability = _native.cpu_capability

__all__ = [
    "CoefficientPrior",
    "Contours",
    "ICPResult",
    "LandmarkFit",
    "MorphableBasis",
    "Perspective",
    "PointIndex",
    "__version__",
    "build_info",
    "chamfer_distance",
    "closest_point_on_mesh",
    "cpu_capability",
    "fit_landmarks",
    "importance_weights",
    "iterative_closest_point",
    "join_points",
    "k_nearest_neighbors",
    "landmarks",
    "nearest_neighbors",
    "nearest_rotation",
    "one_sided_distance",
    "rasterize",
    "release_memory",
    "skin",
    "vertex_distance_cost",
    "vertices",
]

_not_scriptable(*(value for name in __all__ if isinstance(value := globals().get(name), _FunctionType)))
