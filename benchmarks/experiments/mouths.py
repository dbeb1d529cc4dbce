"""python -m benchmarks.experiments.mouths ROOT: whether an open mouth opens the mesh's.

ROOT is a folder with faces.csv (column image), images and pts68.npy, or AFLW2000-3D, of which the
re-annotated faces up to 35 degrees of yaw are taken, and a detector's landmarks are given. The gap between
the lips is the mean of the three distances between upper and lower inner lip (points 61 to 63 and 65 to 67),
over the distance of the outer corners of the eyes; that of the reconstructed landmarks is compared with the
annotation's: Pearson's correlation, the slope of the least-squares line, and the mean gap of each. The same
for the eyes. First of all photos, then of those whose landmarks the network does not contradict: annotations
that lie beside the face say nothing of a mouth.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.io.images import read_image
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor

Floats = NDArray[np.float64]

# Upper against lower points.
PAIRS = {"lips": ((61, 67), (62, 66), (63, 65)), "eyes": ((37, 41), (38, 40), (43, 47), (44, 46))}

FRONTAL = 35.0
"""Degrees of |yaw| beyond which an outer corner of an eye is hidden."""


def gaps(points: Floats, pairs: tuple[tuple[int, int], ...]) -> Floats:
    """(n,) of (n, 68, 2) points."""
    width = np.linalg.norm(points[:, 45] - points[:, 36], axis=-1)
    apart = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in pairs]
    return np.mean(apart, axis=0) / width


def line(label: str, found: Floats, truth: Floats) -> str:
    """One row of the table."""
    slope = np.polyfit(truth, found, 1)[0]
    correlation = np.corrcoef(truth, found)[0, 1]
    return f"  {label:22} {correlation:11.3f} {slope:6.2f} {found.mean():9.3f} {truth.mean():9.3f}"


def frames(root: Path) -> tuple[list[FaceInput], list[FaceInput], Floats]:
    """Of a folder with faces.csv: faces with landmarks, without, and the (n, 68, 2) annotation."""
    marks = np.load(root / "pts68.npy").astype(np.float64)
    given, blank, truth = [], [], []
    with open(root / "faces.csv", newline="", encoding="utf-8") as file:
        for row, points in zip(csv.DictReader(file), marks, strict=True):
            try:
                image = read_image(root / "images" / row["image"])
                given.append(FaceInput.given(image, points))
                blank.append(FaceInput.given(image, None, crop_from_landmarks(points).box))
                truth.append(points)
            except InputError as error:
                print(f"left out: {row['image']}: {error}")
    return given, blank, np.stack(truth)


def frontal(root: Path) -> tuple[list[FaceInput], list[FaceInput], Floats]:
    """The same of AFLW2000-3D."""
    data = read_aflw2000(root, "reannotated")
    if data.detected is None:
        raise InputError(f"{root}: expected a detector's landmarks, detected68_crop120.npy")
    rows = np.flatnonzero(np.abs(data.yaw_degrees) <= FRONTAL)
    images = [data.read_image(row) for row in rows]
    boxes = [tuple(data.boxes[row].tolist()) for row in rows]
    given = [FaceInput.given(*face) for face in zip(images, data.detected[rows], boxes, strict=True)]
    blank = [FaceInput.given(image, None, box) for image, box in zip(images, boxes, strict=True)]
    return given, blank, data.truth[rows]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.mouths", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    arguments = parser.parse_args()
    layout = frames if (arguments.root / "faces.csv").exists() else frontal
    given, blank, places = layout(arguments.root)
    reconstructor = FaceReconstructor(arguments.checkpoint)
    found = {
        "the photo alone": reconstructor.reconstruct(blank),
        "with landmarks": reconstructor.reconstruct(given),
    }
    kept = ~np.array([face.doubted for face in found["with landmarks"]])
    for words, rows in (("all photos", np.ones(len(kept), bool)), ("landmarks not contradicted", kept)):
        print(f"{words}: {rows.sum()}; checkpoint {arguments.checkpoint}")
        for part, pairs in PAIRS.items():
            print(f"  {part:22} correlation  slope  mean gap  annotated")
            for label, faces in found.items():
                points = np.stack([face.landmarks[:, :2] for face in faces]).astype(np.float64)
                print(line(label, gaps(points[rows], pairs), gaps(places[rows], pairs)))


if __name__ == "__main__":
    main()
