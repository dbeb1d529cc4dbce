"""Stands in for a network: an oracle that knows each photo by its gray, and errs as it is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from twodasl.geometry.crops import Crop, flip_y
from twodasl.morphable.sketch import sketch
from twodasl.networks import build_regressor
from twodasl.training import TrainingConfig, save_checkpoint

from twodasl_ext import CoefficientPrior, Contours, fit_landmarks

BOX = (0.0, 0.0, 120.0, 120.0)


def checkpoint(folder, head, points, dropout=0.15):
    config = TrainingConfig().updated({"network": {"points": points}, "landmarks": {"map_dropout": dropout}})
    size = 12 + len(head.coefficient_std)
    path = folder / f"{points}-{dropout}.pt"
    if not path.exists():
        save_checkpoint(
            path,
            {
                "config": config.to_dict(),
                "model_name": head.name,
                "model_identity": head.identity,
                "model_counts": list(head.counts),
                "model_sketch": torch.from_numpy(sketch(head)),
                "whitening": {"mean": torch.zeros(size), "std": torch.ones(size)},
                "regressor": build_regressor("small", size, points).state_dict(),
                "step": 0,
            },
        )
    return path


@dataclass
class Oracle:
    """Answers of a network: `blank` where the map is, else `marked`; points of its own with their sigma."""

    blank: torch.Tensor
    marked: torch.Tensor
    points: torch.Tensor | None = None
    sigma: float = 2.0
    calls: int = 0
    shown: int = 0

    def __call__(self, batch):
        self.calls += 1
        index = ((batch[:, 0, 60, 60] * 128 + 127.5).round() / 20).long() - 1
        seen = (batch[:, 3] > 0).flatten(1).any(1)
        self.shown += int(seen.sum())
        parts = [torch.where(seen[:, None], self.marked[index], self.blank[index])]
        if self.points is not None:
            parts.append(((self.points[index] - 59.5) / 30).flatten(1))
            parts.append(torch.full((len(batch), 68), float(np.log(self.sigma / 4))))
        return torch.cat(parts, dim=1)


def outlined(basis, parameters):
    """(B, 68, 2) crop pixels as a detector gives them: those of the jaw lie on the outline in the image."""
    known = CoefficientPrior.of_deviations(torch.ones_like(parameters[:, 12:]), parameters[:, 12:])
    # Without a step, a fit only chooses what lies outermost.
    chosen = fit_landmarks(
        basis,
        torch.zeros(len(parameters), 68, 2),
        1.0,
        start=parameters[:, :12].reshape(-1, 3, 4),
        prior=known,
        contours=Contours.of_outline(basis, range(17)),
        iterations=0,
    ).residuals
    return torch.stack([-chosen[..., 0], flip_y(-chosen[..., 1])], dim=-1)


def photo(index):
    return np.full((120, 120, 3), 20 * (index + 1), np.uint8)


def in_photo(points):
    return Crop(*BOX).to_image(points.numpy().astype(np.float64))


def moved(parameters, pixels):
    """The same faces, shifted."""
    return parameters + torch.nn.functional.one_hot(torch.tensor(3), parameters.shape[1]) * pixels


def noisy(marks, deviation, seed=0):
    return marks + deviation * torch.randn(marks.shape, generator=torch.Generator().manual_seed(seed))
