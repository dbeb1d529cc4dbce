"""python -m benchmarks.experiments.identity ROOT: whether shape coefficients tell people apart.

Two measurements, of the network alone and with the fit:

- photos of ROOT, a folder with faces.csv (columns image, person), images and pts68.npy: distances of shape
  coefficients of the same person's photos against those of different people's (AUC), how often the nearest
  of all other photos, and of one photo each of 102 people, is the same person's, and the mean distance of
  two people's neutral meshes in millimeters. Distances are angles between coefficients, the mean taken off,
  and lengths of their differences. Landmarks that lie beside the face say nothing of a shape, and a fit
  that falls back to the network is another measurement: so also of the photos whose landmarks the network
  does not contradict.
- synthetic faces with known coefficients: R^2 of every shape coefficient from landmarks with a pixel's noise,
  and how much of an expression goes into the shape: the same person with two expressions, the distance of
  the two shapes over that of two people's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.people import LANDMARKS, read_people
from twodasl.errors import InputError
from twodasl.evaluation.identity import angles, lengths, mesh_distance, recognition
from twodasl.geometry.projection import crop_landmarks
from twodasl.io.images import read_image
from twodasl.morphable import MorphableModel
from twodasl.reconstruction import landmark_fit
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.synthetic import SyntheticFaces

Floats = NDArray[np.float64]


def shapes(reconstructor: FaceReconstructor, faces: list[FaceInput]) -> tuple[Floats, NDArray[np.bool_]]:
    """(n, Ks) shape coefficients in standard deviations; (n,) whether landmarks are contradicted."""
    results = reconstructor.reconstruct(faces)
    found = np.stack([face.shape for face in results]).astype(np.float64)
    doubted = np.array([face.doubted for face in results])
    return found / reconstructor.model.coefficient_std[: found.shape[1]], doubted


def report(label: str, found: Floats, people: NDArray[np.str_], model: MorphableModel) -> str:
    """A few lines on the coefficients of some photos."""
    lines = [f"{label}: neutral meshes {mesh_distance(found, model, people):.2f} mm apart"]
    for name, distance in (("angles", angles), ("lengths", lengths)):
        numbers = recognition(distance(found), people)
        lines.append(
            f"  {name}: AUC {numbers.auc:.3f}, nearest {numbers.rank1:.3f}, of {numbers.gallery}"
            f" {numbers.gallery_rank1:.3f}"
        )
    return "\n".join(lines)


def photos(root: Path) -> tuple[list[FaceInput], NDArray[np.str_]]:
    """The faces of ROOT with their landmarks, and who they are."""
    data = read_people(root)
    if data.landmarks is None:
        raise InputError(f"{root}: expected {LANDMARKS} beside the list")
    faces, people = [], []
    for name, path, person, points in zip(data.names, data.images, data.people, data.landmarks, strict=True):
        try:
            faces.append(FaceInput.given(read_image(path), points))
            people.append(person)
        except InputError as error:
            print(f"left out: {name}: {error}")
    return faces, np.array(people)


def synthetic(reconstructor: FaceReconstructor, count: int) -> tuple[Floats, float]:
    """(Ks,) R^2 of shape coefficients, and how far expressions move the shape, see the module."""
    model, rng = reconstructor.model, np.random.default_rng(0)
    shape_count = len(model.shape_modes)
    batch = SyntheticFaces(model, count, 1_500_000).batch(range(count))
    near = [sample for sample in batch if abs(sample["yaw"]) < np.pi / 4]
    truth = torch.stack([sample["parameters"] for sample in near])
    twins = truth.clone()
    twins[:, 12 + shape_count :] = truth.roll(1, 0)[:, 12 + shape_count :]
    found = []
    for parameters in (truth, twins):
        marks = crop_landmarks(reconstructor.basis, parameters)[..., :2].double().numpy()
        marks = marks + rng.normal(0, 1, marks.shape)
        faces = [
            FaceInput.given(sample["image"].numpy(), points, (0, 0, 120, 120))
            for sample, points in zip(near, marks, strict=True)
        ]
        found.append(shapes(reconstructor, faces)[0])
    spread = model.coefficient_std[:shape_count]
    true = truth[:, 12 : 12 + shape_count].double().numpy() / spread
    determined = 1 - ((found[0] - true) ** 2).sum(axis=0) / ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    moved = np.linalg.norm(found[0] - found[1], axis=1).mean()
    apart = np.linalg.norm(found[0] - np.roll(found[0], 1, axis=0), axis=1).mean()
    return determined, float(moved / apart)


def main() -> None:
    """Prints a row for the network alone and one with the fit."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.identity", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("--faces", type=int, default=600, help="synthetic faces (default: 600)")
    parser.add_argument(
        "--outline-sigma",
        type=float,
        default=landmark_fit.SHAPE_OUTLINE_SIGMA,
        help="standard deviation of a given landmark of the jaw while the shape is sought, crop pixels"
        " (default: %(default)s)",
    )
    arguments = parser.parse_args()
    landmark_fit.SHAPE_OUTLINE_SIGMA = arguments.outline_sigma
    faces, people = photos(arguments.root)
    print(f"{len(faces)} photos of {len(np.unique(people))} people; {arguments.faces} synthetic faces")
    for label, fit in (("network alone", False), ("with the fit", True)):
        reconstructor = FaceReconstructor(arguments.checkpoint, fit=fit)
        found, doubted = shapes(reconstructor, faces)
        groups = {label: np.ones(len(found), dtype=bool)}
        if doubted.any():
            groups[f"{label}, {(~doubted).sum()} photos with landmarks that fit"] = ~doubted
        for words, used in groups.items():
            print(report(words, found[used], people[used], reconstructor.model))
        determined, moved = synthetic(reconstructor, arguments.faces)
        print(
            f"  synthetic: R^2 mean {determined.mean():.2f}; another expression moves the shape by"
            f" {moved:.2f} of the way to another person"
        )
        names = reconstructor.model.mode_names
        order = np.argsort(-determined)
        print("  best " + ", ".join(f"{names[i]} {determined[i]:.2f}" for i in order[:8]))
        print("  worst " + ", ".join(f"{names[i]} {determined[i]:.2f}" for i in order[-8:]))


if __name__ == "__main__":
    main()
