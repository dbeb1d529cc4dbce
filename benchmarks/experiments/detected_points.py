"""python -m benchmarks.experiments.detected_points ROOT: what a detector's landmarks are worth.

On the images of AFLW2000-3D in which both detectors find the face, the one with landmarks and `retinaface`:
the NME of the landmarks as they are, of the face reconstructed from them, and of the face reconstructed
without any. And how many faces from landmarks are wrong by more than 10 %, and how many of those have a
confidence of 0.5 or more. docs/reconstruction.md has the numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.evaluation import format_table, normalized_mean_error, summarize
from twodasl.reconstruction.detect import find_faces, load_detector, named
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor

WRONG = 0.1


def about(faces: list[FaceInput], middle: NDArray[np.float64]) -> FaceInput | None:
    """The largest face whose crop holds a point."""
    for face in faces:
        (x0, y0, x1, y1), (x, y) = face.crop.box, middle
        if x0 < x < x1 and y0 < y < y1:
            return face
    return None


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.detected_points", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="AFLW2000-3D, or its development folder")
    parser.add_argument("--detector-model", type=Path, metavar="FILE", help="in place of mediapipe")
    parser.add_argument("--ground-truth", default="original")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    finder = load_detector(options.detector_model) if options.detector_model else named("mediapipe")
    data, reconstructor = read_aflw2000(options.root, options.ground_truth), FaceReconstructor()
    points, sure, rows = [], [], []
    for row in tqdm(range(len(data)), desc="images", disable=None):
        image, middle = data.read_image(row), data.truth[row].mean(axis=0)
        marked = about(find_faces(image, finder), middle)
        blank = about(find_faces(image, "retinaface"), middle)
        if marked is None or marked.landmarks is None or blank is None:
            continue
        with_them, without = reconstructor.reconstruct([marked, blank])
        points.append((marked.landmarks, with_them.landmarks[:, :2], without.landmarks[:, :2]))
        sure.append(with_them.confidence is not None and with_them.confidence >= 0.5)
        rows.append(row)
    labels = (f"{finder.name}, the landmarks", "  reconstructed from them", "retinaface, no landmarks")
    kinds = zip(labels, np.asarray(points).transpose(1, 0, 2, 3), strict=True)
    errors = {label: normalized_mean_error(found, data.truth[rows]) for label, found in kinds}
    print(f"{len(data)} images, ground truth {data.truth_source}; both found {len(rows)}")
    print(format_table({label: summarize(each, data.yaw_degrees[rows]) for label, each in errors.items()}))
    wrong = errors[labels[1]] > WRONG
    of_them = np.sum(wrong & sure)
    print(f"from landmarks, wrong by more than {WRONG:.0%}: {wrong.sum()}, {of_them} of them sure")


if __name__ == "__main__":
    main()
