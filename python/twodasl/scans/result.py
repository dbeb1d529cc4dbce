"""What a fit to a scan found."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .search import UNITS

_UNIT_TOLERANCE = 1.35  # heads differ in size by less


@dataclass(frozen=True, eq=False)
class ScanFit:
    """A face model fitted to a scan of P points.

    Attributes:
        rotation: (3, 3) float64, determinant 1.
        translation: (3,) float64, in the scan's unit.
        scale: the scan's units in one millimeter of the model. A model point x, in millimeters, lies at
            `scale * rotation @ x + translation` in the scan's space.
        shape: (Ks,) float32, the model's shape coefficients.
        expression: (Ke,) float32, its expression coefficients.
        vertices: (N, 3) float64, the fitted model in the scan's space.
        triangles: (T, 3) int64, the model's.
        residuals: (P,) float64, the distance of each scan point to the fitted surface, in the scan's unit.
        weights: (P,) float32 in [0, 1], how much each point counted in the end: 0 for outliers, points whose
            normal is not the surface's, and points at an open border.
        noise: the standard deviation of the scan's points about the surface's shape, in the scan's unit, from
            differences between neighbors.
        sureness: the error of the second-best way to lay the head on the scan over that of this way; 1 is a
            toss-up. Infinite where no other way was found, NaN where landmarks decided.
        converged: whether the surface stood still in the end.
        history: one dictionary for each round: points, modes, median (of the inliers' distances, mm), spread
            (mm), inliers (share), moved (mm, root mean square along the normals).
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    scale: float
    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    residuals: NDArray[np.float64]
    weights: NDArray[np.float32]
    noise: float
    sureness: float
    converged: bool
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def coefficients(self) -> NDArray[np.float32]:
        """(Ks+Ke,) shape and expression together."""
        return np.concatenate([self.shape, self.expression])

    @property
    def inliers(self) -> NDArray[np.bool_]:
        """(P,) the points that counted."""
        return self.weights > 0

    @property
    def unit(self) -> str | None:
        """The scan's unit, "mm", "cm", "inch" or "m", if its head has a usual size in one; else None."""
        off = {name: max(self.scale / size, size / self.scale) for name, size in UNITS.items()}
        nearest = min(off, key=lambda name: off[name])
        return nearest if off[nearest] <= _UNIT_TOLERANCE else None

    @cached_property
    def errors(self) -> dict[str, float]:
        """Distances of the scan's points to the surface, in the scan's unit.

        median, mean and percentile_90 are of the inliers, median_of_all of all points; inlier_share is in
        [0, 1].
        """
        inner = self.residuals[self.inliers]
        return {
            "median": float(np.median(inner)),
            "mean": float(inner.mean()),
            "percentile_90": float(np.percentile(inner, 90)),
            "median_of_all": float(np.median(self.residuals)),
            "inlier_share": float(self.inliers.mean()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words for JSON; no number is NaN or infinite."""
        errors = self.errors
        return {
            "similarity": {
                "rotation": self.rotation.tolist(),
                "translation": self.translation.tolist(),
                "scale": self.scale,
                "meaning": "scan = scale * rotation @ model + translation, the model in millimeters",
            },
            "unit": self.unit,
            "shape": [float(value) for value in self.shape],
            "expression": [float(value) for value in self.expression],
            "errors": errors,
            "errors_mm": {key: value / self.scale for key, value in errors.items() if key != "inlier_share"},
            "noise": self.noise,
            "noise_mm": self.noise / self.scale,
            "sureness": self.sureness if np.isfinite(self.sureness) else None,
            "converged": self.converged,
            "history": self.history,
        }
