"""python -m benchmarks.experiments.mesh478_points: where iBUG's points lie on the lines of MediaPipe's mesh.

MediaPipe's face mesh has vertices along brows, lids and lips, and iBUG's points are spaced differently there.
The embedded head is rendered, MediaPipe looks for it, and for every point of one half of the face the place
along its line is searched that on the median face is neither before nor behind the head's own landmark. Needs
MediaPipe (`pip install '.[detect]'`). These are the numbers of `twodasl/landmarks/mesh478.py`.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from numpy.typing import NDArray
from twodasl.landmarks import FLIPS
from twodasl.landmarks.mesh478 import LINES
from twodasl.morphable import load_model
from twodasl.synthetic import SyntheticFaces

_LARGE, _BORDER = 3, 60  # MediaPipe is given the crop so many times enlarged, with its border repeated
_YAW = 0.35  # radians, the largest
_STEP = 0.05

Floats = NDArray[np.float64]


def rendered(count: int, seed: int) -> tuple[NDArray[np.uint8], Floats]:
    """Near-frontal synthetic faces (count, 120, 120, 3), and their 68 landmarks in crop pixels."""
    faces = SyntheticFaces(load_model("procedural"), 20 * count, seed)
    images, marks = [], []
    for start in range(0, len(faces), 50):
        for sample in faces.batch(range(start, start + 50)):
            if abs(sample["yaw"]) < _YAW and len(images) < count:
                images.append(sample["image"].numpy())
                marks.append(sample["landmarks"][:, :2].double().numpy())
        if len(images) == count:
            break
    return np.stack(images), np.stack(marks)


def meshes(images: NDArray[np.uint8]) -> Floats:
    """MediaPipe's (n, 478, 2) in crop pixels, NaN where it finds no face."""
    import mediapipe

    found = np.full((len(images), 478, 2), np.nan)
    side = images.shape[1] * _LARGE + 2 * _BORDER
    options = {"static_image_mode": True, "refine_landmarks": True, "min_detection_confidence": 0.3}
    with mediapipe.solutions.face_mesh.FaceMesh(**options) as mesh:
        for row, image in enumerate(images):
            large = cv2.resize(image, None, fx=_LARGE, fy=_LARGE, interpolation=cv2.INTER_CUBIC)
            large = cv2.copyMakeBorder(large, *4 * [_BORDER], cv2.BORDER_REPLICATE)
            faces = mesh.process(np.ascontiguousarray(large[..., ::-1])).multi_face_landmarks
            if faces:
                points = np.array([(point.x * side, point.y * side) for point in faces[0].landmark])
                found[row] = (points - _BORDER) / _LARGE - 0.5
    return found


def upright(points: Floats, marks: Floats) -> Floats:
    """Points (n, P, 2) with the eyes level, about the middle of marks (n, 68, 2), in units of their box."""
    middle, size = marks.mean(axis=1, keepdims=True), np.sqrt(np.ptp(marks, axis=1).prod(axis=1))
    eyes = marks[:, 42:48].mean(axis=1) - marks[:, 36:42].mean(axis=1)
    turn = (eyes[:, 0] - 1j * eyes[:, 1]) / np.abs(eyes[:, 0] + 1j * eyes[:, 1])
    moved = (points - middle) @ [1, 1j] * turn[:, None] / size[:, None]
    return np.stack([moved.real, moved.imag], axis=2)


def at(mesh: Floats, line: tuple[int, ...], place: float) -> Floats:
    """The points (n, 2) so many vertices along a line."""
    first = min(int(place), len(line) - 2)
    share = place - first
    return (1 - share) * mesh[:, line[first]] + share * mesh[:, line[first + 1]]


def best_place(mesh: Floats, line: tuple[int, ...], target: Floats) -> float:
    """Where on the line the median way to the target has no part along it."""
    last = len(line) - 1
    misses = {}
    for place in np.arange(0, last + _STEP / 2, _STEP).tolist():
        ahead = at(mesh, line, min(place + 0.5, last)) - at(mesh, line, max(place - 0.5, 0))
        along = np.median(ahead, axis=0)
        misses[place] = abs(np.median(at(mesh, line, place) - target, axis=0) @ along) / np.linalg.norm(along)
    return min(misses, key=lambda place: misses[place])


def main() -> None:
    """Prints point, place, and the place of its mirror image."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.mesh478_points", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--faces", type=int, default=1000, help="how many to render (default: 1000)")
    parser.add_argument("--seed", type=int, default=777)
    arguments = parser.parse_args()
    images, marks = rendered(arguments.faces, arguments.seed)
    mesh = meshes(images)
    kept = np.isfinite(mesh).all(axis=(1, 2))
    mesh, marks = upright(mesh[kept], marks[kept]), upright(marks[kept], marks[kept])
    flipped = upright_twins(mesh)
    print(f"{kept.sum()} of {len(kept)} rendered faces found")
    for point, line in LINES.items():
        here = best_place(mesh, line, marks[:, point])
        there = best_place(flipped, line, marks[:, FLIPS[68][point]] * [-1, 1])
        print(f"{point:>3}  {here:.2f}  mirrored {there:.2f}  mean {(here + there) / 2:.3f}")


def upright_twins(mesh: Floats) -> Floats:
    """The mesh mirrored: every vertex takes the place of its twin's image."""
    middle = np.median(mesh, axis=0)
    away = np.linalg.norm(middle[:, None] - middle * [-1, 1], axis=2)
    return mesh[:, away.argmin(axis=1)] * [-1, 1]


if __name__ == "__main__":
    main()
