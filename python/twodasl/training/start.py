"""Starting from weights that are there: a checkpoint of ours, ImageNet's, or the authors'."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..io.torch_files import read_saved
from ..morphable import MorphableModel
from ..networks import ResNet50, authors_state_dict, imagenet_state_dict, load_weights
from ..weights import SHIPPED, SUFFIX, weights_file
from .checkpoint import FORMAT, check_model, checked
from .config import NetworkConfig
from .model import Networks
from .weights import read_weights


def start(networks: Networks, config: NetworkConfig, model: MorphableModel) -> None:
    """Put the weights of the file `config.start`, or those of the package of that name, into fresh networks.

    A checkpoint of ours gives all three networks and the whitening they were trained with, so that the second
    stage goes on from the first; of averaged weights where it has them. Weights give the
    regressor and the whitening, the other files the regressor.

    Raises InputError when the file is none of these, or belongs to another network or face model.
    """
    path = str(weights_file(config.start)) if config.start in SHIPPED else config.start
    if Path(path).suffix == SUFFIX:
        saved = read_weights(path)
        check_model(path, saved, model)
        with _fitting(path, config):
            load_weights(networks.regressor, saved["regressor"])
            networks.whitening.load_state_dict(saved["whitening"])
        return
    contents = _read(path)
    if contents.get("format") == FORMAT:
        saved = checked(path, contents)
        check_model(path, saved, model)
        with _fitting(path, config):
            load_weights(networks.regressor, saved.get("average", saved["regressor"]))
            networks.encoder.load_state_dict(saved["encoder"])
            networks.critic.load_state_dict(saved["critic"])
            networks.whitening.load_state_dict(saved["whitening"])
    elif isinstance(networks.regressor, ResNet50):
        load_start_weights(networks.regressor, path, contents)
    else:
        raise InputError(
            f"{path}: is no twodasl checkpoint, and ImageNet's or the authors' weights are for"
            f" network.regressor=resnet50, got {config.regressor!r}"
        )


@contextmanager
def _fitting(path: str, config: NetworkConfig) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torch stops in several ways at tensors of other networks
        raise InputError(
            f"{path}: was trained with other networks than {config.regressor!r} and the encoder asked for;"
            " give the same network.* settings"
        ) from error


def load_start_weights(
    regressor: nn.Module, path: str | os.PathLike[str], contents: dict | None = None
) -> None:
    """Start a ResNet-50 from torchvision's ImageNet weights, or a checkpoint of the authors' trainer.

    ImageNet weights leave the last layer as it is. contents: of the file, where it was read already. Raises
    InputError when it is neither.
    """
    contents = _read(path) if contents is None else contents
    authors = "res_state_dict" in contents
    try:
        state = authors_state_dict(contents) if authors else imagenet_state_dict(contents)
        missing, unexpected = regressor.load_state_dict(state, strict=authors)
    except Exception as error:  # names and values may be anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: expected a ResNet-50, ImageNet's or the authors', with as many outputs as the face"
            f" model needs; {reason}"
        ) from error
    if unexpected or any(not name.startswith("fc.") for name in missing):
        raise InputError(f"{path}: expected a ResNet-50; its layers have other names")
    if any(not torch.isfinite(value).all() for value in regressor.state_dict().values()):
        raise InputError(f"{path}: expected finite weights, got NaN or infinity; download the file again")


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    contents = read_saved(path, "a file of weights", "give a file of tensors alone")
    if not isinstance(contents, dict):
        raise InputError(f"{path}: cannot be read as weights; give a file of named tensors")
    return contents
