"""Photos with 3D annotation by a fit, as a map-style data set for training; see `fitted_store.py`."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ...errors import InputError
from ...geometry.parameters import split_parameters
from ...geometry.pose import decompose_pose
from ...geometry.projection import crop_landmarks
from ...morphable import MorphableModel
from .fitted_store import NOTE, Store, read_images, read_store

# How far stored landmarks may be from those of the stored parameters, crop pixels: rounding is a thousandth.
_AGREE = 0.05
_CHUNK = 4096


class FittedPhotos(Dataset[dict[str, Any]]):
    """The faces of a folder that `twodasl data annotate` wrote.

    Args:
        root: the folder.
        model: the face model in whose parameters they are wanted; None: landmarks only.

    `photos[i]` is a dict of
        image: (120, 120, 3) uint8 tensor, BGR;
        landmarks: (68, 3) float32, the face model's, x, row and z in crop pixels;
        visible: (68,) bool: inside the crop and not hidden by the face itself;
        yaw: float, radians;
        parameters: (12+K,) float32, with a model.

    Raises:
        InputError: a file is missing or damaged, or the faces belong to another face model. IndexError: an
            index outside the data set.
    """

    def __init__(self, root: Path, model: MorphableModel | None = None) -> None:
        store = read_store(root)
        self.root, self.faces, self.report, self._images = root, store.faces, store.report, store.images
        self.without_parameters = "" if model is not None else "no face model was named"
        if model is not None:
            _check_model(root, store, model)
        pose, _ = split_parameters(torch.from_numpy(store.faces.parameters))
        self._yaw = decompose_pose(pose)[1][:, 1].double().numpy()
        self.has_yaw = True

    def __len__(self) -> int:
        return len(self.faces.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._row(index)
        sample: dict[str, Any] = {
            "image": torch.from_numpy(np.array(self._images[row])),
            "landmarks": torch.from_numpy(self.faces.landmarks[row].copy()),
            "visible": torch.from_numpy(self.faces.visible[row].copy()),
            "yaw": float(self._yaw[row]),
        }
        if not self.without_parameters:
            sample["parameters"] = self.parameters(row)
        return sample

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes map the crops themselves; a pickled map would be a copy of all.
        return {**self.__dict__, "_images": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._images = read_images(self.root, len(self))

    def name(self, index: int) -> str:
        """A photo's name in the data set that it came from."""
        return self.faces.names[self._row(index)]

    def parameters(self, index: int) -> torch.Tensor:
        """Only the parameter vector (12+K,) of a face. InputError if no model was named."""
        if self.without_parameters:
            raise InputError(f"{self.root}: {self.without_parameters}")
        return torch.from_numpy(self.faces.parameters[self._row(index)].copy())

    @property
    def yaw_degrees(self) -> NDArray[np.float64]:
        """(n,) yaw of every face in degrees."""
        return np.degrees(self._yaw)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(n, 68) which landmarks of every face are visible."""
        return self.faces.visible

    def _row(self, index: int) -> int:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {index} is outside a data set of {len(self)} photos")
        return position % len(self)


def open_folder(root: Path, model: MorphableModel | None) -> FittedPhotos:
    """The data set in a folder, see `FittedPhotos`."""
    return FittedPhotos(root, model)


def _check_model(root: Path, store: Store, model: MorphableModel) -> None:
    """Raise InputError where the faces are of another face model, or parameters and landmarks disagree."""
    name, identity, counts = store.model
    if identity != model.identity or counts != model.counts:
        raise InputError(
            f"{root / NOTE}: its faces are of the face model {_describe(name, counts)}, identity"
            f" {identity[:12]}, got {_describe(model.name, model.counts)}, identity"
            f" {model.identity[:12]}; give the model they were fitted with, or annotate the photos again"
        )
    basis = model.basis()
    for start in range(0, len(store.faces.names), _CHUNK):
        part = slice(start, start + _CHUNK)
        placed = crop_landmarks(basis, torch.from_numpy(store.faces.parameters[part])).numpy()
        apart = np.abs(placed - store.faces.landmarks[part]).max(axis=(1, 2))
        if not (apart <= _AGREE).all():
            row = start + int(np.flatnonzero(~(apart <= _AGREE))[0])
            raise InputError(
                f"{root / 'landmarks.npy'}: row {row} is not where parameters.npy places the face model's"
                " landmarks; copy the folder again"
            )


def _describe(name: str, counts: tuple[int, ...]) -> str:
    return f"{name[:60]!r} ({'/'.join(map(str, counts))} vertices/shapes/expressions)"
