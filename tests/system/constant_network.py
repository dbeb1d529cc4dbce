"""A checkpoint of a network that answers the same parameters for every crop."""

from pathlib import Path

import torch
from twodasl.morphable import MorphableModel
from twodasl.morphable.sketch import sketch
from twodasl.networks import build_regressor
from twodasl.training.checkpoint import save_checkpoint
from twodasl.training.config import TrainingConfig


def save_constant_network(file: Path, model: MorphableModel, parameters: torch.Tensor, step: int = 7) -> None:
    config = TrainingConfig()
    regressor = build_regressor(config.network.regressor, len(parameters))
    with torch.no_grad():
        for weight in regressor.parameters():
            weight.zero_()  # a network without weights answers 0: the whitening's mean
    save_checkpoint(
        file,
        {
            "config": config.to_dict(),
            "model_name": model.name,
            "model_identity": model.identity,
            "model_counts": list(model.counts),
            "model_sketch": torch.from_numpy(sketch(model)),
            "whitening": {"mean": parameters, "std": torch.ones_like(parameters)},
            "regressor": regressor.state_dict(),
            "step": step,
        },
    )
