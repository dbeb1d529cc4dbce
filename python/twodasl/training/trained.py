"""A trained network, from a checkpoint or from weights."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..morphable import Whitening
from ..networks import build_regressor
from ..weights import SUFFIX, weights_file
from .checkpoint import load_checkpoint
from .config import TrainingConfig
from .weights import read_weights

_SHOWN = (
    "model_name", "model_identity", "model_counts", "model_sketch", "config", "step", "priors", "confidence",
    "about",
)  # fmt: skip


def load_regressor(path: str | os.PathLike[str]) -> tuple[nn.Module, Whitening, dict[str, Any]]:
    """The trained network of a checkpoint or of weights, ready to use.

    path: a file of either kind, or the name of weights that come with the package, see `weights.py`.

    Returns:
        regressor: in evaluation mode; (B, 4, 120, 120) -> whitened (B, 12+K) and the points' numbers, which
            `twodasl.networks.split_output` takes apart. Of averaged weights where the run averaged them.
        whitening: `whitening.unwhiten(split_output(regressor(x), 12 + K).whitened)` are the parameters.
        info: the rest of the checkpoint that describes it: `model_name`, `model_identity`, `model_counts`,
            `model_sketch`, `config`, `step`, and of weights `priors`, `about` and `confidence`, perhaps None.
            Call `check_model` before using a face model with it.

    Raises:
        InputError: as `load_checkpoint` and `read_weights`, or tensors that do not fit the network they claim
            to be.
    """
    path = weights_file(path)
    if path.suffix == ".json" and path.with_suffix(SUFFIX).exists():
        raise InputError(f"{path}: describes weights; give the file of their tensors, {path.stem}{SUFFIX}")
    contents = read_weights(path) if path.suffix == SUFFIX else load_checkpoint(path)
    config = TrainingConfig.from_dict(contents["config"], where=str(path))
    _, shapes, expressions = contents["model_counts"]
    whitening = Whitening(**contents["whitening"])
    try:
        regressor = build_regressor(
            config.network.regressor, 12 + shapes + expressions, config.network.points
        )
        regressor.load_state_dict(contents.get("average", contents["regressor"]))
    except Exception as error:  # torch stops in several ways at tensors of another network
        raise InputError(
            f"{path}: the checkpoint's weights do not fit the network it names,"
            f" {config.network.regressor!r} for {contents['model_counts']} vertices, shapes, expressions"
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in regressor.state_dict().values()):
        raise InputError(f"{path}: its network has NaN or infinity in its weights; take another file")
    return regressor.eval(), whitening, {key: contents[key] for key in _SHOWN if key in contents}
