"""Where a head is in a scan of unknown unit and orientation: many starts, of which the best go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import twodasl_ext

from .scan import Scan
from .similarity import Similarity, joined, matched, plane_rows
from .surface import Surface

UNITS = {"mm": 1.0, "cm": 0.1, "inch": 1 / 25.4, "m": 0.001}
"""Units in which heads are scanned: how many of each are a millimeter."""

TRIM = 0.4
"""The share of a scan's points that may belong to something else than the head."""

_TURNS = 96  # rotations beside the 24 of the axes: no orientation is further than 35 degrees from one
# Rounds: the scan's points, iterations of closest points and of tangent planes, the distance (of the scan's
# size) at which a pair counts little in the latter, and how many motions go on.
_ROUNDS = ((150, 2, 4, 0.3, 120), (300, 0, 4, 0.2, 40), (500, 0, 4, 0.12, 12))
_WHOLE = 0.05  # weight of a pair's distance beside that along the normal
_MODEL_POINTS = 3000
_PLANE_POINTS, _PLANE_STEPS = 800, 10
_FACE = 90.0  # millimeters about the landmarks' middle, which most scans of a face hold
_COSINE = 0.5  # normals are compatible up to 60 degrees
_FAR = 0.5  # of the scan's size: what a point without a counterpart counts as
_NEAR = 0.1  # of the scan's size: a distance of which it is open whether it is small
_SAME_TURN, _SAME_SCALE = math.radians(20), math.log(1.2)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Distinct motions of the mean onto the scan, the best first. costs: (B,), from 0 to 1."""

    motions: Similarity
    costs: Tensor


def find(surface: Surface, scan: Scan, most: int) -> Candidates:
    """At most `most` ways to lay the mean head on the scan."""
    cloud = _Cloud.of(surface)
    motions = _starts(surface, scan)
    for count, closer, slid, cut, kept in _ROUNDS:
        part = scan.part(count)
        for _ in range(closer):
            motions = _closer(motions, part, cloud)
        for _ in range(slid):
            motions = _slid(motions, part, cloud, cut)
        costs = _cost(cloud.pairs(motions, part)[2])
        motions = motions[distinct(motions, costs)[:kept]]
    motions, costs = _onto_planes(surface, scan.part(_PLANE_POINTS), motions)
    chosen = distinct(motions, costs)[:most]
    return Candidates(motions[chosen], costs[chosen])


def trimmed_error(distances: Tensor) -> Tensor:
    """(B,) root mean square of the nearest distances (B, M), without the share `TRIM` of the farthest."""
    nearest = distances.sort(dim=1).values[:, : max(3, int((1 - TRIM) * distances.shape[1]))]
    return nearest.square().mean(dim=1).sqrt()


def agreeing(normals: Tensor | None, surface_normals: Tensor, near: Tensor) -> Tensor:
    """(B, M) whether the scan's normals (B, M, 3) are those of the surface, up to 60 degrees.

    near: (B, M), how much each point counts in deciding on the scan's orientation: the triangles of a scan
    may all be inside out.
    """
    if normals is None:
        return torch.ones_like(near, dtype=torch.bool)
    cosine = (normals * surface_normals).sum(dim=-1)
    sign = torch.where((cosine * near).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    return cosine * sign > _COSINE


def _starts(surface: Surface, scan: Scan) -> Similarity:
    """Every rotation, with the head's size and the face's, and with the sizes in the usual units."""
    whole, device = surface.mean[surface.outer], surface.device
    marks = surface.mean[torch.from_numpy(surface.model.landmarks).to(device)].mean(dim=0)
    face = whole[(whole - marks).norm(dim=1) < _FACE]
    places, scales = [], []
    for points, factors in ((whole, (1.0, 0.65)), (face, (1.0,))):
        if len(points) < 3:
            continue
        middle = points.median(dim=0).values
        size = float((points - middle).norm(dim=1).median())
        usual = [unit / scan.size * size for unit in UNITS.values()]
        for factor in (*factors, *(unit for unit in usual if 0.35 < unit < 1.6)):
            places.append(middle.double())
            scales.append(factor / size)
    turns = torch.from_numpy(rotations()).to(device)
    parts = []
    for place, scale in zip(places, scales, strict=True):
        sizes = torch.full((len(turns),), scale, dtype=torch.float64, device=device)
        parts.append(Similarity(turns, -scale * (turns @ place), sizes))
    return joined(parts)


def rotations() -> NDArray[np.float64]:
    """(R, 3, 3): the 24 rotations of the axes, then some spread evenly.

    The latter are a super-Fibonacci spiral (Alexa, "Super-Fibonacci Spirals", CVPR 2022).
    """
    axes = []
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        matrix = np.zeros((3, 3))
        matrix[range(3), order] = signs
        if np.linalg.det(matrix) > 0:
            axes.append(matrix)
    axes.sort(key=lambda matrix: -float(np.trace(matrix)))  # as it lies comes first
    place = np.arange(_TURNS) + 0.5
    inner, outer = np.sqrt(place / _TURNS), np.sqrt(1 - place / _TURNS)
    first, second = 2 * np.pi * place / math.sqrt(2), 2 * np.pi * place / 1.533751168755204288118041
    x, y, z, w = inner * np.sin(first), inner * np.cos(first), outer * np.sin(second), outer * np.cos(second)
    spread = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.concatenate([np.stack(axes), np.moveaxis(np.array(spread), -1, 0)])


@dataclass(frozen=True, eq=False)
class _Cloud:
    """Points (P, 3) of the mean's outside, their normals, and the search structure."""

    points: Tensor
    normals: Tensor
    index: twodasl_ext.PointIndex

    @staticmethod
    def of(surface: Surface) -> _Cloud:
        chosen = surface.outer[:: max(1, len(surface.outer) // _MODEL_POINTS)]
        points = surface.mean[chosen].contiguous()
        return _Cloud(points, surface.normals(surface.mean)[chosen], twodasl_ext.PointIndex(points))

    def pairs(self, motions: Similarity, scan: Scan) -> tuple[Tensor, Tensor, Tensor]:
        """Of the nearest point to each of the scan's: place and normal in the scan's space, (B, M, 3), and
        distance (B, M), far where normals disagree.
        """
        back = motions.back(scan.points)
        _, nearest = twodasl_ext.nearest_neighbors(back.reshape(-1, 3), self.index)
        feet = motions.apply(self.points[nearest].reshape(back.shape))
        along = motions.turn(self.normals[nearest].reshape(back.shape))
        distances = (scan.points - feet).norm(dim=-1)
        if scan.normals is not None:
            agree = agreeing(scan.normals.expand_as(back), along, (distances < 3 * _NEAR).float())
            distances = torch.where(agree, distances, _FAR)
        return feet, along, distances


def _closer(motions: Similarity, scan: Scan, cloud: _Cloud) -> Similarity:
    """One iteration of trimmed closest points, which also finds the size."""
    feet, _, distances = cloud.pairs(motions, scan)
    limit = distances.kthvalue(max(3, int((1 - TRIM) * len(scan.points))), dim=1, keepdim=True).values
    moved = matched(feet, scan.points.expand_as(feet), (distances <= limit).float())
    return moved.after(motions)


def _slid(motions: Similarity, scan: Scan, cloud: _Cloud, cut: float) -> Similarity:
    """One Gauss-Newton step onto tangent planes.

    Closest points alone turn a face, which is nearly a piece of a sphere, by little in each iteration.
    """
    feet, along, distances = cloud.pairs(motions, scan)
    weights = (distances < _FAR) / (1 + (distances / cut).square()).square()
    return _plane_step(motions, scan.points - feet, feet, along, weights)


def _plane_step(
    motions: Similarity, apart: Tensor, feet: Tensor, along: Tensor, weights: Tensor
) -> Similarity:
    """The motions after the step that brings the planes at the feet nearest to the scan's points.

    apart: (B, M, 3) from feet to points. A little weight on the whole distance keeps what slides freely, such
    as a turn about the axis of a sphere, where it is.
    """
    about = feet - motions.translation[:, None].float()
    normal = torch.zeros(len(feet), 7, 7, dtype=torch.float64, device=feet.device)
    right = torch.zeros(len(feet), 7, dtype=torch.float64, device=feet.device)
    axes = torch.eye(3, dtype=torch.float32, device=feet.device)
    for share, directions in ((1.0, along), *((_WHOLE, axis.expand_as(along)) for axis in axes)):
        rows = plane_rows(about, directions)
        weighted = (rows * (share * weights[..., None])).mT
        normal += (weighted @ rows).double()
        right += (weighted @ (apart * directions).sum(dim=-1)[..., None])[..., 0].double()
    normal.diagonal(dim1=1, dim2=2).add_(1e-9)
    return motions.step(torch.linalg.solve(normal, right).clamp(-0.4, 0.4))


def _cost(distances: Tensor) -> Tensor:
    """(B,) Geman and McClure's mean cost of distances (B, M): unlike the trimmed error it also asks how many
    points are near, as a nose is not when a face lies on the back of a head.
    """
    squared = distances.square()
    return (squared / (squared + _NEAR**2)).mean(dim=1)


def distinct(motions: Similarity, costs: Tensor) -> Tensor:
    """The numbers of motions of which none is nearly another better one, the best first."""
    order = costs.argsort(stable=True)
    sorted_motions = motions[order]
    turned = torch.einsum("aij,bij->ab", sorted_motions.rotation, sorted_motions.rotation)
    alike = ((turned - 1) / 2).clamp(-1, 1).acos() < _SAME_TURN
    size = sorted_motions.scale.log()
    alike &= (size[:, None] - size).abs() < _SAME_SCALE
    near = alike.cpu().numpy()
    kept: list[int] = []
    for candidate in range(len(order)):
        if not near[candidate, kept].any():
            kept.append(candidate)
    return order[torch.tensor(kept, device=order.device)]


def _onto_planes(surface: Surface, scan: Scan, motions: Similarity) -> tuple[Similarity, Tensor]:
    """Gauss-Newton steps of all motions onto the mean's tangent planes, and their costs."""
    points = scan.points.expand(len(motions.scale), -1, -1)
    normals = None if scan.normals is None else scan.normals.expand_as(points)
    costs = torch.zeros(len(points), dtype=torch.float32)
    for number in range(_PLANE_STEPS + 1):
        places = surface.nearest(motions.back(points).reshape(-1, 3), surface.mean)
        feet = motions.apply(places.points.reshape(points.shape))
        along = motions.turn(places.normals.reshape(points.shape))
        apart = points - feet
        distances = apart.norm(dim=-1)
        cut = 0.15 * 0.75**number + 0.02
        kept = agreeing(normals, along, (distances < cut).float())
        kept &= ~places.border.reshape(kept.shape) & scan.inner
        costs = _cost(torch.where(kept, distances, _FAR))
        if number == _PLANE_STEPS:
            break
        weights = kept / (1 + (distances / cut).square()).square()
        motions = _plane_step(motions, apart, feet, along, weights)
    return motions, costs
