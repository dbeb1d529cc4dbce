"""Errors of head pose by the field's protocol: mean absolute errors of three angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIMIT = 99.0
"""Images with an angle beyond this many degrees are left out, as by Ruiz et al. ("Fine-grained head pose
estimation without keypoints", 2018, section 4) and everyone since."""


@dataclass(frozen=True)
class PoseErrors:
    """Mean absolute errors in degrees of pitch, yaw and roll, and how many images they are the mean of."""

    pitch: float
    yaw: float
    roll: float
    count: int

    @property
    def mean(self) -> float:
        """Of the three."""
        return (self.pitch + self.yaw + self.roll) / 3

    def line(self, label: str) -> str:
        """One line of a report."""
        return (
            f"pose, {label}: mean absolute error in degrees of yaw {self.yaw:.3f}, pitch {self.pitch:.3f},"
            f" roll {self.roll:.3f}, mean {self.mean:.3f}; {self.count} images with all angles within"
            f" {LIMIT:g} degrees"
        )

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        angles = {name: getattr(self, name) for name in ("pitch", "yaw", "roll", "mean")}
        return {**angles, "images": self.count}


def pose_errors(found: NDArray[np.floating], truth: NDArray[np.floating]) -> PoseErrors | None:
    """Compare angles (n, 3), pitch, yaw, roll in degrees; None where no image is within the limit.

    Angles are `twodasl.geometry.pose.decompose_pose`'s, AFLW2000-3D's own convention. A difference counts the
    shorter way around.
    """
    if found.shape != truth.shape or found.ndim != 2 or found.shape[1] != 3:
        raise ValueError(f"found, truth: expected (n, 3) both, got {found.shape} and {truth.shape}")
    kept = (np.abs(truth) <= LIMIT).all(axis=1)
    if not kept.any():
        return None
    apart = (found[kept] - truth[kept] + 180) % 360 - 180
    pitch, yaw, roll = np.abs(apart).mean(axis=0).tolist()
    return PoseErrors(pitch, yaw, roll, int(kept.sum()))
