"""Morphable face models: the container, and where models come from."""

from ..geometry.parameters import Whitening, join_parameters, split_parameters
from ..geometry.pose import decompose_pose, matrix_from_angles, pose_matrix
from .arkit import ARKIT_NAMES, arkit_shapes, arkit_weights, from_arkit, has_arkit_shapes, to_arkit
from .load import load_model
from .model import MorphableModel
from .posing import PosedHead
from .procedural import procedural_model
from .skinning import Skinning
from .uv import UvLayout, uv_layout

__all__ = [
    "ARKIT_NAMES",
    "MorphableModel",
    "PosedHead",
    "Skinning",
    "UvLayout",
    "Whitening",
    "arkit_shapes",
    "arkit_weights",
    "decompose_pose",
    "from_arkit",
    "has_arkit_shapes",
    "join_parameters",
    "load_model",
    "matrix_from_angles",
    "pose_matrix",
    "procedural_model",
    "split_parameters",
    "to_arkit",
    "uv_layout",
]
