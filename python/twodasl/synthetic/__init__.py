"""Synthetic faces from any morphable model, for training without photographs."""

from .dataset import SyntheticFaces
from .options import SyntheticOptions
from .pool import FacePool, generate_pool

__all__ = ["FacePool", "SyntheticFaces", "SyntheticOptions", "generate_pool"]
