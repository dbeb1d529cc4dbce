"""What the terms of a step need that does not change from step to step, computed once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..geometry.projection import row_signs
from . import per_face, shape_losses
from .config import LossConfig
from .objective import TRIANGLE, Fixed, Given, Mix, Packed

if TYPE_CHECKING:
    from .model import Networks


def fixed_of(networks: Networks, loss: LossConfig, packed: bool) -> Fixed:
    """For these networks. packed: as inputs of a graph; otherwise with the bases themselves."""
    version = _version(networks)
    key = ("fixed", packed, loss.landmark_weights, loss.space, loss.normalize)
    kept = networks.kept.get(key)
    if kept is None or kept[0] != version:
        kept = networks.kept[key] = (version, _fixed(networks, loss, packed))
    fixed: Fixed = kept[1]
    return fixed


def mix_of(networks: Networks, given: Given, weights: dict[str, float], saturating: bool, flat: bool) -> Mix:
    """For the faces of a step and the terms in `weights`, each with its weight.

    flat: whether the likelihood comes point by point, see `per_face.mixed_values`.
    """
    version = _version(networks)
    faces, annotated, second = len(given.whitened), len(given.parameters), given.again is not None
    key = ("mix", faces, annotated, second, tuple(weights.items()), saturating, flat)
    kept = networks.kept.get(key)
    if kept is None or kept[0] != version:
        parts = _parts(tuple(weights), faces, annotated, second, saturating, flat)
        kept = networks.kept[key] = (version, _mix(networks, parts, weights, faces * (1 + second), annotated))
    mix: Mix = kept[1]
    return mix


def _version(networks: Networks) -> tuple[Any, ...]:
    """Changes where a checkpoint's whitening is put in place."""
    mean, std = networks.whitening.mean, networks.whitening.std
    return mean.data_ptr(), mean._version, std.data_ptr(), std._version


@torch.no_grad()
def _fixed(networks: Networks, loss: LossConfig, packed: bool) -> Fixed:
    basis, marks, std = networks.basis, networks.marks, networks.whitening.std
    mean, turned_std = networks.image_frame()
    return Fixed(
        basis=Packed.of(basis) if packed else basis,
        marks=Packed.of(marks) if packed else marks,
        mean=mean,
        std=turned_std,
        scale=std.clone(),
        uniform=per_face.uniform_weights(std, loss.space, loss.normalize),
        sides=per_face.side_weights(marks.mean, equal=not loss.landmark_weights),
        pairs=per_face.pairs(std),
        pose_free=shape_losses.pose_free_form(networks.metric),
        gaps=shape_losses.gap_metric(std),
    )


def _parts(
    names: tuple[str, ...], faces: int, annotated: int, second: bool, saturating: bool, flat: bool
) -> list[tuple[str, int, float]]:
    """Of `objective.all_values`: which term, how many values, and what each counts in the term."""
    others = faces - annotated
    parts: list[tuple[str, int, float]] = []
    for name in ("parameters", "vertices", "pose_free", "likelihood", "gaps"):
        count = annotated
        if name == "likelihood":
            count = 68 * annotated + 18 * others if flat and others else faces
        if name in names:
            parts.append((name, count, 1 / (faces if name == "likelihood" else annotated)))
    if any(name in names for name in TRIANGLE):
        parts += [(name, faces, 1 / faces) for name in (TRIANGLE if second else TRIANGLE[:1])]
    if "self_critic" in names:
        parts.append(("self_critic", others, (-1 if saturating else 1) / others))
    return parts


@torch.no_grad()
def _mix(
    networks: Networks,
    parts: list[tuple[str, int, float]],
    weights: dict[str, float],
    predicted: int,
    annotated: int,
) -> Mix:
    like = networks.whitening.std
    (mean, std), (level, signs) = networks.image_frame(), row_signs(like)
    columns: list[Tensor] = [
        torch.tensor([[factor if name == row else 0.0] for row in weights], dtype=torch.float64).expand(
            -1, count
        )
        for name, count, factor in parts
    ]
    means = torch.cat(columns, dim=1)
    whole = torch.tensor(list(weights.values()), dtype=torch.float64) @ means
    return Mix(
        offset=torch.cat([mean.expand(predicted, -1), level.expand(annotated, -1)]),
        factor=torch.cat([std.expand(predicted, -1), signs.expand(annotated, -1)]),
        means=means.to(like),
        whole=whole.to(like),
    )
