"""The terms of a step from what its networks gave: one function of tensors, run as it stands or compiled.

Every term is a mean over faces of what a face gives, so all terms, and their weighted sum, are one product of
a constant matrix with all faces' values. What does not change from step to step comes as tensors in `Fixed`:
a compiled graph takes them as inputs, where it would derive or copy them anew in each call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from twodasl_ext import MorphableBasis

from ..geometry.projection import turned_landmarks
from ..landmarks import eighteen_from_21
from . import losses, per_face, shape_losses
from .config import LossConfig
from .gradients import Frame

TRIANGLE = ("landmarks_2d", "landmarks_3d", "cycle")
"""The terms that are one expression."""


@dataclass(frozen=True)
class Packed:
    """What the operators read of a basis that does not change, as inputs of a graph.

    A graph would otherwise derive it from the basis in every call.
    """

    rows: tuple[Tensor, Tensor, int]
    factor: Tensor
    mode_count: int
    dtype: torch.dtype
    device: torch.device
    trained: bool = False
    changing: bool = False

    @classmethod
    def of(cls, basis: MorphableBasis) -> MorphableBasis:
        """In the place of `basis`, for `landmarks`, `importance_weights` and `vertex_distance_cost`."""
        rows, factor = basis.packed_landmarks(), basis.packed_distance_factor()
        return cast(MorphableBasis, cls(rows, factor, basis.mode_count, basis.dtype, basis.device))

    def packed_landmarks(self) -> tuple[Tensor, Tensor, int]:
        """As of the basis."""
        return self.rows

    def packed_distance_factor(self) -> Tensor:
        """As of the basis."""
        return self.factor


@dataclass(frozen=True)
class Fixed:
    """What all steps have in common."""

    basis: MorphableBasis
    marks: MorphableBasis
    """Of the points of the losses."""
    mean: Tensor
    """(12+K,) and"""
    std: Tensor
    """(12+K,), of `Networks.image_frame`."""
    scale: Tensor
    """(12+K,) the whitening's standard deviation."""
    uniform: Tensor
    """(12+K,) weights of L3d without importance."""
    sides: per_face.SideWeights
    pairs: per_face.Pairs
    pose_free: shape_losses.PoseFree
    gaps: Tensor
    """(136, 136) of `shape_losses.gap_metric`."""


@dataclass(frozen=True)
class Given:
    """What the terms of one step are computed from."""

    whitened: Tensor
    """(B, 12+K) of the first pass and"""
    again: Tensor | None
    """(B, 12+K) of the second, where there is one."""
    places: Tensor
    """(B, 68 or 0, 2) and"""
    sigma: Tensor
    """(B, 68 or 0), the network's own points."""
    judged: Tensor | None
    """(B - A,) the critic's logits."""
    observed: Tensor
    visible: Tensor
    parameters: Tensor
    """As in `StepBatch`."""


@dataclass(frozen=True)
class Mix:
    """Constants of a step's faces: how many there are of each kind, and which terms they give to."""

    offset: Tensor
    """(P + A, 12+K) and"""
    factor: Tensor
    """(P + A, 12+K), of `Frame`: from whitened parameters of P = B or 2B rows and A ground truths."""
    means: Tensor
    """(T, V): of values of faces, one term after the other, the terms."""
    whole: Tensor
    """(V,): of these values, the weighted sum of the terms."""


def face_values(
    fixed: Fixed, mix: Mix, given: Given, names: tuple[str, ...], loss: LossConfig
) -> dict[str, Tensor]:
    """What each face gives to each term, by term; `TRIANGLE`'s three, one after the other, under the first.

    names: of the terms to compute.
    """
    annotated = len(given.parameters)
    both, supervised, target = Frame.apply(
        given.whitened, given.again, given.parameters, mix.offset, mix.factor
    )
    values: dict[str, Tensor] = {}
    if "parameters" in names:
        weights = fixed.uniform
        if loss.importance:
            weights = losses.importance_weights(
                fixed.basis, supervised, target, space=loss.space, normalize=loss.normalize
            )
        values["parameters"] = per_face.squares(supervised, target, fixed.scale, weights)
    if "vertices" in names:
        values["vertices"] = losses.vertex_values(fixed.basis, supervised, target)
    if "pose_free" in names:
        values["pose_free"] = shape_losses.pose_free_values(fixed.pose_free, supervised, target)
    if "likelihood" in names or "gaps" in names:
        truth = turned_landmarks(fixed.basis, target)[..., :2]
        if "likelihood" in names:
            values["likelihood"] = likelihood_values(
                given.places, given.sigma, truth, given.observed, given.visible, fixed.pairs
            )
        if "gaps" in names:
            values["gaps"] = shape_losses.gap_values(given.places[:annotated], truth, fixed.gaps)
    if any(name in names for name in TRIANGLE):
        points = turned_landmarks(fixed.marks, both)
        if given.again is None:
            values[TRIANGLE[0]] = per_face.plane_values(points, given.observed, given.visible, fixed.sides)
        else:
            values[TRIANGLE[0]] = per_face.side_values(points, given.observed, given.visible, fixed.sides)
    if given.judged is not None:
        saturating = loss.adversarial == "saturating"
        values["self_critic"] = F.softplus(given.judged if saturating else -given.judged)
    return values


def likelihood_values(
    places: Tensor, sigma: Tensor, truth: Tensor, observed: Tensor, visible: Tensor, pairs: per_face.Pairs
) -> Tensor:
    """What faces, or their points, give to `model.likelihood`, times the number of faces."""
    known = len(truth)
    if known == len(places):
        return per_face.point_values(places, sigma.square(), truth)
    observed, visible = observed[known:], visible[known:]
    if observed.shape[1] == 21:
        observed = eighteen_from_21(observed)
        visible = eighteen_from_21(visible[..., None])[..., 0]
    return per_face.mixed_values(places, sigma, truth, observed, visible, pairs)


def all_values(fixed: Fixed, mix: Mix, given: Given, names: tuple[str, ...], loss: LossConfig) -> Tensor:
    """(V,) those of `face_values`, one term after the other."""
    values = face_values(fixed, mix, given, names, loss).values()
    return torch.cat([each.flatten() for each in values])


def objective(
    fixed: Fixed, mix: Mix, given: Given, names: tuple[str, ...], loss: LossConfig
) -> tuple[Tensor, Tensor]:
    """The weighted sum of the terms, a scalar, and the terms (T,), which have no gradient."""
    values = all_values(fixed, mix, given, names, loss)
    return mix.whole @ values, (mix.means @ values).detach()


def drawn(points: Tensor, inputs: Tensor) -> Tensor:
    """(B, 4, 120, 120) the second pass's input: the image with `landmark_map` of points (B, 18, 2 or more).

    For a compiler: a pixel asks for every point, so there is nothing to scatter.
    """
    size = inputs.shape[-1]
    pixels = torch.arange(size, device=inputs.device, dtype=points.dtype)
    column, row = (points[..., axis, None, None].floor() for axis in (0, 1))
    there = (column[:, 0] == pixels) & (row[:, 0] == pixels[:, None])
    for point in range(1, points.shape[1]):
        there = there | (column[:, point] == pixels) & (row[:, point] == pixels[:, None])
    drawing = torch.where(there, 1.0, -1.0).to(inputs.dtype)
    return torch.cat([inputs[:, :3], drawing[:, None]], dim=1)
