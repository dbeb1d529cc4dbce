"""From a photo to a 3D face: crop, landmark map, network, coefficients, mesh."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..arguments import flag, path_of, shown, whole_number
from ..devices import usable_device
from ..errors import InputError
from ..geometry.projection import crop_landmarks, crop_vertices
from ..io.images import check_image
from ..morphable import MorphableModel
from ..weights import SHIPPED, weights_file
from . import MOST_REFINEMENTS
from .confidence import clues_of
from .detect import chosen_faces, find_faces
from .detectors.detection import Detector
from .face_input import FaceInput
from .face_network import FaceNetwork, Said
from .landmark_fit import LandmarkFit, Points, detector_sigma
from .look import Look, joined_looks
from .person import Person
from .person_fit import PersonFit
from .reconstruction import Reconstruction, place_faces
from .texture import face_colors
from .turns import in_photo, upright_input

Floats = NDArray[np.float32]

BLIND_REFINEMENTS = 1
"""Passes after the first where a photo comes without landmarks."""


class FaceReconstructor:
    """A trained network and its face model, ready to reconstruct faces.

    Args:
        checkpoint: file written by `twodasl train`, or weights: a file or the name of some
            that come with the package. Without it, those of the package, `base`.
        model: the face model it was trained for, or its name or path; None takes the name in the checkpoint.
        device: where to compute, "cpu" or "cuda".
        fit: whether faces are fitted afterwards to the landmarks that come with them and, where the network
            has points of its own, to those, see `LandmarkFit`.
        once: whether the network looks at every face once, and not several times, see `FaceNetwork`.

    Raises:
        InputError: a checkpoint that is not one or is cut off, a model that is not the checkpoint's, or a
            device that is not there.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] = SHIPPED[0],
        model: MorphableModel | str | os.PathLike[str] | None = None,
        device: torch.device | str = "cpu",
        *,
        fit: bool = True,
        once: bool = False,
    ) -> None:
        self.checkpoint = weights_file(path_of(checkpoint, "a checkpoint file", "checkpoint"))
        self.device = usable_device(device)
        self.network = FaceNetwork(self.checkpoint, model, self.device, flag(once, "once"))
        self.info, self.model, self.basis = self.network.info, self.network.model, self.network.basis
        self._fit = None
        if flag(fit, "fit"):
            self._fit = LandmarkFit(self.model, self.basis, self.info.get("priors"))

    def __call__(
        self,
        image: NDArray[np.uint8],
        landmarks: ArrayLike | None = None,
        box: Sequence[float] | None = None,
        *,
        refinements: int | None = None,
        recrop: bool = False,
    ) -> Reconstruction:
        """Reconstruct one face.

        Args:
            image: (H, W, 3) uint8 BGR.
            landmarks: (68, 2) image pixels, pixel centers at integers. They make the landmark map and,
                without a box, the crop.
            box: x0 y0 x1 y1, the crop in image pixels; made square about its center. One of the two is
                needed.
            refinements: how often the network's own landmarks are fed back as its landmark map. Default: 0
                with landmarks; without, 1 (the first pass then sees an empty map), and 0 for a network with
                points of its own.
            recrop: also move the crop to those landmarks; for boxes that are only roughly right.

        There need not be a face where landmarks or box say so: `Reconstruction.confidence` is low then.

        Raises:
            InputError: landmarks or a box that do not fit the image, naming the argument.
        """
        face = FaceInput.given(image, landmarks, box, recrop=recrop)
        return self.reconstruct([face], refinements=refinements)[0]

    def batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        landmarks: Sequence[ArrayLike | None] | None = None,
        boxes: Sequence[Sequence[float] | None] | None = None,
        *,
        refinements: int | None = None,
        recrop: bool = False,
        batch_size: int = 32,
    ) -> list[Reconstruction]:
        """Reconstruct many faces, `batch_size` at a time through the network.

        images: one a face (the same array may appear for each of its faces). landmarks, boxes: one entry a
        face, None where there is none. The rest, and errors, as in `__call__`.
        """
        photos = _each(images, "images", None)
        points = _each(landmarks, "landmarks", len(photos))
        corners = _each(boxes, "boxes", len(photos))
        given = zip(photos, points, corners, strict=True)
        faces = [FaceInput.given(image, marks, box, recrop=recrop) for image, marks, box in given]
        return self.reconstruct(faces, refinements=refinements, batch_size=batch_size)

    def find(
        self,
        image: NDArray[np.uint8],
        faces: str | int = "all",
        *,
        detector: str | Detector = "auto",
        refinements: int | None = None,
    ) -> list[Reconstruction]:
        """Reconstruct the faces that a detector finds in a photo; an empty list where it finds none.

        image: (H, W, 3) uint8 BGR. faces: "all", "largest", or how many of the largest; they come from left
        to right, see `chosen_faces`. detector: see `find_faces`. refinements, and errors: as in `__call__`.
        Each has a `confidence`: leave out those that are not sure enough for you.
        """
        chosen = chosen_faces(find_faces(image, detector), faces)
        return self.reconstruct(chosen, refinements=refinements)

    def reconstruct(
        self, faces: Sequence[FaceInput], *, refinements: int | None = None, batch_size: int = 32
    ) -> list[Reconstruction]:
        """Reconstruct faces whose places are known, as `FaceInput.given` and `detect.find_faces` make them.

        refinements, batch_size, and errors of the network: as in `__call__` and `batch`.
        """
        faces, refinements, batch_size = _checked(faces, refinements, batch_size)
        results = []
        for start in range(0, len(faces), batch_size):
            part = faces[start : start + batch_size]
            found = self._reconstruct([upright_input(face) for face in part], refinements)
            results += [in_photo(result, face) for result, face in zip(found, part, strict=True)]
        return results

    def same_person(
        self, faces: Sequence[FaceInput], *, refinements: int | None = None, batch_size: int = 32
    ) -> Person:
        """Reconstruct one person from several photos: one shape for all, pose and expression of each its own.

        One photo gives what `reconstruct` gives. The order of the photos does not matter beyond rounding. For
        how photos are weighed, and when one contradicts the others, see `PersonFit`.

        Args:
            faces: at least one, a photo each.
            refinements, batch_size: as in `batch`.

        Raises:
            InputError: no faces at all, or a reconstructor made with fit=False; otherwise as `reconstruct`.
        """
        faces, refinements, batch_size = _checked(faces, refinements, batch_size)
        if not faces:
            raise InputError("faces: expected at least one photo of the person, got none")
        if self._fit is None:
            raise InputError("same_person: one shape for all photos takes the fit; expected fit=True")
        looks = [
            self._look([upright_input(face) for face in faces[start : start + batch_size]], refinements)
            for start in range(0, len(faces), batch_size)
        ]
        with torch.inference_mode():
            person = PersonFit(self._fit)(*joined_looks(looks))
            parts = person.parameters.split([len(look.faces) for look in looks])
            found = [
                face for look, part in zip(looks, parts, strict=True) for face in self._results(look, part)
            ]
        results = [in_photo(result, face) for result, face in zip(found, faces, strict=True)]
        return Person(
            results, results[0].shape, tuple(person.contradicts.tolist()), tuple(person.left_out.tolist())
        )

    def colors(self, image: NDArray[np.uint8], face: Reconstruction) -> Floats:
        """Colors of the mesh, (N, 3) RGB in [0, 1]: the photo's, and a guess where it shows nothing."""
        check_image(image)
        if not isinstance(face, Reconstruction):
            raise InputError(f"face: expected a Reconstruction, got {shown(face)}")
        return face_colors(image, face.vertices, face.triangles, self.model)

    @torch.inference_mode()
    def _reconstruct(self, faces: list[FaceInput], refinements: int | None) -> list[Reconstruction]:
        look = self._look(faces, refinements)
        parameters = look.said.parameters
        if self._fit is not None:
            parameters = self._fitted(self._fit, look)
        return self._results(look, parameters)

    @torch.inference_mode()
    def _look(self, given: list[FaceInput], refinements: int | None) -> Look:
        """What there is to fit faces to."""
        faces = list(given)
        said = self._refined(faces, refinements)
        detected = own = None
        if self._fit is not None:
            detected = self._detected(self._fit, given, faces, said)
            own = self._fit.own(said.points, said.sigma) if self.network.has_points else None
        return Look(given, faces, said, detected, own)

    def _results(self, look: Look, parameters: torch.Tensor) -> list[Reconstruction]:
        """The faces of parameters (B, 12+K) that were found for what there is of them."""
        vertices = crop_vertices(self.basis, parameters)
        self.network.check(parameters, vertices)
        placed = place_faces(self.model, look.faces, parameters, vertices)
        if self.network.has_points:
            placed = self._judged(placed, look.given, look.said, parameters)
        doubted = look.said.doubted.tolist()
        return [replace(face, doubted=doubt) for face, doubt in zip(placed, doubted, strict=True)]

    def _judged(
        self, placed: list[Reconstruction], given: list[FaceInput], said: Said, parameters: torch.Tensor
    ) -> list[Reconstruction]:
        """The faces with their clues, and with their confidence where the weights know it."""
        marks = [
            None if face.landmarks is None else result.crop.to_crop(face.landmarks)
            for face, result in zip(given, placed, strict=True)
        ]
        found = clues_of(said, crop_landmarks(self.basis, parameters), marks)
        sure = self.info.get("confidence") or (lambda _: None)
        return [
            replace(face, confidence=sure(clues), clues=clues)
            for face, clues in zip(placed, found, strict=True)
        ]

    def _refined(self, faces: list[FaceInput], refinements: int | None) -> Said:
        """What the network says once its landmarks were fed back to it; `faces` get those and its crops."""
        passes = [self._passes(face, refinements) for face in faces]
        # A network with points of its own gains nothing from a map of them: it only looks at the moved crop.
        feeds = refinements is not None or not self.network.has_points
        said = self.network.faces(faces)
        for step in range(max(passes)):
            again = [index for index, count in enumerate(passes) if count > step]
            for index in again:
                own = faces[index].crop.to_image(said.landmarks[index, :, :2].cpu().numpy())
                moved = faces[index].refined(own.astype(np.float64))
                faces[index] = moved if feeds else replace(moved, landmarks=faces[index].landmarks)
            said.put(again, self.network.faces([faces[index] for index in again]))
        return said

    def _passes(self, face: FaceInput, asked: int | None) -> int:
        """How often the network looks again."""
        if asked is not None:
            return asked
        settled = self.network.has_points and not face.recrop
        return 0 if face.landmarks is not None or settled else BLIND_REFINEMENTS

    def _fitted(self, fit: LandmarkFit, look: Look) -> torch.Tensor:
        """Parameters (B, 12+K) of faces, fitted to the landmarks that came with them and the network's own.

        Without points of either kind a face stays as the network says it.
        """
        said, detected, own = look.said.parameters, look.detected, look.own
        if own is not None:
            return fit(said, detected, own)
        parameters = said.clone()
        if detected is not None:
            marked = detected.sigma.isfinite().any(dim=1).nonzero()[:, 0].tolist()
            chosen = Points(*(values[marked] for values in detected))
            parameters[marked] = fit(parameters[marked], chosen)
        return parameters

    def _detected(
        self, fit: LandmarkFit, given: list[FaceInput], faces: list[FaceInput], said: Said
    ) -> Points | None:
        """The landmarks that came with faces, as a source; None where no face has any.

        given, faces: as they came, and as the network saw them last.
        """
        marked = [index for index, face in enumerate(given) if face.landmarks is not None]
        if not marked:
            return None
        detected = torch.full((len(faces), 68, 2), torch.nan, dtype=said.parameters.dtype)
        for index in marked:
            points = faces[index].crop.to_crop(np.asarray(given[index].landmarks))
            detected[index] = torch.from_numpy(points)
        return self._believed(fit, detected.to(self.device), marked, faces, said)

    def _believed(
        self, fit: LandmarkFit, detected: torch.Tensor, marked: list[int], faces: list[FaceInput], said: Said
    ) -> Points:
        """The landmarks detected (B, 68, 2) of the marked faces as a source, as far as the network believes
        them.

        In `said`, the own points become what the network says without the landmarks, so that the two sources
        do not share errors; and all else too, where it does not believe them.
        """
        if not self.network.knows_blank:
            seen = detected.isfinite().all(dim=-1)
            return Points(detected, torch.where(seen, detector_sigma(detected), torch.inf))
        blind = said.copy()
        unmarked = [replace(faces[index], landmarks=None) for index in marked]
        blind.put(marked, self.network.faces(unmarked, checked=False))
        own = fit.own(blind.points, blind.sigma) if self.network.has_points else None
        source, factor = fit.trusted(detected, blind.parameters, own)
        # Landmarks that the network does not believe must not have been in its map either.
        doubted = (factor > 1).nonzero()[:, 0].tolist()
        said.put(doubted, blind.of(doubted))
        said.points, said.sigma = blind.points, blind.sigma
        said.doubted[doubted] = True
        return source


def _checked(faces: Any, refinements: Any, batch_size: Any) -> tuple[list[FaceInput], int | None, int]:
    """The arguments of `reconstruct`, once they are known to be what they should."""
    faces = _each(faces, "faces", None, "FaceInput")
    for face in faces:
        if not isinstance(face, FaceInput):
            raise InputError(f"faces: expected a list of FaceInput, got {shown(face)} in it")
    if refinements is not None:
        refinements = whole_number(refinements, "refinements", 0, MOST_REFINEMENTS)
    batch_size = whole_number(batch_size, "batch_size", 1)
    return faces, refinements, batch_size


def _each(values: Any, name: str, count: int | None, kind: str = "images") -> list[Any]:
    """The entries of a list or array with one a face, `count` of them; None stands for nothing at all."""
    if values is None and count is not None:
        return [None] * count
    expected = f"a list of {kind}" if count is None else f"a list, one entry for each of {count} images"
    if isinstance(values, (str, bytes, Mapping)) or not (hasattr(values, "__len__") and np.iterable(values)):
        raise InputError(f"{name}: expected {expected}, got {shown(values)}")
    entries = list(values)
    if count is not None and len(entries) != count:
        raise InputError(f"{name}: expected {expected}, got {len(entries)}")
    return entries
