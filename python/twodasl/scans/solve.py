"""One round of the fit: closest points, robust weights, and a Gauss-Newton step of motion and modes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .robust import TUKEY, local_spread, spread, tukey
from .scan import Scan
from .search import agreeing
from .similarity import Similarity, plane_rows
from .surface import Places, Surface

CORRELATED = 10.0
"""Millimeters within which a model that cannot reach a shape is wrong in the same direction: so far apart its
errors tell something new. Points that are closer share one say."""

LEAST_SPREAD = 0.02
"""Millimeters below which no scan is taken to be exact."""

_CHUNK = 8192
_SLOWEST = 0.7  # the cut shrinks by no more in a round, so that shape is not taken for outliers
_MOST_TURN, _MOST_STEP = 0.3, 1.0  # of a step: radians, growth and scan sizes; standard deviations


@dataclass(frozen=True, eq=False)
class State:
    """A fit on its way: motion of the model onto the normalized scan (a batch of one), coefficients (K,) in
    standard deviations, float64, and the distance (mm) from which a point is an outlier.
    """

    motion: Similarity
    coefficients: Tensor
    cut: float


@dataclass(frozen=True, eq=False)
class Pairs:
    """The scan's points (M,) on the surface: signed distance along the normal and distance, in millimeters,
    whether the pair may count, and its weight.
    """

    places: Places
    vertices: Tensor
    points: Tensor
    signed: Tensor
    distances: Tensor
    allowed: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Marks:
    """Landmarks in the normalized scan: vertices (L,), points (L, 3), and their deviation in millimeters."""

    vertices: Tensor
    points: Tensor
    deviation: float


def pairs_of(surface: Surface, scan: Scan, state: State) -> Pairs:
    """The nearest places of the surface to all points, and the weights that the state's cut gives them."""
    vertices = surface.vertices(state.coefficients)
    points = state.motion.back(scan.points)[0]
    places = surface.nearest(points, vertices)
    apart = points - places.points
    distances = apart.norm(dim=1)
    normals = None
    if scan.normals is not None:
        normals = (scan.normals @ state.motion.rotation[0].float())[None]
    near = (distances < state.cut).float()
    allowed = agreeing(normals, places.normals[None], near[None])[0] & ~places.border & scan.inner
    weights = tukey(distances, state.cut) * allowed
    signed = (apart * places.normals).sum(dim=1)
    return Pairs(places, vertices, points, signed, distances, allowed, weights)


def next_cut(pairs: Pairs, cut: float) -> tuple[float, float]:
    """The spread (mm) of the pairs within the cut, and the cut that follows from it."""
    within = pairs.signed[pairs.weights > 0]
    deviation = max(spread(within), LEAST_SPREAD)
    return deviation, max(TUKEY * deviation, _SLOWEST * cut)


def noise_of(pairs: Pairs, deviation: float) -> float:
    """The part of the spread (mm) that neighbors do not share."""
    within = pairs.weights > 0
    local = local_spread(pairs.signed[within], pairs.places.triangle[within])
    return deviation if local is None else max(min(local, deviation), LEAST_SPREAD)


def variance_of(surface: Surface, pairs: Pairs, deviation: float) -> float:
    """What one point's squared distance is divided by, beside the prior's: noise and shared misfit.

    n points that share the misfit m and have each the noise s say as much as one of variance m^2 + s^2 / n,
    so each of them counts as one of s^2 + n m^2.
    """
    noise = noise_of(pairs, deviation)
    misfit = max(deviation**2 - noise**2, 0.0)
    within = pairs.weights > 0
    count = int(within.sum())
    area = surface.area(pairs.places.triangle[within], pairs.vertices)
    together = max(1.0, count * CORRELATED**2 / max(area, CORRELATED**2))
    return noise**2 + together * misfit


def step(
    surface: Surface, state: State, pairs: Pairs, modes: Tensor, variance: float, marks: Marks | None
) -> tuple[State, float]:
    """The state after a Gauss-Newton step, and how far it moves the surface along its normals where the
    scan is: root mean square, mm.

    modes: (K',) the numbers of the modes that may move.
    """
    count = len(modes)
    normal = torch.zeros(7 + count, 7 + count, dtype=torch.float64, device=modes.device)
    right = torch.zeros(7 + count, dtype=torch.float64, device=modes.device)
    kept = (pairs.weights > 0).nonzero()[:, 0]
    for part in kept.split(_CHUNK):
        places = _some(pairs.places, part)
        rows = torch.cat(
            (_in_model(state, places.points, places.normals), surface.rows(places, places.normals)[:, modes]),
            dim=1,
        )
        weighted = rows * pairs.weights[part, None]
        normal += (weighted.mT @ rows).double()
        right += (weighted.mT @ pairs.signed[part]).double()
    seen = normal.clone()
    normal, right = normal / variance, right / variance
    if marks is not None:
        _add_marks(surface, state, pairs, modes, marks, normal, right)
    prior = normal.diagonal()[7:]
    prior += 1
    right[7:] -= state.coefficients[modes]
    normal.diagonal()[:7].add_(1e-7 * normal.diagonal()[:7].mean() + 1e-9)
    unknowns = torch.linalg.solve(normal, right)
    unknowns[:7] = unknowns[:7].clamp(-_MOST_TURN, _MOST_TURN)
    unknowns[7:] = unknowns[7:].clamp(-_MOST_STEP, _MOST_STEP)
    coefficients = state.coefficients.clone()
    coefficients[modes] += unknowns[7:]
    after = replace(state, motion=_moved(state.motion, unknowns[:7]), coefficients=coefficients)
    moved = (unknowns @ seen @ unknowns / pairs.weights.sum()).clamp_min(0).sqrt()
    return after, float(moved)


# The motion's unknowns are those of the model in its own space, in units of 100 mm: rotation, growth, shift.
_UNIT = 100.0


def _in_model(state: State, points: Tensor, normals: Tensor) -> Tensor:
    """(M, 7) rows of the motion, in millimeters along the normals."""
    return plane_rows(points[None], normals[None])[0] * torch.tensor(
        [1.0] * 4 + [_UNIT] * 3, dtype=points.dtype, device=points.device
    )


def _moved(motion: Similarity, unknowns: Tensor) -> Similarity:
    """The motion of the model after a small one in the model's space: motion o small."""
    w, growth, shift = unknowns[:3], unknowns[3], unknowns[4:7] * _UNIT
    eye = torch.eye(3, dtype=w.dtype, device=w.device)
    turn = torch.linalg.matrix_exp(torch.linalg.cross(w.expand(3, 3), eye).mT)
    small = Similarity(turn[None], shift[None], growth.clamp(-0.3, 0.3).exp()[None])
    return motion.after(small)


def _add_marks(
    surface: Surface,
    state: State,
    pairs: Pairs,
    modes: Tensor,
    marks: Marks,
    normal: Tensor,
    right: Tensor,
) -> None:
    """The landmarks' say, with Geman and McClure's weights: one that is wrong by far says little."""
    points = pairs.vertices[marks.vertices]
    apart = (state.motion.back(marks.points)[0] - points).double()
    weights = 1 / (1 + apart.square().sum(dim=1) / (3 * marks.deviation) ** 2).square()
    weights = weights / marks.deviation**2
    for axis in torch.eye(3, dtype=points.dtype, device=points.device):
        along = axis.expand_as(points)
        rows = torch.cat(
            (
                _in_model(state, points, along),
                (surface.modes[marks.vertices] * axis[:, None]).sum(1)[:, modes],
            ),
            dim=1,
        ).double()
        normal += (rows * weights[:, None]).mT @ rows
        right += (rows * weights[:, None]).mT @ (apart @ axis.double())


def _some(places: Places, part: Tensor) -> Places:
    return Places(
        places.triangle[part],
        places.corners[part],
        places.weights[part],
        places.points[part],
        places.normals[part],
        places.border[part],
    )
