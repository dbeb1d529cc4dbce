"""What the network says of faces in a frame, in the frame's pixels with y up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.crops import Crop, flip_y
from ..morphable import decompose_pose, split_parameters
from ..reconstruction.face_input import FaceInput
from ..reconstruction.landmark_fit import LandmarkFit, start_pose
from ..reconstruction.plausible import plausibility
from ..reconstruction.reconstructor import FaceReconstructor
from .frame_fit import Expected, Seen

Doubles = NDArray[np.float64]

_UNSURE = 4.0
"""Median deviation of its own points, pixels of the crop, from which the network sees no face."""


@dataclass(frozen=True)
class Sight:
    """One face as the network sees it.

    Attributes:
        crop: what it was shown. landmarks: (68, 2) its own, frame pixels (x, row).
        alone: what its pose and coefficients lead to expect, where nothing else is known.
        seen: its points.
        said, said_precision: (K,) the coefficients that it says, and one over the square of its usual error.
        sure: whether it is a face at all.
    """

    crop: Crop
    landmarks: Doubles
    alone: Expected
    seen: Seen
    said: Doubles
    said_precision: Doubles
    sure: bool


class Eye:
    """The network of a reconstructor, asked for faces of frames."""

    def __init__(self, reconstructor: FaceReconstructor) -> None:
        self.network = reconstructor.network
        self._fit = LandmarkFit(reconstructor.model, reconstructor.basis, reconstructor.info.get("priors"))
        self._priors = self._fit.priors
        self.shapes = len(reconstructor.model.shape_modes)
        self.spread = np.asarray(reconstructor.model.coefficient_std, np.float64)
        spread = torch.from_numpy(reconstructor.model.coefficient_std)
        self._said = 1 / np.square(self._priors.coefficient_sigma(spread).double().numpy())

    @torch.inference_mode()
    def __call__(self, faces: list[FaceInput]) -> list[Sight]:
        """Look at faces, whose landmarks are shown to a network without points of its own alone."""
        if not faces:
            return []
        said = self.network.faces(faces, checked=False)
        if self.network.has_points:
            points = self._fit.own(said.points, said.sigma)
            spoken = said.sigma
        else:
            points = self._fit.expected(said.parameters)
            spoken = torch.zeros_like(points.sigma)
        good = plausibility(said.parameters, said.landmarks).good & (spoken.median(dim=1).values <= _UNSURE)
        poses = start_pose(said.parameters).double()
        yaw = decompose_pose(poses)[1][:, 1]
        widths = self._priors.pose_sigma(yaw).cpu().numpy()
        coefficients = split_parameters(said.parameters)[1]
        columns = zip(
            *(t.double().cpu().numpy() for t in (poses, coefficients, said.landmarks, *points)), widths,
            good.tolist(), strict=True,
        )  # fmt: skip
        return [self._sight(face, *parts) for face, parts in zip(faces, columns, strict=True)]

    def _sight(
        self,
        face: FaceInput,
        pose: Doubles,
        coefficients: Doubles,
        landmarks: Doubles,
        places: Doubles,
        sigma: Doubles,
        widths: Doubles,
        sure: bool,
    ) -> Sight:
        crop, height = face.crop, face.image.shape[0]
        step = crop.scale[0]
        own = 1 / np.square(self.spread)
        precision = self._said + own
        alone = Expected(
            pose=frame_pose(pose, crop, height),
            deviations=widths * [1, 1, 1, 1, step, step, step],
            mean=coefficients * self._said / precision,
            precision=np.diag(precision),
        )
        spots = np.asarray(crop.to_image(places), np.float64)
        spots[:, 1] = flip_y(spots[:, 1], height)
        marks = np.asarray(crop.to_image(landmarks[:, :2]), np.float64)
        return Sight(crop, marks, alone, Seen(spots, sigma * step), coefficients, self._said, sure)


def frame_pose(pose: Doubles, crop: Crop, height: int) -> Doubles:
    """The camera (3, 4) that places a face in the frame of so many rows; the inverse of `Crop.pose`."""
    placed = np.array(pose, np.float64)
    step = crop.scale[0]  # crops of faces are square
    placed *= step
    placed[0, 3] += crop.x0
    # The row of y = 0 in the crop, in frame pixels.
    level = crop.y0 + step * float(flip_y(np.array(0.0), crop.size))
    placed[1, 3] += float(flip_y(np.array(level), height))
    return placed
