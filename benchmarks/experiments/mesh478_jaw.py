"""python -m benchmarks.experiments.mesh478_jaw ROOT: where iBUG's jaw lies on MediaPipe's mesh.

ROOT is a folder of the kind mesh478. MediaPipe's mesh ends at the outline of the face, whose vertices are
spaced by the mesh and not by the jaw. Near-frontal photographs are reconstructed without landmarks, and the
head is moved, turned and scaled in the picture so that its points inside the face come nearest to the mesh's.
For every point of its jaw the nearest place on the mesh's outline is taken, in vertices from the outline's
beginning before the ear: the median over photographs and both sides, and half the range from the first
quarter to the third. These are the numbers of `twodasl/landmarks/mesh478.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twodasl.datasets.photos.mesh478 import scan
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.io.images import read_image
from twodasl.landmarks import FLIPS
from twodasl.landmarks.mesh478 import JAW_LINE, OTHER_JAW_LINE, sixty_eight_from_478
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor

from .landmark_places import laid_onto

Floats = NDArray[np.float64]

_YAW = 12.0  # degrees, the largest
_BATCH = 50


def nearest_place(line: Floats, point: Floats) -> float:
    """Where on a polyline (n, 2) a point (2,) is nearest to: the vertex before, and the share of its edge."""
    start, edge = line[:-1], np.diff(line, axis=0)
    share = ((point - start) * edge).sum(1) / np.maximum(np.square(edge).sum(1), 1e-12)
    # Beyond its first vertex the line goes on as it began.
    share[1:] = share[1:].clip(0, None)
    share = share.clip(None, 1)
    gap = np.linalg.norm(start + share[:, None] * edge - point, axis=1)
    best = int(gap.argmin())
    return best + float(share[best])


def places(mesh: Floats, jaw: Floats) -> Floats:
    """(2, 8) of points 0 to 7, on the one side and on the other; mesh (478, 2), jaw (68, 2)."""
    other = jaw[list(FLIPS[68])]
    lines = (mesh[list(JAW_LINE)], jaw), (mesh[list(OTHER_JAW_LINE)], other)
    return np.array([[nearest_place(line, points[i]) for i in range(8)] for line, points in lines])


def in_plane(points: NDArray[np.floating]) -> Floats:
    """(n, 3), z = 0, of points (n, 2 or more)."""
    return np.pad(points[:, :2].astype(np.float64), ((0, 0), (0, 1)))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.mesh478_jaw", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="folder of the kind mesh478")
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("-n", "--faces", type=int, default=1000, help="photographs to try (default: 1000)")
    arguments = parser.parse_args()
    scan(arguments.root)  # says what is wrong with a folder
    meshes = np.load(arguments.root / "mesh478.npy").astype(np.float64)[..., :2]
    files = sorted((arguments.root / "images").iterdir())
    rows = np.linspace(0, len(files) - 1, arguments.faces).astype(int)
    rows = rows[np.isfinite(meshes[rows]).all((1, 2))]
    reconstructor = FaceReconstructor(arguments.checkpoint)
    found = []
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        marks = sixty_eight_from_478(meshes[part])
        faces = [
            FaceInput.given(read_image(files[row]), None, crop_from_landmarks(points).box)
            for row, points in zip(part, marks, strict=True)
        ]
        for row, points, face in zip(part, marks, reconstructor.reconstruct(faces), strict=True):
            if abs(face.angles[1]) < _YAW:
                head, mesh = (in_plane(marks) for marks in (face.landmarks, points))
                found.append(places(meshes[row], laid_onto(head, mesh)[:, :2]))
    both = np.concatenate(found)
    low, middle, high = np.percentile(both, (25, 50, 75), axis=0)
    print(f"{len(found)} of {len(rows)} photographs")
    for i, (place, spread) in enumerate(zip(middle, (high - low) / 2, strict=True)):
        print(f"{i:3}  {place:.2f}  +- {spread:.2f}")


if __name__ == "__main__":
    main()
