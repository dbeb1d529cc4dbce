"""Measuring how sure a network and the fit to its points may be: where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.photos.photo_set import PhotoSet
from ..errors import InputError
from ..geometry.crops import SIZE
from ..progress import progress_bar
from ..synthetic.dataset import SyntheticFaces
from ..training.confidence import GOOD, Calibration, fitted_line, log_loss, probabilities
from ..training.priors import PHOTOS
from .confidence_scenes import Scene, scenes_of
from .face_input import FaceInput

if TYPE_CHECKING:
    from .reconstruction import Reconstruction
    from .reconstructor import FaceReconstructor

FACES = 1000
"""Synthetic faces, of five scenes each."""

_MOST_PHOTOS = 1000
_LEAST_PHOTOS = 100
# How much more a photographed face may err than one that was drawn.
_FACTORS = tuple(round(1 + 0.05 * step, 2) for step in range(31))
_BOX_NOISE = 0.035  # of an edge, over the side: as `SyntheticOptions.box_noise`
_CHUNK = 8


class Judged(NamedTuple):
    """Of n scenes of one kind: clues (n, C) float64, and error (n,) float64 fraction, infinite where there is
    no face."""

    clues: Tensor
    error: Tensor


def measure_confidence(
    reconstructor: FaceReconstructor,
    faces: SyntheticFaces,
    photos: PhotoSet | None = None,
    *,
    progress: bool = True,
) -> Calibration:
    """The calibration of a network and its fit.

    Drawn faces, some out of place and some not there at all, say how likely an alignment is good for its
    clues. Photographed faces err more than drawn ones for the same clues: times the factor that explains the
    photos best, or `priors.PHOTOS` times where there are none.

    Args:
        reconstructor: of a network with points of its own, and a fit.
        faces: some hundreds at least, which it was not trained on.
        photos: with 68 landmarks, which may be noisy; at most 1,000 are used.
        progress: show a bar (on a terminal).

    Raises InputError where the network has no points of its own, where there are too few photos with 68
    landmarks, or where more than half of the network's answers are no faces.
    """
    if not reconstructor.network.has_points:
        raise InputError("confidence: expected a network with points of its own (network.points=68)")
    chosen = [] if photos is None else _usable(photos)
    groups = (scenes_of(faces, index) for index in range(len(faces)))
    alone, marked = _judged(reconstructor, groups, len(faces), "draw faces and measure", progress)
    factor = PHOTOS
    if photos is not None:
        scenes = ([_photo_scene(photos, *one)] for one in chosen)
        seen, _ = _judged(reconstructor, scenes, len(chosen), "measure photos", progress)
        factor = min(_FACTORS, key=lambda factor: _unlikeliness(alone, seen, factor))
    # The landmarks of drawn faces err as a detector's do on photos already.
    return Calibration(_line(alone, factor), _line(marked, 1.0), factor)


def _line(drawn: Judged, factor: float) -> tuple[float, ...]:
    return fitted_line(drawn.clues, drawn.error * factor <= GOOD)


def _unlikeliness(drawn: Judged, seen: Judged, factor: float) -> float:
    """How ill the photos agree with what drawn faces say that err so many times as much."""
    line = _line(drawn, factor)
    said = probabilities(seen.clues, torch.tensor(line, dtype=torch.float64))
    return log_loss(said, seen.error <= GOOD)


def _judged(
    reconstructor: FaceReconstructor, groups: Iterator[list[Scene]], count: int, label: str, progress: bool
) -> tuple[Judged, Judged]:
    """The scenes of `count` faces, made as they are needed: those without landmarks, and those with."""
    clues: tuple[list, list] = ([], [])
    errors: tuple[list, list] = ([], [])
    total = 0
    with progress_bar(total=count, description=label, unit="face", show=progress, announce_from=500) as bar:
        while part := list(islice(groups, _CHUNK)):
            scenes = [scene for group in part for scene in group]
            total += len(scenes)
            for scene, face in zip(scenes, _answers(reconstructor, scenes), strict=True):
                if face is not None and face.clues is not None:
                    kind = int(scene.face.landmarks is not None)
                    clues[kind].append(face.clues.numbers)
                    errors[kind].append(_error(face.landmarks, scene.truth))
            bar.update(len(part))
    used = sum(map(len, errors))
    if 2 * used <= total:
        raise InputError(
            f"confidence: the network's answers to {total - used:,} of {total:,} pictures are no faces; take"
            " an earlier checkpoint"
        )
    without, among = (
        Judged(*(torch.tensor(column, dtype=torch.float64) for column in part))
        for part in zip(clues, errors, strict=True)
    )
    return without, among


def _answers(reconstructor: FaceReconstructor, scenes: Sequence[Scene]) -> list[Reconstruction | None]:
    """Reconstructions, None where the network's answer is no face."""
    try:
        return list(reconstructor.reconstruct([scene.face for scene in scenes]))
    except InputError:
        if len(scenes) == 1:
            return [None]
        return [answer for scene in scenes for answer in _answers(reconstructor, [scene])]


def _error(landmarks: NDArray[np.floating], truth: NDArray[np.floating] | None) -> float:
    """`evaluation.nme` of one face."""
    if truth is None:
        return float("inf")
    side = np.sqrt(np.prod(truth.max(axis=0) - truth.min(axis=0)))
    return float(np.linalg.norm(landmarks[:, :2] - truth, axis=1).mean() / side)


def _usable(photos: PhotoSet) -> list[tuple[int, NDArray[np.float64]]]:
    """Photos with 68 landmarks, drawn at random: their rows and landmarks."""
    chosen = []
    for row in np.random.default_rng(0).permutation(len(photos)).tolist():
        marks = _sixty_eight(photos, row)
        if marks is not None:
            chosen.append((row, marks))
        if len(chosen) == _MOST_PHOTOS:
            break
    if len(chosen) < _LEAST_PHOTOS:
        raise InputError(
            f"confidence: expected at least {_LEAST_PHOTOS} photos with 68 landmarks, got {len(chosen)} of"
            f" {len(photos)}"
        )
    return chosen


def _photo_scene(photos: PhotoSet, row: int, marks: NDArray[np.float64]) -> Scene:
    """A photographed face in a crop as far off as a detector's."""
    noise = np.random.default_rng((0, row)).normal(size=4)
    x0, y0, x1, y1 = _BOX_NOISE * SIZE * noise + [0, 0, SIZE, SIZE]
    image = np.ascontiguousarray(photos[row]["image"].numpy())
    return Scene(FaceInput.given(image, box=(x0, y0, x1, y1)), marks)


def _sixty_eight(photos: PhotoSet, row: int) -> NDArray[np.float64] | None:
    """The landmarks (68, 2) of a photo in pixels of its crop; None where it has others or not all."""
    points = getattr(photos, "fit_points", None)
    marks = photos[row]["landmarks"].numpy() if points is None else points(row)
    whole = len(marks) == 68 and bool(np.isfinite(marks[:, :2]).all())
    return marks[:, :2].astype(np.float64) if whole else None
