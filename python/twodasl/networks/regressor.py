"""The regressor by name: an image and its landmark map in, whitened parameters out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .resnet import ResNet50
from .small import SmallRegressor

REGRESSORS: dict[str, type[nn.Module]] = {"resnet50": ResNet50, "small": SmallRegressor}


def build_regressor(name: str, outputs: int, points: int = 0) -> nn.Module:
    """Create a freshly initialized regressor.

    Args:
        name: `"resnet50"`, the paper's network, or `"small"`, which trains on a CPU in minutes.
        outputs: number of parameters, 12 + K.
        points: how many points it regresses beside them, see `outputs.py`.

    Returns:
        A module that maps (B, 4, 120, 120) float32, as built by `twodasl.networks.inputs.network_input`, to
        (B, outputs + 3 points) float32: *whitened* parameters first; `split_output` takes them apart.
    """
    if name not in REGRESSORS:
        raise ValueError(f"name: expected one of {', '.join(sorted(REGRESSORS))}, got {name!r}")
    if outputs < 13:
        raise ValueError(f"outputs: expected 12 pose numbers and at least one coefficient, got {outputs}")
    if points < 0:
        raise ValueError(f"points: expected a number from 0, got {points}")
    # Regardless of torch's default dtype.
    return REGRESSORS[name](outputs + 3 * points).float()


def load_weights(regressor: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put the weights of a regressor of the same kind into this one, which may have points where it had none.

    Outputs that the other one lacks stay as they are; those that this one lacks are left out. Raises
    RuntimeError, as `load_state_dict`, where anything else differs.
    """
    own, fitting = regressor.state_dict(), dict(state)
    for name in (f"{regressor.LAST}.weight", f"{regressor.LAST}.bias"):
        if name in own and name in fitting and own[name].shape[1:] == fitting[name].shape[1:]:
            common = min(len(own[name]), len(fitting[name]))
            whole = own[name].clone()
            whole[:common] = fitting[name][:common]
            fitting[name] = whole
    regressor.load_state_dict(fitting)
