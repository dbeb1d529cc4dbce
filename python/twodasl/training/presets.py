"""Named configurations, and configurations from TOML files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError
from .config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    NetworkConfig,
    OptimizerConfig,
    StageConfig,
    TrainingConfig,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS: dict[str, TrainingConfig] = {
    # The paper's networks, weights and optimisers, on synthetic faces. For a GPU.
    "paper": TrainingConfig(
        preset="paper",
        batch=32,
        photo_batch=32,
        checkpoint_every=500,
        data=DataConfig(faces=120_000, photos=120_000, pool=False, workers=8),
        augment=AugmentConfig(),
        network=NetworkConfig(regressor="resnet50"),
        loss=LossConfig(),
        optimizer=OptimizerConfig(name="sgd", weight_decay=5e-4),
        stage1=StageConfig(
            steps=120_000, learning_rate=5e-5, final_learning_rate=5e-7, schedule="exponential"
        ),
        stage2=StageConfig(
            steps=30_000,
            learning_rate=1e-5,
            final_learning_rate=1e-7,
            schedule="exponential",
            parameters=0.0,
            vertices=1.0,
        ),
    ),
    # Every part of the method with the small network: about half an hour on two cores.
    "small": TrainingConfig(
        preset="small",
        batch=48,
        photo_batch=16,
        data=DataConfig(faces=16_000, photos=4_000),
        loss=LossConfig(cycle=0.005, second_pass_every=2, adversarial="non-saturating"),
        stage1=StageConfig(steps=3000, learning_rate=1e-3, final_learning_rate=2e-4, warmup=50),
        stage2=StageConfig(
            steps=3000, learning_rate=4e-4, final_learning_rate=4e-6, parameters=0.0, vertices=0.1
        ),
    ),
    # The same method in the three minutes, rendering included, that `twodasl demo` has for it.
    "demo": TrainingConfig(
        preset="demo",
        batch=32,
        time_limit=190,
        photo_batch=8,
        data=DataConfig(faces=7_000, photos=1_000, workers=2),
        network=NetworkConfig(encoder_widths=(8, 16, 32, 64, 64, 64), precision="auto"),
        loss=LossConfig(cycle=0.005, second_pass_every=8, adversarial="non-saturating", self_critic=0.0),
        stage1=StageConfig(steps=500, learning_rate=1e-3, final_learning_rate=5e-4, warmup=30),
        stage2=StageConfig(
            steps=1000, learning_rate=7e-4, final_learning_rate=1e-5, parameters=0.0, vertices=0.1
        ),
    ),
}


def preset(name: str) -> TrainingConfig:
    """The configuration of that name. Raises InputError naming the presets there are."""
    if name not in PRESETS:
        raise InputError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tables of a TOML file, for `TrainingConfig.updated`. Raises InputError when it is not one."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}); give a TOML configuration") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: expected a TOML configuration, but {error}") from error


def to_toml(config: TrainingConfig) -> str:
    """The configuration as a TOML file that `read_toml` reads back."""
    values = config.to_dict()
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for table, inner in values.items():
        if isinstance(inner, dict):
            lines += ["", f"[{table}]"] + [f"{key} = {_toml(value)}" for key, value in inner.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
