"""The normalized mean error of landmarks, and its summary over yaw bins."""

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
    bin_mean: the literature's "mean", each bin counting alike; bins without images are left out. bin_std: the
    spread of the bins about it (divided by their number), which some tables print. All of these are None, or
    0 images, where no yaw is known. image_mean, median: over images. count: images. beyond_90: how many
    images of the last bin are turned beyond 90 degrees.
    """

    bins: tuple[float | None, ...]
    counts: tuple[int, ...]
    bin_mean: float | None
    bin_std: float | None
    image_mean: float
    median: float
    count: int
    beyond_90: int = 0

    @property
    def empty_bins(self) -> tuple[str, ...]:
        """Names of the bins without images; `bin_mean` leaves them out."""
        return tuple(name for name, count in zip(BIN_NAMES, self.counts, strict=True) if count == 0)


def normalized_mean_error(
    predicted: ArrayLike, truth: ArrayLike, *, box_points: ArrayLike | None = None, space: str = "2d"
) -> NDArray[np.float64]:
    """NME of each image: mean point distance over sqrt(w * h) of the truth's bounding box in the image plane.

    predicted, truth: (n, L, 2 or more), original image pixels; columns beyond those of `space` are ignored.
    box_points: (n, M, 2 or more) points whose box normalizes, where these are not `truth` (dense alignment is
    normalized by the 68 landmarks' box). space: "2d", distances in the image plane, or "3d": in space, after
    z of both has been shifted so that its smallest value is 0 (depth has no origin under a scaled
    orthographic camera). Returns (n,) float64 fractions (0.03 is the 3 % of a table).

    Paper section 4.1; 3DDFA's evaluation. Raises ValueError naming the argument when shapes do not fit, a
    number is not finite, or a box is empty.
    """
    if space not in ("2d", "3d"):
        raise ValueError(f"space: expected '2d' or '3d', got {space!r}")
    columns = 3 if space == "3d" else 2
    found, true = _points("predicted", predicted, columns), _points("truth", truth, columns)
    if found.shape != true.shape:
        raise ValueError(f"predicted: expected {true.shape} as the truth, got {found.shape}")
    box = (true if box_points is None else _points("box_points", box_points))[..., :2]
    if columns == 3:
        found, true = _from_zero_depth(found), _from_zero_depth(true)
    if len(box) != len(true):
        raise ValueError(f"box_points: expected {len(true)} images as the truth, got {len(box)}")
    side = np.sqrt(np.prod(box.max(axis=1) - box.min(axis=1), axis=1))
    if (side <= 0).any():
        row = int(np.flatnonzero(side <= 0)[0])
        raise ValueError(f"truth: expected landmarks that span a box, got none in row {row}")
    distance = np.linalg.norm(found - true, axis=2).mean(axis=1)
    return np.asarray(distance / side, dtype=np.float64)


def visible_mean_error(predicted: ArrayLike, truth: ArrayLike, normalizer: ArrayLike) -> NDArray[np.float64]:
    """NME over the points that each image has: mean distance in the image plane over a size of the face.

    predicted: (n, L, 2 or more); truth: (n, L, 2), NaN where a point is not counted (hidden, not annotated).
    normalizer: (n,) positive, pixels. Returns (n,) float64 fractions.

    Raises ValueError naming the argument when shapes do not fit, an image has no point, a prediction of a
    counted point is not finite, or a size is not positive.
    """
    found, true = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    size = np.asarray(normalizer, np.float64)
    if true.ndim != 3 or true.shape[2] != 2 or found.shape[:2] != true.shape[:2] or found.shape[2:] < (2,):
        raise ValueError(f"predicted: expected {true.shape} as the truth, got {found.shape}")
    if size.shape != true.shape[:1] or not (size > 0).all() or not np.isfinite(size).all():
        raise ValueError(f"normalizer: expected a positive size for each of {len(true)} images")
    counted = np.asarray(np.isfinite(true).all(axis=2))
    if not counted.any(axis=1).all():
        row = int(np.argmin(counted.any(axis=1)))
        raise ValueError(f"truth: expected a point in each image, got none in row {row}")
    distance = np.linalg.norm(found[..., :2] - np.where(counted[..., None], true, 0), axis=2)
    distance = np.where(counted, distance, 0)
    if not np.isfinite(distance).all():
        row = int(np.flatnonzero(~np.asarray(np.isfinite(distance).all(axis=1)))[0])
        raise ValueError(f"predicted: expected finite coordinates, got NaN or infinity in row {row}")
    return np.asarray(distance.sum(axis=1) / counted.sum(axis=1) / size, dtype=np.float64)


def best_images(errors: ArrayLike, drop: int) -> NDArray[np.int64]:
    """Rows, in order, of all but the `drop` largest of the errors (n,); at least one stays.

    The paper's curves leave out each method's 20 worst images. Of equal errors the later ones go first.
    """
    error = np.asarray(errors, dtype=np.float64)
    keep = max(1, len(error) - max(drop, 0))
    return np.sort(np.argsort(error, kind="stable")[:keep])


def yaw_bins(yaw_degrees: ArrayLike) -> NDArray[np.int64]:
    """The bin of each image, 0, 1 or 2: |yaw| in [0, 30], (30, 60], beyond 60. yaw_degrees: (n,), finite."""
    yaw = np.abs(np.asarray(yaw_degrees, dtype=np.float64))
    if yaw.ndim != 1 or not np.isfinite(yaw).all():
        raise ValueError(f"yaw_degrees: expected (n,) finite degrees, got shape {yaw.shape} or NaN")
    return np.asarray(np.searchsorted(YAW_EDGES[:2], yaw, side="left"), dtype=np.int64)


def summarize(errors: ArrayLike, yaw_degrees: ArrayLike | None) -> NmeSummary:
    """Summary in percent of errors (n,) as `normalized_mean_error` returns them; yaw_degrees (n,) if known.

    Raises ValueError when there is no image, the lengths differ, or a number is not finite.
    """
    error = np.asarray(errors, dtype=np.float64)
    bins = np.zeros(len(error), np.int64) if yaw_degrees is None else yaw_bins(yaw_degrees)
    if error.ndim != 1 or len(error) == 0 or error.shape != bins.shape:
        raise ValueError(f"errors: expected one for each of {len(bins)} images, got shape {error.shape}")
    if not np.isfinite(error).all():
        raise ValueError("errors: expected finite numbers")
    percent = 100 * error
    mean, median = float(percent.mean()), float(np.median(percent))
    if yaw_degrees is None:
        empty = len(BIN_NAMES)
        return NmeSummary((None,) * empty, (0,) * empty, None, None, mean, median, len(error))
    counts = np.bincount(bins, minlength=len(BIN_NAMES))
    means = [float(percent[bins == i].mean()) if counts[i] else None for i in range(len(BIN_NAMES))]
    filled = [mean for mean in means if mean is not None]
    return NmeSummary(
        bins=tuple(means),
        counts=tuple(int(count) for count in counts),
        bin_mean=float(np.mean(filled)),
        bin_std=float(np.std(filled)),
        image_mean=mean,
        median=median,
        count=len(error),
        beyond_90=int((np.abs(np.asarray(yaw_degrees)) > YAW_EDGES[2]).sum()),
    )


def _points(name: str, value: ArrayLike, columns: int = 2) -> NDArray[np.float64]:
    points = np.asarray(value, dtype=np.float64)
    if points.ndim != 3 or points.shape[1] < 1 or points.shape[2] < columns:
        raise ValueError(f"{name}: expected (n, L, {columns} or more), got {points.shape}")
    points = points[..., :columns]
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))[0])
        raise ValueError(f"{name}: expected finite coordinates, got NaN or infinity in row {row}")
    return points


def _from_zero_depth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    shift = points[..., 2].min(axis=1)
    return points - np.stack([np.zeros_like(shift), np.zeros_like(shift), shift], axis=1)[:, None]
