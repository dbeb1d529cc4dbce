"""python -m benchmarks.experiments.head_from_photos ROOT: what photographs ask of the embedded head.

ROOT is a folder of the kind mesh478 whose faces.csv has a column `set`. The head is fitted to the landmarks
of near-frontal faces, without a network.

- Calm faces, those of each set whose mouth is closed and whose corners are not raised: the mean coefficients,
  expressions but the brows held near zero, fitted again about that mean in each round.
- Smiles: of the faces of each set, those with the most raised corners of the mouth against those with the
  least; what differs in their shapes, per unit of the smile.

With --sculpt the head is the one before `morphable/procedural/photographs.py` corrected it: that table's
numbers come from there. Without, the rest that remains.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.datasets.photos.mesh478 import annotation
from twodasl.errors import InputError
from twodasl.geometry.pose import decompose_pose
from twodasl.morphable import MorphableModel, load_model
from twodasl.morphable.procedural.photographs import MEAN, SMILE
from twodasl.reconstruction.landmark_fit import OUTLINE, outline_of, upright

import twodasl_ext
from twodasl_ext import CoefficientPrior

Floats = NDArray[np.float64]

_SIGMA, _OUTLINE_SIGMA = 1.5, 3.0  # pixels of the crop
_YAW = 15.0  # degrees, the largest
_CLOSED = 0.04  # the gap between the lips over the distance of the eyes
_EACH = 100  # calm faces of a group of sets at most
_HELD = {"jaw open": 0.5, "smile": 0.5, "brows up": 1.0}
# Not seen in a face from the front, or different to its two sides.
_UNSEEN = ("head length", "head height", "neck width", "ear size", "ear protrusion")
_UNEVEN = ("chin sideways", "nose sideways", "uneven sides")
_GROUPS = {"portraits": ("18f", "pif", "interfaces", "canada", "lisa_zoom"), "wild": ("fairface540",),
           "old": ("voteview",)}  # fmt: skip


@dataclass
class Faces:
    """Landmarks (n, 68, 2) in crop pixels with y up, and the set of each."""

    points: torch.Tensor
    sets: NDArray[np.str_]

    def of(self, rows: NDArray[np.int64]) -> Faces:
        return Faces(self.points[torch.from_numpy(rows)], self.sets[rows])


def read_faces(root: Path) -> Faces:
    """Those whose two detectors agree."""
    with open(root / "faces.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mesh, five = (np.load(root / name).astype(np.float64) for name in ("mesh478.npy", "points5.npy"))
    points, sets = [], []
    for row, meshes, places in zip(rows, mesh, five, strict=True):
        try:
            found = annotation(meshes[:, :2], places)
        except InputError:
            continue
        if found.fit_points is not None and found.crop is not None:
            points.append(found.crop.to_crop(found.fit_points))
            sets.append(row["set"])
    return Faces(upright(torch.from_numpy(np.stack(points)).float()), np.array(sets))


def sculpt(model: MorphableModel) -> MorphableModel:
    """The head without what photographs corrected."""
    names = list(model.mode_names or ())
    expressions = model.expression_modes.copy()
    smile = names.index("smile") - len(model.shape_modes)
    expressions[smile] -= sum(value * model.modes[names.index(name)] for name, value in SMILE.items())
    mean = model.mean - sum(value * model.modes[names.index(name)] for name, value in MEAN.items())
    return replace(model, mean=mean, expression_modes=expressions)


def fitted(
    model: MorphableModel, faces: Faces, mean: torch.Tensor, deviations: torch.Tensor
) -> tuple[Floats, Floats]:
    """Coefficients (n, K), and |yaw| (n,) in degrees, of fits about a mean."""
    basis = model.basis()
    sigma = torch.full((68,), _SIGMA)
    sigma[list(OUTLINE)] = _OUTLINE_SIGMA
    prior = CoefficientPrior.of_deviations(deviations, mean)
    fit = twodasl_ext.fit_landmarks(
        basis, faces.points, sigma, prior=prior, contours=outline_of(model, basis)
    )
    yaw = decompose_pose(fit.pose)[1][:, 1].abs().rad2deg()
    return fit.coefficients.double().numpy(), yaw.double().numpy()


def mouths(points: torch.Tensor) -> tuple[Floats, Floats]:
    """How far the mouth's corners lie above its middle, and how far open it is, over the eyes' distance."""
    p = points.double().numpy()
    eyes = np.linalg.norm(p[:, 36:42].mean(1) - p[:, 42:48].mean(1), axis=1)
    raised = (p[:, 48, 1] + p[:, 54, 1] - p[:, 51, 1] - p[:, 57, 1]) / 2 / eyes
    return raised, (p[:, 62, 1] - p[:, 66, 1]) / eyes


def calm(faces: Faces, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to as many rows of every group."""
    raised, gap = mouths(faces.points)
    chosen = []
    for sets in _GROUPS.values():
        here = np.isin(faces.sets, sets)
        rows = np.flatnonzero(here & (raised < np.median(raised[here])) & (gap < _CLOSED))
        chosen.append(rng.choice(rows, min(len(rows), _EACH), replace=False))
    return np.concatenate(chosen)


def calm_mean(model: MorphableModel, faces: Faces, rounds: int) -> None:
    """Prints the mean of calm faces after each round."""
    names = list(model.mode_names or ())
    expressions = names[len(model.shape_modes) :]
    free = torch.tensor(
        [name not in (*_UNSEEN, *_UNEVEN, *expressions) or name == "brows up" for name in names]
    )
    deviations = torch.tensor([_HELD.get(name, 0.3) if name in expressions else 1.0 for name in names])
    mean = torch.zeros(len(names))
    for step in range(rounds):
        found, _ = fitted(model, faces, mean, deviations)
        mean = torch.where(free, torch.from_numpy(found.mean(0)).float(), 0.0)
        order = np.argsort(-mean.abs().numpy())[:20]
        words = ", ".join(f"{names[i]} {float(mean[i]):+.1f}" for i in order)
        print(f"round {step + 1}, length {float(mean.norm()):.1f}: {words}")


def smiles(model: MorphableModel, faces: Faces) -> None:
    """Prints what differs in shape per unit of the smile, for every group."""
    names = list(model.mode_names or ())
    found, _ = fitted(model, faces, torch.zeros(len(names)), torch.ones(len(names)))
    raised, _ = mouths(faces.points)
    for group, sets in _GROUPS.items():
        here = np.isin(faces.sets, sets)
        low, high = np.quantile(raised[here], [0.3, 0.7])
        smiling, other = here & (raised > high), here & (raised < low)
        moved = found[smiling].mean(0) - found[other].mean(0)
        unit = moved / moved[names.index("smile")]
        order = [i for i in np.argsort(-np.abs(unit)) if names[i] != "smile"][:12]
        words = ", ".join(f"{names[i]} {unit[i]:+.2f}" for i in order)
        print(f"{group}, {smiling.sum()} against {other.sum()} faces: {words}")


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.head_from_photos", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--sculpt", action="store_true", help="the head before photographs corrected it")
    parser.add_argument("--rounds", type=int, default=3, help="of fits to calm faces (default: 3)")
    arguments = parser.parse_args()
    model = load_model("procedural")
    model = sculpt(model) if arguments.sculpt else model
    faces = read_faces(arguments.root)
    names = len(model.mode_names or ())
    _, yaw = fitted(model, faces, torch.zeros(names), torch.ones(names))
    front = faces.of(np.flatnonzero(yaw < _YAW))
    print(f"{len(faces.sets)} faces, {len(front.sets)} with yaw below {_YAW:g} degrees")
    rows = calm(front, np.random.default_rng(0))
    print(f"\nmean of {len(rows)} calm faces, standard deviations of the modes")
    calm_mean(model, front.of(rows), arguments.rounds)
    print("\nper unit of a smile")
    smiles(model, front)


if __name__ == "__main__":
    main()
