"""Landmarks that somebody placed on a scan, and the motion they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import twodasl_ext

from ..arguments import shown
from ..errors import InputError, did_you_mean
from ..landmarks import NAMES_68
from ..morphable import MorphableModel
from .scan import Scan
from .similarity import Similarity
from .solve import Marks
from .surface import Surface

DEVIATION = 4.0
"""Millimeters by which a landmark on a scan is off: where a jaw's points are, nobody knows better."""

FEWEST = 3

_FARTHEST = 1e6  # sizes of the scan; float32 tells no points apart there

Points = NDArray[np.float64]


def placed(landmarks: Any, model: MorphableModel) -> tuple[NDArray[np.int64], Points]:
    """The model's vertices (L,) of the landmarks given, and their points (L, 3) in the scan's space.

    landmarks: (68, 3) with NaN for those that are not given; or a mapping of names, as in
    `twodasl.landmarks.NAMES_68` or the model's `named_landmarks`, or of numbers 0 to 67, to points.

    Raises InputError for an unknown name, points that are not finite, less than 3, or all on a line.
    """
    vertices, points = _named(landmarks, model) if isinstance(landmarks, Mapping) else _all(landmarks, model)
    if len(points) < FEWEST:
        raise InputError(f"landmarks: expected at least {FEWEST} points, got {len(points)}")
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if not spread[1] > 1e-3 * spread[0]:
        raise InputError("landmarks: expected points that are not on one line, got some that are")
    return vertices, points


def marks_on(scan: Scan, vertices: NDArray[np.int64], points: Points, device: torch.device) -> Marks:
    """The landmarks for the fit."""
    here = (points - scan.center) / scan.size
    if (np.abs(here) > _FARTHEST).any():
        raise InputError("landmarks: expected points on the scan, in its unit, got some far away from it")
    here = here.astype(np.float32)
    return Marks(torch.from_numpy(vertices).to(device), torch.from_numpy(here).to(device), DEVIATION)


def start_of(surface: Surface, marks: Marks) -> tuple[Similarity, Tensor]:
    """The motion (a batch of one) and coefficients (K,) in standard deviations of the landmarks alone."""
    size = float((surface.mean[marks.vertices] - surface.mean[marks.vertices].mean(0)).norm(dim=1).mean())
    there = float((marks.points - marks.points.mean(0)).norm(dim=1).mean())
    prior = twodasl_ext.CoefficientPrior.of_deviations(surface.deviations)
    found = twodasl_ext.fit_landmarks(
        surface.basis,
        marks.points[None],
        marks.deviation * there / max(size, 1e-6),
        prior=prior,
        vertices=marks.vertices,
    )
    pose = found.pose.double()
    scale = torch.linalg.det(pose[:, :, :3]).clamp_min(1e-30) ** (1 / 3)
    rotation = twodasl_ext.nearest_rotation(pose[:, :, :3].contiguous())
    motion = Similarity(rotation, pose[:, :, 3], scale)
    return motion, (found.coefficients[0] / surface.deviations).double()


def _all(landmarks: Any, model: MorphableModel) -> tuple[NDArray[np.int64], Points]:
    expected = "landmarks: expected (68, 3) numbers, NaN for points that are not given, or names and points"
    if isinstance(landmarks, Tensor):
        landmarks = landmarks.detach().cpu()
    try:
        points = np.asarray(landmarks, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{expected}, got {shown(landmarks)}") from error
    if points.shape != (68, 3):
        raise InputError(f"{expected}, got shape {points.shape}")
    given = ~np.isnan(points).any(axis=1)
    if np.isinf(points[given]).any():
        raise InputError(f"{expected}, got infinity")
    return model.landmarks[given], points[given]


def _named(landmarks: Mapping[Any, Any], model: MorphableModel) -> tuple[NDArray[np.int64], Points]:
    known = {name: int(vertex) for name, vertex in zip(NAMES_68, model.landmarks, strict=True)}
    known |= {str(number): int(vertex) for number, vertex in enumerate(model.landmarks)}
    known |= model.named_landmarks
    vertices, points = [], []
    for name, point in landmarks.items():
        if str(name) not in known:
            hint = did_you_mean(str(name), known) or "; expected one of the 68, as in nose_base_2, or 0 to 67"
            raise InputError(f"landmarks: unknown name {str(name)[:60]!r}{hint}")
        try:
            place = np.asarray(point, np.float64)
        except (TypeError, ValueError):
            place = np.zeros(0)
        if place.shape != (3,) or not np.isfinite(place).all():
            raise InputError(f"landmarks: {name}: expected three finite numbers, got {shown(point)}")
        vertices.append(known[str(name)])
        points.append(place)
    return np.array(vertices, np.int64), np.array(points, np.float64).reshape(-1, 3)
