"""Photos on disk with landmarks, as a map-style data set for training."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ...errors import InputError
from ...geometry.crops import SIZE, Crop, flip_y
from ...io.images import read_image
from ...morphable import MorphableModel
from ..basel import Conversion, RawBasis
from ..report import DataReport
from .listing import Listing

Sample = dict[str, Any]

# Maximum mean distance between the model's landmarks and the annotated ones, as a fraction of their box;
# beyond it, the fit belongs to another face. Good fits are within a few percent.
_AGREEMENT = 0.15
# The landmarks whose position does not depend on the view: all but the contour.
_INNER = slice(17, 68)
_CHUNK = 4096


class AnnotatedPhotos(Dataset[Sample]):
    """The faces of a listing.

    Args:
        root: the folder that the listing's names refer to.
        listing: the result of `twodasl.datasets.photos.listing.read_listing`.
        basis: 3DDFA's basis, for data sets with its parameters.
        model: the face model for the samples' parameters; needs `basis`.

    `photos[i]` is a dict of
        image: (120, 120, 3) uint8 tensor, BGR;
        landmarks: (L, 2) float32 crop pixels (x = column, row), NaN where not annotated; L is 68, 21, or 18;
        visible: (L,) bool: annotated, not marked as hidden, and inside the crop;
        yaw: float, radians, if the data set has it;
        parameters: (12+K,) float32, if the data set has them and `model` uses their basis. The landmarks are
            then (68, 3), those of `parameters`, as in `SyntheticFaces`.

    `without_parameters` says why samples have none; "" if they do.

    Raises:
        InputError: no face is left, the landmarks need `basis`, or a sample's image changed or vanished since
            the listing was made. IndexError: an index outside the data set.
    """

    def __init__(
        self,
        root: Path,
        listing: Listing,
        basis: RawBasis | None = None,
        model: MorphableModel | None = None,
    ) -> None:
        self.root, self.listing, self.basis = root, listing, basis
        self.rows = np.arange(len(listing.names))
        self.conversion, self.without_parameters = self._conversion(model)
        report = listing.report
        if not listing.points.shape[1]:
            if basis is None:
                raise InputError(
                    f"{root}: has parameters but no landmarks; set data.basis to the folder of 3DDFA's basis,"
                    " to which they belong"
                )
        elif self.conversion is not None:
            fits = self._fits()
            self.rows = np.flatnonzero(fits)
            lost = [listing.names[row] for row in np.flatnonzero(~fits)]
            report = report.without(lost, "its pose and parameters do not agree with its landmarks")
        self.report: DataReport = report
        self.report.refuse_if_broken(root)
        self.has_yaw = bool(np.isfinite(listing.yaw[self.rows]).all())
        """Whether every face has a known yaw."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        row = self._row(index)
        listing = self.listing
        file = self.root / listing.names[row]
        try:
            picture = Crop(*listing.boxes[row].tolist()).image(read_image(file, upright=listing.upright))
        except InputError as error:
            raise InputError(
                f"{error}; the file was whole when the folder was listed: list it again (twodasl data check"
                " --rebuild)"
            ) from error
        landmarks, visible = self._landmarks(row)
        sample: Sample = {
            "image": torch.from_numpy(picture),
            "landmarks": torch.from_numpy(landmarks),
            "visible": torch.from_numpy(visible),
        }
        if self.conversion is not None:
            sample["parameters"] = torch.from_numpy(self.conversion.parameters(listing.raw[row]))
        if self.has_yaw:
            sample["yaw"] = float(listing.yaw[row])
        return sample

    @property
    def yaw_degrees(self) -> NDArray[np.float64]:
        """(n,) yaw of every face in degrees, NaN if unknown."""
        return np.degrees(self.listing.yaw[self.rows].astype(np.float64))

    def name(self, index: int) -> str:
        """A face's file, relative to the root."""
        return self.listing.names[self._row(index)]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(n, L) which landmarks of every face are visible; L is 0 where only parameters place them."""
        return self.listing.visible[self.rows]

    def fit_points(self, index: int) -> NDArray[np.float32]:
        """The points (L, 2) to which a face model is fitted, in crop pixels, NaN where there is none to see.

        L is 68 where the data set has that many for this face; otherwise they are its visible landmarks.
        """
        row = self._row(index)
        if self.listing.fit_points.shape[1] and np.isfinite(self.listing.fit_points[row]).any():
            return self.listing.fit_points[row].copy()
        landmarks, visible = self._landmarks(row)
        return np.where(visible[:, None], landmarks[:, :2], np.float32(np.nan))

    def parameters(self, index: int) -> torch.Tensor:
        """Only the parameter vector (12+K,) of a face; the picture is not read. InputError if it has none."""
        if self.conversion is None:
            raise InputError(f"{self.root}: {self.without_parameters}")
        return torch.from_numpy(self.conversion.parameters(self.listing.raw[self._row(index)]))

    def _row(self, index: int) -> int:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {index} is outside a data set of {len(self)} photos")
        return int(self.rows[position])

    def _conversion(self, model: MorphableModel | None) -> tuple[Conversion | None, str]:
        if not self.listing.raw.shape[1]:
            return None, "the data set has landmarks only"
        if model is None:
            return None, "no face model was named"
        if self.basis is None:
            return None, "3DDFA's basis, which the parameters belong to, was not named (data.basis)"
        try:
            return self.basis.conversion(model), ""
        except InputError as error:
            return None, str(error)

    def _landmarks(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        listing = self.listing
        if self.conversion is None and listing.points.shape[1]:
            return listing.points[row].copy(), listing.visible[row].copy()
        points = self._projected(listing.raw[row]).astype(np.float32)
        return points, inside_crop(points)

    def _projected(self, raw: NDArray[np.floating]) -> NDArray[np.float64]:
        """Landmarks (..., 68, 3) in crop pixels of 62 numbers."""
        assert self.basis is not None
        points = self.basis.landmarks(raw)
        points[..., 1] = flip_y(points[..., 1])
        return points

    def _fits(self) -> NDArray[np.bool_]:
        """(n,) whether a face's parameters place the inner landmarks close to the annotated ones."""
        listing = self.listing
        fits = np.ones(len(listing.names), np.bool_)
        for start in range(0, len(fits), _CHUNK):
            part = slice(start, start + _CHUNK)
            truth = listing.points[part].astype(np.float64)
            distance = np.linalg.norm(self._projected(listing.raw[part])[..., :2] - truth, axis=-1)
            size = np.sqrt(np.ptp(truth, axis=1).prod(axis=-1))
            fits[part] = distance[:, _INNER].mean(axis=1) < _AGREEMENT * size
        return fits


def inside_crop(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(..., L) whether points (..., L, 2 or 3) are on a pixel of the crop; False for NaN."""
    inside = (points[..., :2] > -0.5) & (points[..., :2] < SIZE - 0.5)
    return np.asarray(inside.all(axis=-1), dtype=np.bool_)
