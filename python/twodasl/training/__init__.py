"""Training: configuration, the loop, checkpoints.

The names below are imported when they are first used: reading a checkpoint needs no training loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checkpoint import check_model, load_checkpoint, save_checkpoint
    from .config import (
        AugmentConfig,
        DataConfig,
        LandmarkConfig,
        LossConfig,
        NetworkConfig,
        OptimizerConfig,
        StageConfig,
        TrainingConfig,
    )
    from .hooks import Progress
    from .loop import TrainingResult, train
    from .presets import ABLATIONS, PRESETS, preset
    from .streams import FacePool
    from .trained import load_regressor

__all__ = [
    "ABLATIONS",
    "PRESETS",
    "AugmentConfig",
    "DataConfig",
    "FacePool",
    "LandmarkConfig",
    "LossConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "Progress",
    "StageConfig",
    "TrainingConfig",
    "TrainingResult",
    "check_model",
    "load_checkpoint",
    "load_regressor",
    "preset",
    "save_checkpoint",
    "train",
]

_HOMES = {
    ".checkpoint": ("check_model", "load_checkpoint", "save_checkpoint"),
    ".hooks": ("Progress",),
    ".loop": ("TrainingResult", "train"),
    ".presets": ("ABLATIONS", "PRESETS", "preset"),
    ".streams": ("FacePool",),
    ".trained": ("load_regressor",),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), ".config")
    return getattr(import_module(home, __name__), name)
