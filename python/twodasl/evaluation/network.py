"""Landmarks of a trained network on a data set, by the path that `twodasl reconstruct` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..distributed import Ranks
from ..errors import InputError
from ..progress import progress_bar
from ..reconstruction.face_input import FaceInput

if TYPE_CHECKING:
    from ..reconstruction.reconstructor import FaceReconstructor, Reconstruction
    from .faces import BenchmarkFaces


def network_landmarks(
    reconstructor: FaceReconstructor,
    data: BenchmarkFaces,
    landmarks: NDArray[np.float64] | None,
    *,
    boxes: NDArray[np.float64] | None,
    refinements: int | None = None,
    indices: NDArray[np.int64] | None = None,
    batch_size: int = 32,
    visit: Callable[[int, Reconstruction], None] | None = None,
) -> NDArray[np.float64]:
    """The network's landmarks on every image: (n, 68 or L, 3) float64, image pixels.

    landmarks: (n, 68, 2) image pixels, the network's landmark input, or None for an empty landmark map.
    boxes: (n, 4) crops in image pixels, made square about their centers; None crops around `landmarks`.
    refinements: as `FaceReconstructor.batch` takes it. indices: (L,) the vertices that stand for the points;
    None takes the face model's 68 `landmarks`. visit: called with each image's row and its whole
    reconstruction, which is not kept. A progress bar goes to a terminal's stderr.

    Several processes that have met (`twodasl.distributed.joined`) take turns batch by batch, and
    each returns the whole; `visit` sees the process's own images only, see `from_all`.

    Raises InputError naming the image that cannot be read, or whose landmarks or box do not fit it.
    """
    found = np.zeros((len(data), 68 if indices is None else len(indices), 3))
    ranks = Ranks.here()
    turns = range(ranks.rank * batch_size, len(data), ranks.count * batch_size)
    problem: InputError | None = None
    try:
        with progress_bar(total=len(data), description="evaluate", unit="image", show=ranks.leads) as bar:
            for start in turns:
                rows = range(start, min(start + batch_size, len(data)))
                faces = _faces(reconstructor, data, landmarks, boxes, refinements, rows)
                found[start : start + len(faces)] = [
                    face.landmarks if indices is None else face.vertices[indices] for face in faces
                ]
                if visit is not None:
                    for row, face in zip(rows, faces, strict=True):
                        visit(row, face)
                bar.update(min(ranks.count * len(faces), len(data) - bar.n))
    except InputError as error:
        problem = error
    ranks.raise_any(problem)
    return from_all(found)


def from_all(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of several processes in one array: each has filled its own, and left those of the others 0."""
    whole = torch.from_numpy(rows.copy())
    if Ranks.here().count > 1:
        Ranks.here().merge({"rows": whole})
    return whole.numpy()


def _faces(
    reconstructor: FaceReconstructor,
    data: BenchmarkFaces,
    landmarks: NDArray[np.float64] | None,
    boxes: NDArray[np.float64] | None,
    refinements: int | None,
    rows: range,
) -> list[Reconstruction]:
    faces = [
        _face(
            data,
            row,
            None if landmarks is None else landmarks[row],
            None if boxes is None else boxes[row].tolist(),
        )
        for row in rows
    ]
    try:
        return reconstructor.reconstruct(faces, refinements=refinements, batch_size=len(rows))
    except InputError as error:  # of the network, which sees them together
        raise InputError(f"{data.names[rows[0]]} to {data.names[rows[-1]]}: {error}") from error


def _face(
    data: BenchmarkFaces, row: int, landmarks: NDArray[np.float64] | None, box: list[float] | None
) -> FaceInput:
    image = data.read_image(row)
    try:
        return FaceInput.given(image, landmarks, box)
    except InputError as error:
        raise InputError(f"{data.names[row]}: {error}") from error
