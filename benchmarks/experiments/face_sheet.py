"""python -m benchmarks.experiments.face_sheet ROOT CHECKPOINT OUT.png: best, median and worst faces, drawn.

Evaluates a network on AFLW2000-3D's development images with detected landmarks and draws, for each of the
faces, the predicted surface and over it the predicted landmarks beside the true ones. The photos, which may
not be redistributed, stay out of the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.aflw2000 import Aflw2000, read_aflw2000
from twodasl.evaluation import normalized_mean_error
from twodasl.evaluation.network import network_landmarks
from twodasl.geometry.crops import Crop
from twodasl.io.images import write_image
from twodasl.landmarks import CONNECTIONS_68
from twodasl.pictures.charts import Page, style
from twodasl.pictures.render import Image, render_mesh
from twodasl.reconstruction.reconstructor import FaceReconstructor, Reconstruction

TILE, CAPTION, GAP, HEADER = 250, 26, 6, 40  # pixels
TRUTH, PREDICTED = (80, 215, 70), (50, 90, 255)  # BGR
GROUPS = ("best", "median", "worst")
_BITS = 4


def chosen(errors: NDArray[np.float64], count: int) -> dict[str, list[int]]:
    """Rows of the least, the middle and the greatest errors, `count` of each."""
    order = np.argsort(errors, kind="stable")
    middle = (len(order) - count) // 2
    parts = (order[:count], order[middle : middle + count], order[-count:])
    return {name: part.tolist() for name, part in zip(GROUPS, parts, strict=True)}


def tile(face: Reconstruction, triangles: NDArray[np.int64], truth: NDArray, predicted: NDArray) -> Image:
    """Surface, predicted landmarks (red) and true ones (green)."""
    points = np.concatenate([truth, predicted])
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (low + high) / 2
    side = 1.35 * float((high - low).max())
    crop = Crop(x - side / 2, y - side / 2, x + side / 2, y + side / 2, TILE)
    surface = np.asarray(face.vertices, np.float32).copy()
    surface[:, :2] = crop.to_crop(surface[:, :2])
    surface[:, 2] /= crop.scale[0]
    picture = render_mesh(surface, triangles, (TILE, TILE))
    for landmarks, color in ((predicted, PREDICTED), (truth, TRUTH)):
        placed = np.rint(np.asarray(crop.to_crop(landmarks)) * 2**_BITS).astype(int)
        for first, second in CONNECTIONS_68:
            ends = placed[first].tolist(), placed[second].tolist()
            cv2.line(picture, *ends, color, 1, cv2.LINE_AA, _BITS)
    return picture


def sheet(
    data: Aflw2000,
    triangles: NDArray[np.int64],
    faces: dict[int, Reconstruction],
    predicted: NDArray[np.float64],
    count: int,
) -> Image:
    """Three rows of tiles under a line of explanation."""
    errors = 100 * normalized_mean_error(predicted, data.truth)
    with style():
        page = Page(count * (TILE + GAP) + GAP, HEADER + len(GROUPS) * (TILE + CAPTION + GAP))
        page.text(10, HEADER / 2, "Predicted surface and landmarks (red), annotated landmarks (green)", 12)
        for line, (name, members) in enumerate(chosen(errors, count).items()):
            for column, row in enumerate(members):
                x, y = GAP + column * (TILE + GAP), HEADER + line * (TILE + CAPTION + GAP)
                page.paste(tile(faces[row], triangles, data.truth[row], predicted[row, :, :2]), x, y)
                caption = f"{name}: NME {errors[row]:.2f} %, yaw {data.yaw_degrees[row]:.0f}°"
                page.text(x + TILE / 2, y + TILE + CAPTION / 2, caption, 10, "center")
        return page.image()


def main() -> None:
    """Evaluates and writes the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.face_sheet", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--count", type=int, default=5, help="faces of each kind")
    options = parser.parse_args()
    data = read_aflw2000(options.root)
    network = FaceReconstructor(options.checkpoint)
    faces: dict[int, Reconstruction] = {}
    predicted = network_landmarks(
        network,
        data,
        data.detected,
        boxes=data.boxes,
        indices=network.model.basel_landmarks,
        visit=lambda row, face: faces.update({row: face}),
    )
    picture = sheet(data, network.model.triangles, faces, predicted, options.count)
    write_image(options.picture, picture)


if __name__ == "__main__":
    main()
