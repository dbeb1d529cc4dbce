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
import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from twodasl.errors import InputError
from twodasl.geometry.projection import crop_landmarks
from twodasl.io.images import read_image
from twodasl.morphable import MorphableModel
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.synthetic import SyntheticFaces

Floats = NDArray[np.float64]

_GALLERY, _DRAWS = 102, 20


def shapes(reconstructor: FaceReconstructor, faces: list[FaceInput]) -> tuple[Floats, NDArray[np.bool_]]:
    """(n, Ks) shape coefficients in standard deviations; (n,) whether landmarks are contradicted."""
    results = reconstructor.reconstruct(faces)
    found = np.stack([face.shape for face in results]).astype(np.float64)
    doubted = np.array([face.doubted for face in results])
    return found / reconstructor.model.coefficient_std[: found.shape[1]], doubted


def angles(coefficients: Floats) -> Floats:
    """(n, n) distances: 1 - cosine, the mean taken off."""
    centered = coefficients - coefficients.mean(axis=0)
    unit = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    return 1 - unit @ unit.T


def lengths(coefficients: Floats) -> Floats:
    """(n, n) distances: the length of the difference."""
    return np.linalg.norm(coefficients[:, None] - coefficients, axis=2)


def telling_apart(distance: Floats, people: NDArray[np.str_]) -> dict[str, float]:
    """AUC, share of nearest photos that are right, the same among one photo each of `_GALLERY` people."""
    same = people[:, None] == people
    other = ~np.eye(len(people), dtype=bool)
    pairs, strangers = distance[same & other], distance[~same]
    ranks = rankdata(np.concatenate([pairs, strangers]))[: len(pairs)]
    auc = 1 - (ranks.sum() - len(pairs) * (len(pairs) + 1) / 2) / (len(pairs) * len(strangers))
    nearest = np.where(other, distance, np.inf).argmin(axis=1)
    rng, hits = np.random.default_rng(0), []
    names = [name for name in np.unique(people) if (people == name).sum() > 1]
    for _ in range(_DRAWS):
        chosen = rng.choice(names, min(_GALLERY, len(names)), replace=False)
        first, second = np.array([np.flatnonzero(people == name)[:2] for name in chosen]).T
        hits.append((distance[np.ix_(first, second)].argmin(axis=1) == np.arange(len(chosen))).mean())
    return {"AUC": auc, "nearest": (people[nearest] == people).mean(), "of 102": float(np.mean(hits))}


def mesh_distance(coefficients: Floats, model: MorphableModel, people: NDArray[np.str_]) -> float:
    """Mean over pairs of different people of the root mean square distance of their neutral meshes, mm."""
    scaled = model.shape_modes * model.coefficient_std[: len(model.shape_modes), None, None]
    flat = scaled.reshape(len(scaled), -1).astype(np.float64)
    lengths, axes = np.linalg.eigh(flat @ flat.T / model.vertex_count)
    placed = coefficients @ (axes * np.sqrt(np.maximum(lengths, 0)))
    apart = np.linalg.norm(placed[:, None] - placed, axis=2)
    return float(apart[people[:, None] != people].mean())


def report(label: str, found: Floats, people: NDArray[np.str_], model: MorphableModel) -> str:
    """A few lines on the coefficients of some photos."""
    lines = [f"{label}: neutral meshes {mesh_distance(found, model, people):.2f} mm apart"]
    for name, distance in (("angles", angles), ("lengths", lengths)):
        numbers = telling_apart(distance(found), people)
        lines.append(f"  {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in numbers.items()))
    return "\n".join(lines)


def photos(root: Path) -> tuple[list[FaceInput], NDArray[np.str_]]:
    """The faces of ROOT with their landmarks, and who they are."""
    with open(root / "faces.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    marks = np.load(root / "pts68.npy").astype(np.float64)
    faces, people = [], []
    for row, points in zip(rows, marks, strict=True):
        try:
            faces.append(FaceInput.given(read_image(root / "images" / row["image"]), points))
            people.append(row["person"])
        except InputError as error:
            print(f"left out: {row['image']}: {error}")
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
    arguments = parser.parse_args()
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
