"""Synthetic faces from any morphable model, for training without photos."""

from .dataset import SyntheticFaces
from .options import SyntheticOptions

__all__ = ["SyntheticFaces", "SyntheticOptions"]
