"""python -m benchmarks.experiments.fit_picture OUT.jpg: a face model before and after it is fitted.

NASA's portrait of Eileen Collins (scikit-image's astronaut) with its 68 landmarks, the embedded head in the
best pose of its mean shape, and fitted. No network.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from torch import Tensor
from twodasl.geometry.crops import Crop, crop_from_landmarks
from twodasl.geometry.projection import crop_vertices
from twodasl.io.images import write_image
from twodasl.landmarks import read_landmarks
from twodasl.morphable import MorphableModel, load_model
from twodasl.pictures.render import caption, contact_sheet, draw_landmarks, overlay

import twodasl_ext as te

_SIDE = 480
_TINT = (0.45, 0.72, 0.95)


def closeup() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The photo around the face, _SIDE x _SIDE, and its landmarks (68, 2) in those pixels."""
    photo = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    with resources.as_file(resources.files("twodasl") / "resources" / "astronaut68.csv") as file:
        points = read_landmarks(file)
    window = Crop(*crop_from_landmarks(points).box, _SIDE)
    return window.image(photo, interpolation=cv2.INTER_CUBIC), window.to_crop(points)


def main() -> None:
    """Writes the picture and prints the mean distances."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.fit_picture", description=__doc__.splitlines()[0]
    )
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    photo, marks = closeup()
    model = load_model("procedural")
    basis = model.basis()
    points = torch.from_numpy(marks).float()[None] * torch.tensor([1.0, -1.0]) + torch.tensor(
        [0.0, _SIDE + 1]
    )
    spread = torch.from_numpy(model.coefficient_std)
    contours = te.Contours.of_outline(basis, range(17))
    tiles = [caption(draw_landmarks(photo, marks), "68 landmarks", 32)]
    # A spread of nothing leaves the mean shape.
    for words, prior in (("pose of the mean shape", spread * 1e-4), ("fitted", spread)):
        fit = te.fit_landmarks(
            basis, points, _SIDE / 120, prior=te.CoefficientPrior.of_deviations(prior), contours=contours
        )
        tiles.append(caption(drawn(photo, model, basis, fit.parameters), words, 32))
        missed = fit.residuals[0, 17:].norm(dim=1).mean() / (np.ptp(marks, axis=0).prod() ** 0.5)
        print(f"{words}: {100 * missed:.2f} % of the box from the landmarks inside the face")
    write_image(arguments.output, contact_sheet(tiles, 3, margin=8))


def drawn(
    photo: NDArray[np.uint8], model: MorphableModel, basis: te.MorphableBasis, parameters: Tensor
) -> NDArray[np.uint8]:
    """The mesh over the photo, and its landmarks."""
    points = crop_vertices(basis, parameters, _SIDE)[0].numpy()
    covered = overlay(
        photo, points, model.triangles, 0.45, colors=np.broadcast_to(np.float32(_TINT), points.shape)
    )
    return draw_landmarks(covered, points[model.landmarks])


if __name__ == "__main__":
    main()
