"""TensorBoard: a run's numbers as curves, and the same few faces again and again as the network learns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import InputError, install_extra
from ..geometry.projection import crop_landmarks, crop_vertices
from ..io.files import writing
from ..morphable import MorphableModel
from ..networks import split_output
from ..pictures.render import contact_sheet, draw_landmarks, overlay
from .hooks import Hook
from .model import Networks, StepBatch
from .state import Run

FOLDER = "tensorboard"
"""Inside the output folder."""
SHOWN = (4, 4)
"""Faces shown: with 3D annotation, and 2D-only."""

# A crop is shown this many times larger.
_ZOOM = 3
_SPEED = ("images_per_second", "data_share")


class Board(Hook):
    """Writes event files.

    Args:
        folder: of the event files.
        run: what another process wrote of steps after its last one is hidden.
        faces: those to show.
        every: steps from one set of pictures to the next.

    Raises InputError where the package tensorboard is missing.
    """

    def __init__(self, folder: Path, run: Run, faces: StepBatch, every: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(f"tensorboard: the package is not installed; {install_extra('log')}") from error
        self._folder, self._faces, self._every = folder, faces, every
        with writing(folder):
            self._writer = SummaryWriter(str(folder), purge_step=run.step + 1 if run.step else None)

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """Now and then, what the regressor makes of the faces: landmarks in the crops, meshes over them."""
        if run.step % self._every:
            return
        regressor = run.networks.regressor if run.average is None else run.average.network
        landmarks, meshes = face_pictures(regressor, run.networks, run.model, self._faces)
        for name, picture in (("faces/landmarks", landmarks), ("faces/mesh", meshes)):
            with writing(self._folder):
                self._writer.add_image(name, picture[..., ::-1].copy(), run.step, dataformats="HWC")

    def scalars(self, entry: dict[str, float]) -> None:
        """The numbers of a log entry, named as there."""
        step = int(entry["step"])
        for name, value in entry.items():
            if name != "step":
                group = "speed" if name in _SPEED else "rate" if name == "learning_rate" else "loss"
                with writing(self._folder):
                    self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        with writing(self._folder):
            self._writer.close()


@torch.no_grad()
def face_pictures(
    regressor: nn.Module, networks: Networks, model: MorphableModel, faces: StepBatch
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two sheets, uint8 BGR: the predicted 68 landmarks on each crop, and the mesh over it.

    Green dots are the annotated points. The regressor is left in the mode it was in; nothing changes in it.
    """
    training = regressor.training
    regressor.eval()
    whitening, basis = networks.whitening, networks.basis
    output = regressor(faces.inputs.to(whitening.mean.device))
    parameters = whitening.unwhiten(split_output(output, len(whitening.mean)).whitened)
    regressor.train(training)
    points = crop_landmarks(basis, parameters).cpu().numpy()
    vertices = crop_vertices(basis, parameters).cpu().numpy()
    crops = (faces.inputs[:, :3] * 128 + 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    marked, covered = [], []
    for index, crop in enumerate(crops):
        large = cv2.resize(crop, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
        large = np.asarray(large, np.uint8)
        drawn = draw_landmarks(large, _zoomed(points[index]))
        for x, y in _zoomed(faces.observed[index][faces.visible[index]].numpy()).round().astype(int):
            cv2.circle(drawn, (int(x), int(y)), 3, (60, 220, 60), -1, cv2.LINE_AA)
        marked.append(drawn)
        covered.append(overlay(large, _zoomed(vertices[index]), model.triangles))
    columns = min(4, len(crops))
    return contact_sheet(marked, columns), contact_sheet(covered, columns)


def _zoomed(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (N, 2 or 3) of the enlarged crop: pixel centers are at integers in both."""
    moved = points * _ZOOM
    moved[:, :2] += (_ZOOM - 1) / 2
    return moved
