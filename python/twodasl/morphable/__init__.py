"""Morphable face models: the container, and where models come from."""

from ..geometry.parameters import Whitening, join_parameters, split_parameters
from ..geometry.pose import decompose_pose, matrix_from_angles, pose_matrix
from .load import load_model
from .model import MorphableModel
from .procedural import procedural_model

__all__ = [
    "MorphableModel",
    "Whitening",
    "decompose_pose",
    "join_parameters",
    "load_model",
    "matrix_from_angles",
    "pose_matrix",
    "procedural_model",
    "split_parameters",
]
