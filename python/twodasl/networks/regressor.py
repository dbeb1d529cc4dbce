"""The regressor by name: an image and its landmark map in, whitened parameters out."""

from __future__ import annotations

from torch import nn

from .resnet import ResNet50
from .small import SmallRegressor

REGRESSORS: dict[str, type[nn.Module]] = {"resnet50": ResNet50, "small": SmallRegressor}


def build_regressor(name: str, outputs: int) -> nn.Module:
    """Create a freshly initialized regressor.

    Args:
        name: `"resnet50"`, the paper's network, or `"small"`, which trains on a CPU in minutes.
        outputs: number of outputs, 12 + K.

    Returns:
        A module that maps (B, 4, 120, 120) float32, as built by `twodasl.networks.inputs.network_input`, to
        (B, outputs) float32 *whitened* parameters.
    """
    if name not in REGRESSORS:
        raise ValueError(f"name: expected one of {', '.join(sorted(REGRESSORS))}, got {name!r}")
    if outputs < 13:
        raise ValueError(f"outputs: expected 12 pose numbers and at least one coefficient, got {outputs}")
    return REGRESSORS[name](outputs).float()  # regardless of torch's default dtype
