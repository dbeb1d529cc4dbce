"""A bumpy head that tests lay on itself."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation
from twodasl.evaluation.rigid import Motion


def head(model) -> tuple[np.ndarray, np.ndarray]:
    """The ellipsoid with a nose and waves, so that it lies in one way only: vertices (N, 3), triangles."""
    vertices = model.mean.astype(np.float64)
    unit = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    nose = vertices[model.landmarks[33]] / np.linalg.norm(vertices[model.landmarks[33]])
    height = 18 * np.exp(-20 * (1 - unit @ nose)) + 2 * np.sin(7 * unit[:, 0]) * np.cos(5 * unit[:, 1] + 1)
    return vertices + unit * height[:, None], model.triangles


def on_surface(vertices: np.ndarray, triangles: np.ndarray, count: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Points inside triangles, and the triangles' normals."""
    chosen = triangles[rng.integers(0, len(triangles), count)]
    weights = rng.dirichlet([3, 3, 3], count)
    corners = vertices[chosen]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return (corners * weights[..., None]).sum(axis=1), normals


def motion(scale: float = 1.0, degrees=(20.0, -35.0, 10.0), shift=(30.0, -5.0, 80.0)) -> Motion:
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return Motion(rotation, np.array(shift), scale)
