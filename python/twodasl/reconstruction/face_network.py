"""A trained network and its face model: photos' faces in, what the network says of them out."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..geometry.projection import crop_landmarks
from ..landmarks import eighteen_from_68
from ..morphable import MorphableModel, load_model
from ..networks import split_output
from ..networks.folded import folded
from ..networks.inputs import network_input
from ..training.checkpoint import check_model
from ..training.mirror import mirror_map
from ..training.trained import load_regressor
from .face_input import FaceInput
from .plausible import plausibility
from .several_looks import mean_of_looks, several_looks


@dataclass
class Said:
    """What a network says of some faces, in the pixels of their crops.

    Attributes:
        parameters: (B, 12+K).
        landmarks: (B, 68, 3), those of the parameters.
        points, sigma: (B, P, 2) and (B, P), its own points and their standard deviations; P is 0 or 68.
        doubted: (B,) bool, whether landmarks that came with a face contradict it.
    """

    parameters: Tensor
    landmarks: Tensor
    points: Tensor
    sigma: Tensor
    doubted: Tensor

    def of(self, rows: list[int]) -> Said:
        """Of some of them."""
        return Said(*(getattr(self, field.name)[rows] for field in fields(self)))

    def copy(self) -> Said:
        """The same in tensors of its own."""
        return Said(*(getattr(self, field.name).clone() for field in fields(self)))

    def put(self, rows: list[int], others: Said) -> None:
        """Take others' place in some rows."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(others, field.name)


class FaceNetwork:
    """The regressor of a checkpoint or of weights, and the face model it was trained for.

    Args:
        checkpoint: the file.
        model: the face model, or its name or path; None takes the name in the checkpoint.
        device: where to compute.
        once: whether faces are looked at once, and not several times with the mean of the answers, see
            `several_looks.py`. It takes a third less time.

    Raises InputError, see `load_regressor` and `check_model`.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str],
        model: MorphableModel | str | os.PathLike[str] | None,
        device: torch.device,
        once: bool = False,
    ) -> None:
        self.checkpoint, self.device, self._once = checkpoint, device, once
        regressor, whitening, self.info = load_regressor(checkpoint)
        self.model = _matching_model(checkpoint, self.info, model)
        self.regressor = folded(regressor).to(device)
        self.whitening = whitening.to(device)
        self.basis = self.model.basis(device)
        config = self.info["config"]
        # A network that was never shown landmarks must not be shown any.
        dropout = config.get("landmarks", {}).get("map_dropout", 0.0)
        self.sees_landmarks = dropout < 1
        # One that always was shown some does not know a face without.
        self.knows_blank = dropout > 0
        self.has_points = config.get("network", {}).get("points", 0) > 0
        """Whether it says where the 68 landmarks are, beside its parameters."""

    def faces(self, faces: list[FaceInput], *, checked: bool = True) -> Said:
        """What it says of faces as they are marked now. Raises InputError, see `crops` and `check`.

        checked: whether answers that are no face are an error.
        """
        crops = np.stack([face.crop.image(face.image) for face in faces])
        # A NaN point is left out of the map.
        marks = torch.full((len(faces), 18, 2), torch.nan, dtype=torch.float32)
        for index, face in enumerate(faces):
            if face.landmarks is not None:
                points = face.crop.to_crop(face.landmarks)
                marks[index] = torch.from_numpy(eighteen_from_68(points)).float()
        said = self.crops(torch.from_numpy(crops), marks)
        if checked:
            self.check(said.parameters, said.landmarks)
        return said

    def crops(self, images: Tensor, marks: Tensor) -> Said:
        """What it says of crops.

        Args:
            images: (B, 120, 120, 3) uint8 BGR.
            marks: (B, 18, 2) crop pixels for the landmark map, NaN for none; not used where it sees none.

        Raises InputError where it answers NaN or infinity.
        """
        if not self.sees_landmarks:
            marks = torch.full_like(marks, torch.nan)
        if self._once:
            said = self._look(images, marks)
        else:
            mirror = self._mirror_map
            said = mean_of_looks(*self._look(*several_looks(images, marks, mirror is not None)), mirror)
        if not all(bool(torch.isfinite(values).all()) for values in said):
            raise InputError(
                f"{self.checkpoint}: its network gives NaN or infinity; take an earlier checkpoint"
            )
        doubted = torch.zeros(len(said[0]), dtype=torch.bool, device=self.device)
        return Said(said[0], crop_landmarks(self.basis, said[0]), *said[1:], doubted)

    @cached_property
    def _mirror_map(self) -> Tensor | None:
        return mirror_map(self.model)

    def _look(self, images: Tensor, marks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters, own points and their sigma."""
        batch = network_input(images.to(self.device), marks.to(self.device))
        output = split_output(self.regressor(batch), len(self.whitening.mean))
        return self.whitening.unwhiten(output.whitened), output.points, output.sigma

    def check(self, parameters: Tensor, points: Tensor) -> None:
        """Raise InputError where points (B, P, 3) in crop pixels, or the camera, are those of no face."""
        good, extent, reach, sine = plausibility(parameters, points)
        if not bool(good.all()):
            first = int((~good).nonzero()[0])
            raise InputError(
                f"{self.checkpoint}: its network's answer is no face (size {float(extent[first]):.3g} and"
                f" distance {float(reach[first]):.3g} in widths of the crop, sine {float(sine[first]):.2g}"
                " between the rows of its camera); its training has diverged, take an earlier checkpoint"
            )


def _matching_model(
    checkpoint: str | os.PathLike[str],
    info: dict,
    model: MorphableModel | str | os.PathLike[str] | None,
) -> MorphableModel:
    """The face model, once it is known to be the one that the checkpoint was trained for."""
    # The name under which training loaded it; a path may lead nowhere by now.
    name = info["config"].get("data", {}).get("model", info["model_name"])
    try:
        found = load_model(name if model is None else model)
    except InputError as error:
        if model is not None:
            raise
        raise InputError(
            f"{checkpoint}: was trained for the face model {info['model_name']!r} from {name}, which cannot"
            f" be loaded ({error}); give the model itself (--model)"
        ) from error
    check_model(checkpoint, info, found)
    return found
