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
# Rounds of nearest points: the scan's points, iterations, and how many of the motions go on.
_ROUNDS = ((150, 4, 160), (300, 5, 40), (500, 8, 12))
_MODEL_POINTS = 3000
_PLANE_POINTS, _PLANE_STEPS = 800, 10
_FACE = 90.0  # millimeters about the landmarks' middle, which most scans of a face hold
_COSINE = 0.5  # normals are compatible up to 60 degrees
_FAR = 0.5  # of the scan's size: what a point without a counterpart counts as
_SAME_TURN, _SAME_SCALE = math.radians(20), math.log(1.2)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Distinct motions of the mean onto the scan, the best first.

    errors: (B,) the root mean square distance of the 60 % nearest points, in the scan's size.
    """

    motions: Similarity
    errors: Tensor


def find(surface: Surface, scan: Scan, most: int) -> Candidates:
    """At most `most` ways to lay the mean head on the scan."""
    whole = surface.mean[surface.outer]
    cloud = whole[:: max(1, len(whole) // _MODEL_POINTS)].contiguous()
    index = twodasl_ext.PointIndex(cloud)
    motions = _starts(surface, scan, whole)
    for count, iterations, kept in _ROUNDS:
        points = scan.part(count).points
        for _ in range(iterations):
            motions, errors = _closer(motions, points, cloud, index)
        motions = motions[_distinct(motions, errors)[:kept]]
    motions, errors = _onto_planes(surface, scan.part(_PLANE_POINTS), motions)
    chosen = _distinct(motions, errors)[:most]
    return Candidates(motions[chosen], errors[chosen])


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


def _starts(surface: Surface, scan: Scan, whole: Tensor) -> Similarity:
    """Every rotation, with the head's size and the face's, and with the sizes in the usual units."""
    device = whole.device
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


def _closer(
    motions: Similarity, points: Tensor, cloud: Tensor, index: twodasl_ext.PointIndex
) -> tuple[Similarity, Tensor]:
    """One iteration of trimmed closest points, all starts in one search, and the errors before it."""
    back = motions.back(points)
    squared, nearest = twodasl_ext.nearest_neighbors(back.reshape(-1, 3), index)
    distances = squared.reshape(back.shape[:2]).sqrt() * motions.scale[:, None].float()
    limit = distances.kthvalue(max(3, int((1 - TRIM) * len(points))), dim=1, keepdim=True).values
    pairs = cloud[nearest].reshape(back.shape)
    weights = (distances <= limit).float()
    return matched(pairs, points.expand_as(back), weights), trimmed_error(distances)


def _distinct(motions: Similarity, errors: Tensor) -> Tensor:
    """The numbers of motions of which none is nearly another better one, the best first."""
    order = errors.argsort(stable=True)
    sorted_motions = motions[order]
    turned = torch.einsum("aij,bij->ab", sorted_motions.rotation, sorted_motions.rotation)
    alike = ((turned - 1) / 2).clamp(-1, 1).acos() < _SAME_TURN
    size = sorted_motions.scale.log()
    alike &= (size[:, None] - size).abs() < _SAME_SCALE
    alike = alike.cpu().numpy()
    kept: list[int] = []
    for candidate in range(len(order)):
        if not alike[candidate, kept].any():
            kept.append(candidate)
    return order[torch.tensor(kept, device=order.device)]


def _onto_planes(surface: Surface, scan: Scan, motions: Similarity) -> tuple[Similarity, Tensor]:
    """Gauss-Newton steps of all motions onto the mean's tangent planes, and their errors."""
    points = scan.points.expand(len(motions.scale), -1, -1)
    normals = None if scan.normals is None else scan.normals.expand_as(points)
    errors = torch.zeros(len(points))
    for number in range(_PLANE_STEPS + 1):
        places = surface.nearest(motions.back(points).reshape(-1, 3), surface.mean)
        feet = motions.apply(places.points.reshape(points.shape))
        along = motions.turn(places.normals.reshape(points.shape))
        apart = points - feet
        distances = apart.norm(dim=-1)
        cut = 0.15 * 0.75**number + 0.02
        kept = agreeing(normals, along, (distances < cut).float())
        kept &= ~places.border.reshape(kept.shape) & scan.inner
        errors = trimmed_error(torch.where(kept, distances, _FAR).clamp_max(_FAR))
        if number == _PLANE_STEPS:
            break
        weights = (kept / (1 + (distances / cut).square()).square()).double()
        rows = plane_rows(feet.double() - motions.translation[:, None], along.double())
        residuals = (apart * along).sum(dim=-1).double()
        normal = (rows * weights[..., None]).mT @ rows
        right = ((rows * weights[..., None]).mT @ residuals[..., None])[..., 0]
        damping = 1e-6 * normal.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None] + 1e-9
        normal = normal + damping * torch.eye(7, dtype=normal.dtype, device=normal.device)
        motions = motions.step(torch.linalg.solve(normal, right).clamp(-0.3, 0.3))
    return motions, errors
