"""The normalised mean error of landmarks, and its summary over yaw bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

YAW_EDGES = (30.0, 60.0, 90.0)
"""Upper edges of the bins of |yaw| in degrees. An image turned beyond 90 degrees belongs to the last bin, as
in the field's published evaluation code (AFLW2000-3D holds a few)."""

BIN_NAMES = ("[0, 30]", "(30, 60]", "(60, 90]")
"""The bins of |yaw| as reports name them."""


@dataclass(frozen=True)
class NmeSummary:
    """NME of a set of images, in percent.

    bins: mean over the images of each yaw bin, None for an empty one. counts: images in each bin.
    bin_mean: the literature's "mean", each bin counting alike; bins without images are left out. image_mean:
    over images. beyond_90: how many images of the last bin are turned beyond 90 degrees.
    """

    bins: tuple[float | None, ...]
    counts: tuple[int, ...]
    bin_mean: float
    image_mean: float
    beyond_90: int = 0

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(self.counts)

    @property
    def empty_bins(self) -> tuple[str, ...]:
        """Names of the bins without images; `bin_mean` leaves them out."""
        return tuple(name for name, count in zip(BIN_NAMES, self.counts, strict=True) if count == 0)


def normalized_mean_error(
    predicted: ArrayLike, truth: ArrayLike, *, box_points: ArrayLike | None = None
) -> NDArray[np.float64]:
    """NME of each image: mean point distance in the image plane over sqrt(w * h) of the truth's bounding box.

    predicted, truth: (n, L, 2 or more), original image pixels; columns beyond x and y are ignored.
    box_points: (n, M, 2 or more) points whose box normalises, where these are not `truth` (dense alignment is
    normalised by the 68 landmarks' box). Returns (n,) float64 fractions (0.03 is the 3 % of a table).

    Paper section 4.1; 3DDFA's evaluation. Raises ValueError naming the argument when shapes do not fit, a
    number is not finite, or a box is empty.
    """
    found, true = _points("predicted", predicted), _points("truth", truth)
    if found.shape != true.shape:
        raise ValueError(f"predicted: expected {true.shape} as the truth, got {found.shape}")
    box = true if box_points is None else _points("box_points", box_points)
    if len(box) != len(true):
        raise ValueError(f"box_points: expected {len(true)} images as the truth, got {len(box)}")
    side = np.sqrt(np.prod(box.max(axis=1) - box.min(axis=1), axis=1))
    if (side <= 0).any():
        row = int(np.flatnonzero(side <= 0)[0])
        raise ValueError(f"truth: expected landmarks that span a box, got none in row {row}")
    distance = np.linalg.norm(found - true, axis=2).mean(axis=1)
    return np.asarray(distance / side, dtype=np.float64)


def yaw_bins(yaw_degrees: ArrayLike) -> NDArray[np.int64]:
    """The bin of each image, 0, 1 or 2: |yaw| in [0, 30], (30, 60], beyond 60. yaw_degrees: (n,), finite."""
    yaw = np.abs(np.asarray(yaw_degrees, dtype=np.float64))
    if yaw.ndim != 1 or not np.isfinite(yaw).all():
        raise ValueError(f"yaw_degrees: expected (n,) finite degrees, got shape {yaw.shape} or NaN")
    return np.asarray(np.searchsorted(YAW_EDGES[:2], yaw, side="left"), dtype=np.int64)


def summarize(errors: ArrayLike, yaw_degrees: ArrayLike) -> NmeSummary:
    """Summary in percent of the errors (n,) that `normalized_mean_error` returns, with yaw_degrees (n,).

    Raises ValueError when there is no image, the lengths differ, or a number is not finite.
    """
    error = np.asarray(errors, dtype=np.float64)
    bins = yaw_bins(yaw_degrees)
    if error.ndim != 1 or len(error) == 0 or error.shape != bins.shape:
        raise ValueError(f"errors: expected one for each of {len(bins)} images, got shape {error.shape}")
    if not np.isfinite(error).all():
        raise ValueError("errors: expected finite numbers")
    percent = 100 * error
    counts = np.bincount(bins, minlength=len(BIN_NAMES))
    means = [float(percent[bins == i].mean()) if counts[i] else None for i in range(len(BIN_NAMES))]
    return NmeSummary(
        bins=tuple(means),
        counts=tuple(int(count) for count in counts),
        bin_mean=float(np.mean([mean for mean in means if mean is not None])),
        image_mean=float(percent.mean()),
        beyond_90=int((np.abs(np.asarray(yaw_degrees)) > YAW_EDGES[2]).sum()),
    )


def _points(name: str, value: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(value, dtype=np.float64)
    if points.ndim != 3 or points.shape[1] < 1 or points.shape[2] < 2:
        raise ValueError(f"{name}: expected (n, L, 2 or more), got {points.shape}")
    points = points[..., :2]
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))[0])
        raise ValueError(f"{name}: expected finite coordinates, got NaN or infinity in row {row}")
    return points
