"""Named configurations, and configurations from TOML files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from ..errors import InputError, did_you_mean
from ..io.files import regular_file
from .comments import comment_lines
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
from .records import Record

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Ours have two thousand.
_LARGEST_TOML = 2**20

STAGE_2 = "paper-stage2"
"""The preset that needs `network.start`."""


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two sets of changes as one; tables are merged."""
    both = {**first, **second}
    for key in first.keys() & second.keys():
        both[key] = {**first[key], **second[key]}
    return both


# The paper's networks, weights and optimizers, on synthetic faces. For a GPU.
_PAPER = TrainingConfig(
    preset="paper",
    batch=32,
    photo_batch=32,
    checkpoint_every=500,
    data=DataConfig(faces=120_000, photos=120_000, pool=False, workers=8),
    augment=AugmentConfig(),
    network=NetworkConfig(regressor="resnet50"),
    loss=LossConfig(),
    optimizer=OptimizerConfig(name="sgd", weight_decay=5e-4),
    stage1=StageConfig(steps=120_000, learning_rate=5e-5, final_learning_rate=5e-7, schedule="exponential"),
    stage2=StageConfig(
        steps=30_000,
        learning_rate=1e-5,
        final_learning_rate=1e-7,
        schedule="exponential",
        parameters=0.0,
        vertices=1.0,
    ),
)
# Every part of the method with the small network: about an hour on two cores, half of it without the critic.
# docs/experiments.md found its weight of L2d-con to help most with real photos, and its detector errs as real
# ones do. A network that can trust its landmark map leans on it, so that it sees a few more blank ones.
_SMALL = TrainingConfig(
    preset="small",
    batch=32,
    photo_batch=32,
    data=DataConfig(faces=16_000, photos=10_000, workers=2),
    augment=AugmentConfig(flip=0.5),
    landmarks=LandmarkConfig(shift=0.55, affine=0.02, jitter=0.6, map_dropout=0.2),
    network=NetworkConfig(encoder_widths=(8, 16, 32, 64, 64, 64)),
    loss=LossConfig(landmarks_2d=0.5, cycle=0.005, second_pass_every=4, adversarial="non-saturating"),
    optimizer=OptimizerConfig(ema=0.999),
    stage1=StageConfig(steps=2000, learning_rate=1e-3, final_learning_rate=5e-4, warmup=50),
    stage2=StageConfig(
        steps=5000, learning_rate=7e-4, final_learning_rate=4e-6, parameters=0.0, vertices=0.1
    ),
)
# The same method in the three minutes, rendering included, that `twodasl demo --train` has for it.
_DEMO = TrainingConfig(
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
)

# The default weights of the package, in two steps: a network from synthetic faces and photos with points;
# and one with points of its own, which goes on from it with photos that it has annotated. docs/models.md has
# the recipe.
_BASE_START = replace(
    _SMALL,
    preset="base-start",
    checkpoint_every=500,
    data=replace(_SMALL.data, faces=24_000),
    landmarks=replace(_SMALL.landmarks, map_dropout=0.4),
    network=replace(_SMALL.network, precision="auto"),
    loss=replace(_SMALL.loss, self_critic=0.0, pose_free=0.5, gaps=0.5),
    stage2=replace(_SMALL.stage2, steps=6000),
)
_BASE = replace(
    _BASE_START,
    preset="base",
    fitted_batch=32,
    photo_batch=16,
    data=replace(_BASE_START.data, faces=30_000),
    # A detector's crops are less even than those made from a photo's annotation.
    augment=replace(_BASE_START.augment, shift=3.5, scale=0.075),
    landmarks=replace(_BASE_START.landmarks, map_dropout=0.5),
    network=replace(_BASE_START.network, points=68),
    stage1=replace(_BASE_START.stage1, steps=0),
    stage2=replace(_BASE_START.stage2, steps=9500, learning_rate=4e-4),
)
# The weights for research: on from `base`, with photos that are for research only.
_RESEARCH = replace(
    _BASE,
    preset="research",
    fitted_batch=48,
    network=replace(_BASE.network, start="base"),
    stage2=replace(_BASE.stage2, steps=6000, warmup=100),
)

PRESETS: dict[str, TrainingConfig] = {
    "paper": _PAPER,
    # The stages one at a time: the second goes on from a checkpoint of the first (network.start).
    "paper-stage1": replace(_PAPER, preset="paper-stage1", stage2=replace(_PAPER.stage2, steps=0)),
    STAGE_2: replace(_PAPER, preset=STAGE_2, stage1=replace(_PAPER.stage1, steps=0)),
    "small": _SMALL,
    "base-start": _BASE_START,
    "base": _BASE,
    "research": _RESEARCH,
    "demo": _DEMO,
}
# Names that presets once had, and what they are called now.
_RENAMED = {"small-cpu": "small"}

_NO_CYCLE: dict[str, Any] = {
    "loss": {"landmarks_2d": 0.0, "landmarks_3d": 0.0, "cycle": 0.0},
    # Without self-supervision the paper's network sees the image alone.
    "landmarks": {"map_dropout": 1.0},
}
_NO_MASK: dict[str, Any] = {"loss": {"importance": False, "landmark_weights": False}}
_METHODS: dict[str, dict[str, Any]] = {
    "base": _merged(_NO_CYCLE, {"photo_batch": 0, "loss": {"self_critic": 0.0}}),
    "cyc": {"loss": {"self_critic": 0.0}},
    "sc": _merged(_NO_CYCLE, {"loss": {"self_critic": 0.005}}),
    "cyc+sc": {"loss": {"self_critic": 0.005}},
}
ABLATIONS: dict[str, dict[str, Any]] = {
    **_METHODS,
    **{f"{name}-no-mask": _merged(changes, _NO_MASK) for name, changes in _METHODS.items()},
    **{f"faces-{share}": {"data": {"face_share": share / 100}} for share in (25, 50, 75)},
    **{f"photos-{share}": {"data": {"photo_share": share / 100}} for share in (0, 25, 50, 75)},
}
"""What an ablation changes in a preset: parts of the method (the paper's Table 2), each also without the
mask, and percentages of the data (Table 3)."""


def preset(name: str, ablations: Sequence[str] = ()) -> TrainingConfig:
    """The configuration of that name, changed by ablations. Raises InputError naming those there are."""
    if name in _RENAMED:
        raise InputError(f"preset: {name!r} is now called {_RENAMED[name]!r}; give that name")
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS)
        raise InputError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}{hint}")
    config = PRESETS[name]
    for ablation in ablations:
        if ablation not in ABLATIONS:
            hint = did_you_mean(ablation, ABLATIONS)
            raise InputError(f"ablation: expected one of {', '.join(ABLATIONS)}, got {ablation!r}{hint}")
        config = config.updated({"preset": f"{config.preset} {ablation}", **ABLATIONS[ablation]})
    return config


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tables of a TOML file, for `TrainingConfig.updated`. Raises InputError when it is not one."""
    file = regular_file(path)
    if file.stat().st_size > _LARGEST_TOML:
        raise InputError(f"{path}: expected a TOML configuration of at most {_LARGEST_TOML:,} bytes")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}); give a TOML configuration") from error
    except Exception as error:  # not TOML alone: numbers of thousands of digits, tables in tables in tables
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: expected a TOML configuration, but {reason}") from error


def to_toml(config: TrainingConfig) -> str:
    """The configuration as a TOML file that `read_toml` reads back, with a comment above each setting."""
    lines = _settings(config)
    for table in fields(config):
        inner = getattr(config, table.name)
        if isinstance(inner, Record):
            lines += ["", *comment_lines(TrainingConfig, table.name), f"[{table.name}]", *_settings(inner)]
    return "\n".join(lines) + "\n"


def _settings(record: Record) -> list[str]:
    """The lines of one table, without the tables in it."""
    lines = []
    for key, value in record.to_dict().items():
        if not isinstance(value, dict):
            lines += [*comment_lines(type(record), key), f"{key} = {_toml(value)}"]
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
