"""Synthetic faces from any morphable model, for training without photographs."""

from .dataset import SyntheticFaces
from .options import SyntheticOptions

__all__ = ["SyntheticFaces", "SyntheticOptions"]
