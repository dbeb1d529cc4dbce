"""Shape coefficients of many photos, by the path that `twodasl reconstruct` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.images import read_image
from ..progress import progress_bar
from ..reconstruction.detect import find_faces
from ..reconstruction.face_input import FaceInput
from ..reconstruction.reconstructor import FaceReconstructor


@dataclass(frozen=True, eq=False)
class PhotoShapes:
    """Of m of n photos. rows: (m,) which. coefficients: (m, Ks) shape, in standard deviations. doubted: (m,)
    whether the network contradicts the photo's landmarks. left_out: photo -> why there is no face."""

    rows: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    doubted: NDArray[np.bool_]
    left_out: dict[str, str] = field(default_factory=dict)


def photo_shapes(
    reconstructor: FaceReconstructor,
    names: Sequence[str],
    images: Sequence[Path],
    landmarks: NDArray[np.float64] | None,
    *,
    batch_size: int = 32,
) -> PhotoShapes:
    """Reconstruct photos `images` (n), called `names`, with `landmarks` (n, 68, 2) in image pixels, or with
    the largest face that the default detector finds. Photos that cannot be read or have no face are left out.
    """
    rows: list[int] = []
    coefficients: list[NDArray[np.float32]] = []
    doubted: list[bool] = []
    left_out: dict[str, str] = {}
    with progress_bar(total=len(names), description="evaluate", unit="photo") as bar:
        for start in range(0, len(names), batch_size):
            part = range(start, min(start + batch_size, len(names)))
            faces: list[FaceInput] = []
            for row in part:
                try:
                    faces.append(_face(images[row], None if landmarks is None else landmarks[row]))
                    rows.append(row)
                except InputError as error:
                    left_out[names[row]] = f"{names[row]}: {str(error).removeprefix(f'{images[row]}: ')}"
            for face in reconstructor.reconstruct(faces, batch_size=batch_size) if faces else ():
                coefficients.append(face.shape)
                doubted.append(face.doubted)
            bar.update(len(part))
    shapes = len(reconstructor.model.shape_modes)
    found = np.reshape(np.array(coefficients, np.float64), (len(rows), shapes))
    return PhotoShapes(
        np.array(rows, np.int64),
        found / reconstructor.model.coefficient_std[:shapes],
        np.array(doubted, bool),
        left_out,
    )


def _face(image: Path, landmarks: NDArray[np.float64] | None) -> FaceInput:
    # Landmarks refer to the stored pixels, as in `Aflw2000.read_image`.
    photo = read_image(image, upright=landmarks is None)
    if landmarks is not None:
        return FaceInput.given(photo, landmarks)
    found = find_faces(photo)
    if not found:
        raise InputError(f"{image}: no face was found")
    return found[0]
