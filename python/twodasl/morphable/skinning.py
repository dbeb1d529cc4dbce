"""Joints of a face model: what turns the neck, jaw and eyes of a head such as FLAME's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

SUM_TOLERANCE = 1e-2
"""Weights of a vertex sum to 1; files round them."""


@dataclass(frozen=True, eq=False)
class Skinning:
    """Linear blend skinning with pose correctives, in millimeters; `PosedHead` uses it.

    A joint at rest is at `joints + sum_k c_k joint_modes_k`, with the model's coefficients. A turn R_j of
    joint j adds the entries of R_j - 1, row by row, times its nine `correctives` to the vertices at rest.

    Attributes:
        names: J words; FLAME's are root, neck, jaw, left_eye, right_eye. Left is the subject's.
        parents: (J,) int64: the joint that moves this one, which comes before it; -1 for the first, the root.
        weights: (N, J) float32, not negative, a row sums to 1.
        joints: (J, 3) float32, of the mean shape.
        joint_modes: (Ks+Ke, J, 3) float32: what a coefficient of 1 moves, shape modes first.
        correctives: (9 P, N, 3) float32, nine of each of the last P joints. P is J, J - 1 (all but the root,
            as in FLAME and SMPL) or 0.

    Raises:
        ValueError: sizes, numbers or parents that do not fit; the message begins with the field's name.
    """

    names: tuple[str, ...]
    parents: Indices
    weights: Floats
    joints: Floats
    joint_modes: Floats
    correctives: Floats

    def __post_init__(self) -> None:
        for key in ("weights", "joints", "joint_modes", "correctives"):
            object.__setattr__(self, key, _floats(key, getattr(self, key)))
        parents = np.ascontiguousarray(self.parents, np.int64)
        object.__setattr__(self, "parents", parents)
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        count = len(self.names)
        if not count or len(set(self.names)) != count:
            raise ValueError(f"names: expected one word for each joint, all different, got {self.names}")
        before = parents.shape == (count,) and parents[0] == -1
        if not before or ((parents[1:] < 0) | (parents[1:] >= np.arange(1, count))).any():
            raise ValueError(f"parents: expected -1, then for {count} joints one before each, got {parents}")
        if self.weights.ndim != 2 or self.weights.shape[1] != count:
            raise ValueError(f"weights: expected (N, {count}), got {self.weights.shape}")
        off = float(np.abs(self.weights.sum(1) - 1).max(initial=0))
        if off > SUM_TOLERANCE or self.weights.min(initial=0) < -SUM_TOLERANCE:
            raise ValueError(f"weights: expected rows that sum to 1 and are not negative, off by {off:.3g}")
        if self.joints.shape != (count, 3):
            raise ValueError(f"joints: expected ({count}, 3), got {self.joints.shape}")
        if self.joint_modes.ndim != 3 or self.joint_modes.shape[1:] != (count, 3):
            raise ValueError(f"joint_modes: expected (K, {count}, 3), got {self.joint_modes.shape}")
        rows, vertices = (9 * count, 9 * (count - 1), 0), len(self.weights)
        if self.correctives.ndim != 3 or self.correctives.shape[1:] != (vertices, 3):
            raise ValueError(f"correctives: expected (9 P, {vertices}, 3), got {self.correctives.shape}")
        if len(self.correctives) not in rows:
            raise ValueError(f"correctives: expected {rows[0]}, {rows[1]} or 0, got {len(self.correctives)}")

    def chosen(self, modes: NDArray[np.integer]) -> Skinning:
        """The same joints for a model with these of the modes."""
        return replace(self, joint_modes=self.joint_modes[modes])

    def check(self, vertices: int, modes: int) -> None:
        """ValueError unless it fits a model of so many vertices and modes."""
        if len(self.weights) != vertices or len(self.joint_modes) != modes:
            raise ValueError(
                f"skinning: expected {vertices} vertices and {modes} modes, got {len(self.weights)} and "
                f"{len(self.joint_modes)}"
            )


def _floats(key: str, array: NDArray) -> Floats:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{key}: expected real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{key}: expected finite numbers, got NaN or infinity")
    return array
