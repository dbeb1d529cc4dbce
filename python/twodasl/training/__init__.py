"""Training: configuration, the loop, checkpoints."""

from .checkpoint import check_model, load_checkpoint, load_regressor, save_checkpoint
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
from .loop import Progress, TrainingResult, train
from .presets import ABLATIONS, PRESETS, preset

__all__ = [
    "ABLATIONS",
    "PRESETS",
    "AugmentConfig",
    "DataConfig",
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
