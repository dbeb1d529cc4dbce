"""Similarity motions x -> scale R x + t, a batch of them, and their small steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import twodasl_ext


@dataclass(frozen=True, eq=False)
class Similarity:
    """B motions, float64. rotation: (B, 3, 3). translation: (B, 3). scale: (B,)."""

    rotation: Tensor
    translation: Tensor
    scale: Tensor

    def __getitem__(self, which: Any) -> Similarity:
        return Similarity(self.rotation[which], self.translation[which], self.scale[which])

    def turn(self, directions: Tensor) -> Tensor:
        """Directions (B, M, 3), turned alone."""
        return directions @ self.rotation.mT.to(directions.dtype)

    def apply(self, points: Tensor) -> Tensor:
        """Points (B, M, 3), or (M, 3) for all, moved, in their dtype."""
        matrix = (self.scale[:, None, None] * self.rotation).mT.to(points.dtype)
        return points @ matrix + self.translation[:, None].to(points.dtype)

    def back(self, points: Tensor) -> Tensor:
        """Points (B, M, 3), or (M, 3) for all, moved back, in their dtype."""
        matrix = (self.rotation / self.scale[:, None, None]).to(points.dtype)
        return (points - self.translation[:, None].to(points.dtype)) @ matrix

    def after(self, first: Similarity) -> Similarity:
        """The motion that does `first` and then this one."""
        scale, turned = self.scale[:, None], (self.rotation @ first.translation[..., None])[..., 0]
        rotation = twodasl_ext.nearest_rotation(self.rotation @ first.rotation)
        return Similarity(rotation, scale * turned + self.translation, self.scale * first.scale)

    def step(self, unknowns: Tensor) -> Similarity:
        """The motion after a small one in the target's space, about this one's translation.

        unknowns: (B, 7): rotation vector, growth, shift; see `plane_rows`.
        """
        w, growth, shift = unknowns[:, :3], unknowns[:, 3], unknowns[:, 4:7]
        turn = torch.linalg.matrix_exp(torch.linalg.cross(w[:, None].expand(-1, 3, -1), _eye(w)).mT)
        # Products of rotations drift; Horn's nearest one does not.
        rotation = twodasl_ext.nearest_rotation(turn @ self.rotation)
        return Similarity(rotation, self.translation + shift, self.scale * growth.clamp(-0.5, 0.5).exp())


def joined(parts: list[Similarity]) -> Similarity:
    """One batch of several."""
    return Similarity(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("rotation", "translation", "scale"))
    )


def plane_rows(about: Tensor, normals: Tensor) -> Tensor:
    """(B, M, 7): how far a unit of each unknown of `Similarity.step` moves points along their normals.

    about: (B, M, 3), the moved points less the translation. normals: (B, M, 3), unit vectors.
    """
    growth = (about * normals).sum(dim=-1, keepdim=True)
    return torch.cat((torch.linalg.cross(about, normals), growth, normals), dim=-1)


def matched(source: Tensor, target: Tensor, weights: Tensor) -> Similarity:
    """The motions of pairs (B, M, 3) with weights (B, M): Horn's rotation, and his symmetric scale.

    The least-squares scale is too small where pairs are wrong, by as much as they are uncorrelated, and
    a search that begins with wrong pairs would shrink its model; the ratio of the spreads is not.
    """
    source, target = source.double(), target.double()
    share = (weights / weights.sum(dim=1, keepdim=True)).double()[..., None]
    from_middle, to_middle = (source * share).sum(dim=1), (target * share).sum(dim=1)
    centered, aim = source - from_middle[:, None], target - to_middle[:, None]
    rotation = twodasl_ext.nearest_rotation((aim * share).mT @ centered)
    spread = (centered.square() * share).sum(dim=(1, 2)).clamp_min(1e-30)
    scale = ((aim.square() * share).sum(dim=(1, 2)) / spread).sqrt().clamp_min(1e-12)
    moved = scale[:, None] * (rotation @ from_middle[..., None])[..., 0]
    return Similarity(rotation, to_middle - moved, scale)


def _eye(like: Tensor) -> Tensor:
    return torch.eye(3, dtype=like.dtype, device=like.device).expand(len(like), 3, 3)
