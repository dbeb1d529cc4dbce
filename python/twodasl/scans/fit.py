"""fit_scan: a morphable model laid on a 3D scan and bent to its shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..devices import usable_device
from ..errors import InputError
from ..morphable import MorphableModel
from ..morphable.checks import check_model
from .marks import marks_on, placed, start_of
from .result import ScanFit
from .scan import Scan, prepare_scan
from .search import distinct, find, trimmed_error
from .similarity import Similarity, joined
from .solve import Marks, Pairs, State, next_cut, noise_of, pairs_of, step, variance_of
from .surface import Surface, check_surface

MOST_POINTS = 100_000
"""Points of the scan that take part in the fit's last rounds; of more, so many are drawn."""

_CHUNK = 200_000  # points of the final distances
_CANDIDATES = 4
_FIRST_CUT = 25.0  # millimeters
_STILL = 0.03  # of the points' spread: a round that moves the surface by less is the last
_WORST, _LEAST = 4.0, 0.25  # the points' spread in millimeters, and the share that is near


@dataclass(frozen=True)
class _Stage:
    """Rounds with so many of the scan's points and of the modes; None: all."""

    points: int
    modes: int | None
    rounds: int


_TRIAL = _Stage(800, 8, 6)
_STAGES = (_Stage(2_500, 15, 6), _Stage(8_000, None, 8), _Stage(MOST_POINTS, None, 4))


def fit_scan(
    model: MorphableModel,
    vertices: Any,
    triangles: Any = None,
    *,
    landmarks: Any = None,
    device: torch.device | str = "cpu",
    progress: Callable[[], None] | None = None,
) -> ScanFit:
    """Fit a face model to a 3D scan of unknown position, orientation and unit.

    Args:
        model: any `MorphableModel`.
        vertices: (P, 3) finite numbers, in any unit and axes; an array or a tensor.
        triangles: (T, 3) integers, or None for points alone. They give the normals, which tell front from
            back, and the open borders, at which a scan ends and not the head.
        landmarks: None, to look for the head; or (68, 3) points in the scan's space, iBUG order, NaN where
            not given; or a mapping of names or numbers to points, `{"nose_base_2": (x, y, z), 8: ...}`. Three
            are enough. They replace the search, and have a say in the fit, with 4 mm each.
        device: where to compute.
        progress: called after each round, `rounds()` times at most.

    Returns:
        ScanFit: similarity, coefficients, vertices in the scan's space, distances and weights of all points.

    The mean head is laid on the scan from some hundred orientations and sizes, by trimmed closest points, and
    the best few are compared with some of the modes free. Then, coarse to fine, motion and coefficients
    together are found by Gauss-Newton steps on the distances of the scan's points to the surface along its
    normals. Closest points are found anew in every round; Tukey's weights, with a scale from the median,
    leave out what is not the head; pairs whose normals are more than 60 degrees apart, or at an open border
    of scan or model, do not count. The coefficients have the model's own spread as prior, against which a
    point weighs by the noise and, where the model cannot reach the shape, by the error that it shares with
    its neighbors.

    The result is the same in every call. No gradient flows. Points are drawn at random, always the same ones,
    where there are more than 100,000.

    Raises:
        InputError: what is no model, scan or landmarks, naming the argument; or a scan on which no head fits.

    Source: Amberg et al. 2007 and Gerig et al. 2018 for the problem; Chen and Medioni 1992 for the distance;
    Beaton and Tukey 1974 for the weights.
    """
    check_model(model)
    check_surface(model)
    place = usable_device(device)
    given = None if landmarks is None else placed(landmarks, model)
    scan = prepare_scan(vertices, triangles, place)
    tick = progress or (lambda: None)
    with torch.no_grad():
        surface = Surface(model, place)
        marks = None if given is None else marks_on(scan, *given, place)
        mesh = scan.connected()
        state, sureness = _started(surface, mesh, marks)
        tick()
        history: list[dict[str, float]] = []
        still, used = False, mesh
        for stage in _STAGES:
            used = mesh.part(stage.points)
            state, still = _run(surface, used, state, stage, marks, history, tick)
        pairs = pairs_of(surface, used, state)
        deviation, cut = next_cut(pairs, state.cut)
        _check(pairs, deviation)
        return _result(
            surface, scan, replace(state, cut=cut), noise_of(pairs, deviation), sureness, still, history
        )


def rounds() -> int:
    """How often `fit_scan` calls `progress` at most."""
    return 1 + sum(stage.rounds for stage in _STAGES)


def _started(surface: Surface, scan: Scan, marks: Marks | None) -> tuple[State, float]:
    """The best start, and how much worse the second best is."""
    if marks is not None:
        motion, coefficients = start_of(surface, marks)
        return State(motion, coefficients, _FIRST_CUT), float("nan")
    found = find(surface, scan, _CANDIDATES)
    states, errors = [], []
    part = scan.part(_TRIAL.points)
    still = torch.zeros(len(surface.deviations), dtype=torch.float64, device=surface.device)
    for number in range(len(found.costs)):
        state = State(found.motions[[number]], still, _FIRST_CUT)
        state, _ = _run(surface, part, state, _TRIAL, None, [], lambda: None)
        states.append(state)
        errors.append(_error(pairs_of(surface, part, state), state))
    # Several starts may have come to the same end.
    order = distinct(
        joined([state.motion for state in states]), torch.tensor(errors, dtype=torch.float32)
    ).tolist()
    best = errors[order[0]]
    sureness = errors[order[1]] / max(best, 1e-9) if len(order) > 1 else float("inf")
    return replace(states[order[0]], cut=_FIRST_CUT), sureness


def _error(pairs: Pairs, state: State) -> float:
    """Root mean square distance of the nearest points in the scan's size; others than allowed are far."""
    far = 0.5 / float(state.motion.scale[0])
    distances = torch.where(pairs.allowed, pairs.distances, far).clamp_max(far)
    return float(trimmed_error(distances[None])[0] * state.motion.scale[0])


def _run(
    surface: Surface,
    scan: Scan,
    state: State,
    stage: _Stage,
    marks: Marks | None,
    history: list[dict[str, float]],
    tick: Callable[[], None],
) -> tuple[State, bool]:
    """The rounds of a stage; whether the surface stood still at their end."""
    modes = surface.by_size[: stage.modes]
    still = False
    for number in range(stage.rounds):
        pairs = pairs_of(surface, scan, state)
        if int((pairs.weights > 0).sum()) < 10:
            raise _nothing_fits("fewer than 10 points are near it")
        deviation, cut = next_cut(pairs, state.cut)
        variance = variance_of(surface, pairs, deviation)
        after, moved = step(surface, state, pairs, modes, variance, marks)
        inner = pairs.weights > 0
        history.append(
            {
                "points": len(scan.points),
                "modes": len(modes),
                "median": float(pairs.distances[inner].median()),
                "spread": deviation,
                "inliers": float(inner.float().mean()),
                "moved": moved,
            }
        )
        settled = cut > 0.9 * state.cut
        state = replace(after, cut=cut)
        tick()
        still = moved < _STILL * deviation
        if still and settled and number:
            break
    return state, still


def _check(pairs: Pairs, deviation: float) -> None:
    """Raise InputError where the surface is not that of the scan."""
    share = float((pairs.weights > 0).float().mean())
    if share < _LEAST:
        raise _nothing_fits(f"only {100 * share:.0f} % of its points are on the best one")
    if deviation > _WORST:
        raise _nothing_fits(f"its points are {deviation:.1f} mm off the best one, at the model's size")


def _nothing_fits(reason: str) -> InputError:
    return InputError(
        f"the scan: no head of this model fits it ({reason}); give landmarks, or cut off what is not the head"
    )


def _result(
    surface: Surface,
    scan: Scan,
    state: State,
    noise: float,
    sureness: float,
    still: bool,
    history: list[dict[str, float]],
) -> ScanFit:
    motion = _in_scan(state.motion, scan)
    scale = float(motion.scale[0])
    rotation, translation = motion.rotation[0].cpu().numpy(), motion.translation[0].cpu().numpy()
    local = surface.vertices(state.coefficients).double().cpu().numpy()
    distances, weights = _all_points(surface, scan, state)
    coefficients = (state.coefficients.float() * surface.deviations).cpu().numpy()
    shapes = surface.model.counts[1]
    return ScanFit(
        rotation=rotation,
        translation=translation,
        scale=scale,
        shape=coefficients[:shapes],
        expression=coefficients[shapes:],
        vertices=scale * local @ rotation.T + translation,
        triangles=surface.model.triangles,
        residuals=distances * scale,
        weights=weights,
        noise=noise * scale,
        sureness=sureness,
        converged=still,
        history=history,
    )


def _all_points(
    surface: Surface, scan: Scan, state: State
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Distances (P,) in millimeters of the model and weights (P,) of all points of the scan."""
    distances, weights = [], []
    for first in range(0, len(scan.points), _CHUNK):
        rows = slice(first, first + _CHUNK)
        normals = None if scan.normals is None else scan.normals[rows]
        part = Scan(scan.points[rows], normals, scan.inner[rows], scan.center, scan.size)
        pairs = pairs_of(surface, part, state)
        distances.append(pairs.distances)
        weights.append(pairs.weights)
    return (
        torch.cat(distances).double().cpu().numpy(),
        torch.cat(weights).float().cpu().numpy(),
    )


def _in_scan(motion: Similarity, scan: Scan) -> Similarity:
    """A motion onto the normalized scan as one onto the scan itself."""
    center = torch.from_numpy(scan.center).to(motion.translation)
    return Similarity(motion.rotation, motion.translation * scan.size + center, motion.scale * scan.size)
