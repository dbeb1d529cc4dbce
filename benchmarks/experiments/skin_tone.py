"""python -m benchmarks.experiments.skin_tone ROOT: the error by skin tone, measured in the photos.

AFLW2000-3D says nothing of the people it shows, so that the tone is read off the pixels: the individual
typology angle, atan((L* - 50) / b*) in degrees (Chardonnay, 1991), of the median color of cheeks and forehead
between the 20th and 80th percentile of lightness, at the annotated landmarks. Light and white balance of the
photo change it: it sorts photos, not people. Groups as in the literature: light above 41, intermediate above
28, tan above 10, brown to dark below.

NME in percent at the 68 points, each ground truth at the vertices it means, without landmarks (the network's
own points, the default) and with the detected landmarks that come with the development folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab
from twodasl.datasets.benchmarks.aflw2000 import Aflw2000, read_aflw2000
from twodasl.evaluation.nme import normalized_mean_error
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor

GROUPS = (("light", 41.0), ("intermediate", 28.0), ("tan", 10.0), ("brown to dark", -np.inf))
# Cheeks, each between the lower lid, the wing of the nose, the corner of the mouth and the jaw; the bridge of
# the nose up to the brows. A turned face's hidden cheek is small, so that the other decides.
_SKIN = ((41, 40, 31, 48, 3, 2), (46, 47, 35, 54, 13, 14), (21, 22, 42, 29, 39))


def typology_angle(image: NDArray[np.uint8], points: NDArray[np.floating]) -> float:
    """Degrees; image (H, W, 3) BGR, points (68, 2) pixels."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for region in _SKIN:
        cv2.fillPoly(mask, [np.rint(points[list(region)]).astype(np.int32)], 1)
    lab = rgb2lab(image[mask > 0][None, :, ::-1] / 255.0)[0]
    low, high = np.percentile(lab[:, 0], (20, 80))
    lightness, _, b = np.median(lab[(lab[:, 0] >= low) & (lab[:, 0] <= high)], axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, max(b, 1e-6))))


def group_of(angle: float) -> str:
    """The name in GROUPS."""
    return next(name for name, least in GROUPS if angle > least)


def errors_of(data: dict[str, Aflw2000], checkpoint: str, landmarks: bool) -> dict[str, NDArray[np.float64]]:
    """NME of every image by ground truth."""
    first = data["original"]
    faces = []
    for row in range(len(first)):
        points = first.detected[row] if landmarks and first.detected is not None else None
        faces.append(FaceInput.given(first.read_image(row), points, first.boxes[row]))
    reconstructor = FaceReconstructor(checkpoint)
    found = reconstructor.reconstruct(faces)
    errors: dict[str, NDArray[np.float64]] = {}
    for name, truth in data.items():
        basel = name == "original" and reconstructor.model.basel_landmarks is not None
        indices = reconstructor.model.basel_landmarks if basel else reconstructor.model.landmarks
        points = np.stack([face.vertices[indices][:, :2] for face in found]).astype(np.float64)
        errors[name] = 100 * normalized_mean_error(points, truth.truth)
    return errors


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.skin_tone", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    arguments = parser.parse_args()
    data = {name: read_aflw2000(arguments.root, name) for name in ("reannotated", "original")}
    first = data["original"]
    places = data["reannotated"].truth
    angles = [typology_angle(first.read_image(i), places[i]) for i in range(len(first))]
    groups = np.array([group_of(angle) for angle in angles])
    print(f"{len(first)} images; checkpoint {arguments.checkpoint}; mean NME, original / re-annotated")
    print(f"{'skin tone':15} {'images':>6} {'mean |yaw|':>10} {'no landmarks':>16} {'detected':>16}")
    columns = [errors_of(data, arguments.checkpoint, given) for given in (False, True)]
    yaw = np.abs(first.yaw_degrees)
    for words, within in (("all yaws", yaw < np.inf), ("|yaw| up to 30 degrees", yaw <= 30)):
        print(words)
        for name, _ in (*GROUPS, ("all", 0.0)):
            rows = within & ((groups == name) | (name == "all"))
            if rows.any():
                cells = [
                    f"{c['original'][rows].mean():.3f} / {c['reannotated'][rows].mean():.3f}" for c in columns
                ]
                print(f"{name:15} {rows.sum():6d} {yaw[rows].mean():10.1f} {cells[0]:>16} {cells[1]:>16}")


if __name__ == "__main__":
    main()
