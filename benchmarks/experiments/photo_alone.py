"""python -m benchmarks.experiments.photo_alone ROOT: what a photo without landmarks and without a box gets.

`twodasl evaluate aflw2000` crops by the data set's boxes, which were made from the true landmarks and tell a
network how large the face is and where. Here the default detector finds the face in each image of AFLW2000-3D
or its development folder, and the crop follows the network's own landmarks, as in `twodasl reconstruct`. Of
several faces the one nearest to the data set's box counts. NME in percent at the 68 points, each ground truth
at the vertices it means, of the network alone and with the fit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.aflw2000 import Aflw2000, read_aflw2000
from twodasl.evaluation.nme import normalized_mean_error
from twodasl.evaluation.report import format_table, summarize
from twodasl.reconstruction.detect import find_faces
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor


def nearest_faces(data: Aflw2000) -> tuple[list[FaceInput], NDArray[np.int64]]:
    """The face of each image that is nearest to its box; the images where there is one."""
    faces, rows = [], []
    for row in range(len(data)):
        found = find_faces(data.read_image(row))
        middle = data.boxes[row].reshape(2, 2).mean(axis=0)
        away = [np.abs(np.reshape(face.crop.box, (2, 2)).mean(axis=0) - middle).sum() for face in found]
        if found:
            faces.append(found[int(np.argmin(away))])
            rows.append(row)
    return faces, np.array(rows)


def main() -> None:
    """Prints a table for each ground truth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.photo_alone", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    arguments = parser.parse_args()
    truths = {name: read_aflw2000(arguments.root, name) for name in ("original", "reannotated")}
    data = truths["original"]
    faces, rows = nearest_faces(data)
    print(f"{len(rows)} of {len(data)} images have a face; checkpoint {arguments.checkpoint}")
    results = {}
    for label, fit in (("network alone", False), ("with the fit", True)):
        reconstructor = FaceReconstructor(arguments.checkpoint, fit=fit)
        results[label] = reconstructor.reconstruct(list(faces))
    model = reconstructor.model
    for name, truth in truths.items():
        basel = name == "original" and model.basel_landmarks is not None
        indices = model.basel_landmarks if basel else model.landmarks
        print(f"\n{name} ground truth")
        table = {}
        for label, found in results.items():
            points = np.stack([face.vertices[indices][:, :2] for face in found]).astype(np.float64)
            errors = normalized_mean_error(points, truth.truth[rows])
            table[label] = summarize(errors, data.yaw_degrees[rows])
        print(format_table(table))


if __name__ == "__main__":
    main()
