"""Scans of heads that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from twodasl.morphable import MorphableModel, procedural_model
from twodasl.scans.surface import Surface


@dataclass(frozen=True)
class Made:
    """A scan: points (P, 3), its triangles or None, and what it was made of: the head (N, 3) in the
    scan's space and where it lies.
    """

    points: np.ndarray
    triangles: np.ndarray | None
    head: np.ndarray
    landmarks: np.ndarray
    scale: float
    rotation: np.ndarray

    def error(self, vertices: np.ndarray, outer: np.ndarray) -> float:
        """Median distance of the fitted vertices to the true ones, in millimeters."""
        return float(np.median(np.linalg.norm((vertices - self.head)[outer], axis=1))) / self.scale


@pytest.fixture(scope="session")
def head_model() -> MorphableModel:
    """The embedded head with fewer modes: what is tested needs no more."""
    return procedural_model().truncated(12, 4)


@pytest.fixture(scope="session")
def outer(head_model) -> np.ndarray:
    return Surface(head_model, torch.device("cpu")).outer.numpy()


@pytest.fixture(scope="session")
def make_scan(head_model):
    """Make a scan of a random head."""
    shown = Surface(head_model, torch.device("cpu")).triangles.numpy()

    def make(
        seed: int = 0,
        *,
        scale: float = 1.0,
        rotation: np.ndarray | None = None,
        face: float | None = None,
        noise: float = 0.3,
        outliers: float = 0.0,
        mesh: bool = False,
        count: int = 3000,
    ) -> Made:
        rng = np.random.default_rng(seed)
        head = head_model.shape(rng.normal(size=16)).astype(np.float64)
        triangles = shown
        if face is not None:
            middle = head[head_model.landmarks].mean(axis=0)
            triangles = shown[np.linalg.norm(head[shown].mean(axis=1) - middle, axis=1) < face]
        if mesh:
            used, triangles = np.unique(triangles, return_inverse=True)
            points, triangles = head[used], triangles.reshape(-1, 3)
        else:
            points, triangles = sampled(head, triangles, count, rng), None
        points = points + rng.normal(0, noise, points.shape)
        wrong = rng.choice(len(points), int(outliers * len(points)), replace=False)
        low, high = points.min(0) - 20, points.max(0) + 20
        points[wrong] = low + rng.random((len(wrong), 3)) * (high - low)
        turn = np.eye(3) if rotation is None else rotation
        shift = scale * np.array([1000.0, -200.0, 300.0])
        points, head = (scale * each @ turn.T + shift for each in (points, head))
        return Made(points, triangles, head, head[head_model.landmarks], scale, turn)

    return make


def sampled(points: np.ndarray, triangles: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) evenly over the area."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    first, second = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return (1 - first) * a[chosen] + first * (1 - second) * b[chosen] + first * second * c[chosen]
