"""Landmarks of a trained network on a data set, by the path that `twodasl reconstruct` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import InputError

if TYPE_CHECKING:
    from ..data.aflw2000 import Aflw2000
    from ..reconstruct import FaceReconstructor


def network_landmarks(
    reconstructor: FaceReconstructor,
    data: Aflw2000,
    landmarks: NDArray[np.float64] | None,
    *,
    boxes: NDArray[np.float64] | None,
    refinements: int | None = None,
    indices: NDArray[np.int64] | None = None,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """The network's 68 landmarks on every image: (n, 68, 2) float64, image pixels.

    landmarks: (n, 68, 2) image pixels, the network's landmark input, or None for an empty landmark map.
    boxes: (n, 4) crops in image pixels, made square about their centres; None crops around `landmarks`.
    refinements: as `FaceReconstructor.batch` takes it.
    indices: (68,) the vertices that stand for the points; None takes the face model's `landmarks`. A progress
        bar goes to a terminal's stderr.

    Raises InputError naming the images when one cannot be read, or its landmarks or box do not fit it.
    """
    found = np.empty((len(data), 68, 2))
    with tqdm(total=len(data), desc="evaluate", unit="image", disable=None) as progress:
        for start in range(0, len(data), batch_size):
            rows = range(start, min(start + batch_size, len(data)))
            images = [data.read_image(i) for i in rows]
            try:
                faces = reconstructor.batch(
                    images,
                    None if landmarks is None else [landmarks[i] for i in rows],
                    None if boxes is None else [boxes[i].tolist() for i in rows],
                    refinements=refinements,
                    batch_size=batch_size,
                )
            except InputError as error:
                raise InputError(f"{data.names[rows[0]]} to {data.names[rows[-1]]}: {error}") from error
            found[start : start + len(faces)] = [
                (face.landmarks if indices is None else face.vertices[indices])[:, :2] for face in faces
            ]
            progress.update(len(faces))
    return found
