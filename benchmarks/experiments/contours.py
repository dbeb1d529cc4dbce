"""python -m benchmarks.experiments.contours ROOT: what contours add to a fit to landmarks, over a larger
sigma.

The embedded head fitted to the detected landmarks of AFLW2000-3D's development folder, without a network: the
pose in closed form, the model's own spread as prior. Sigma is 1 crop pixel; the outline's 17 points have it
too, or a larger one, or candidates that are chosen for the pose, or both. NME in percent at the 68 points,
each ground truth at the vertices it means.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from twodasl.datasets.benchmarks.aflw2000 import Aflw2000, read_aflw2000
from twodasl.evaluation.nme import BIN_NAMES, normalized_mean_error, summarize
from twodasl.geometry.crops import SIZE
from twodasl.morphable import MorphableModel, load_model

import twodasl_ext as te

OUTLINE = range(17)
RULES = ((1.0, False), (2.0, False), (3.0, False), (5.0, False), (1.0, True), (2.0, True), (3.0, True))


def basis_of(model: MorphableModel) -> te.MorphableBasis:
    """Shape and expression modes in one, with the 68 landmarks."""
    modes = np.concatenate((model.shape_modes, model.expression_modes))
    return te.MorphableBasis(model.mean, modes, model.landmarks)


def fitted(
    basis: te.MorphableBasis, spread: Tensor, points: Tensor, sigma: float, contours: te.Contours | None
) -> te.LandmarkFit:
    """The fit of all faces, points in crop pixels with y up."""
    deviations = torch.ones(points.shape[1])
    deviations[list(OUTLINE)] = sigma
    prior = te.CoefficientPrior.of_deviations(spread)
    return te.fit_landmarks(basis, points, deviations, prior=prior, contours=contours, iterations=30)


def errors(
    fit: te.LandmarkFit, basis: te.MorphableBasis, vertices: Tensor, data: Aflw2000, scale: Tensor
) -> np.ndarray:
    """(n,) NME fractions of some vertices."""
    found = te.landmarks(basis, fit.coefficients, fit.pose, vertices)[..., :2] / scale[:, None, None]
    return normalized_mean_error((found * torch.tensor([1.0, -1.0])).numpy(), data.truth)


def main() -> None:
    """Prints a row for each rule and ground truth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.contours", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="AFLW2000-3D's development folder, with detected landmarks")
    parser.add_argument("--basis", default="procedural", help="a model of 68 landmarks, as everywhere")
    arguments = parser.parse_args()
    model = load_model(arguments.basis)
    truths = {name: read_aflw2000(arguments.root, ground_truth=name) for name in ("original", "reannotated")}
    data = truths["original"]
    if data.detected is None:
        parser.error(f"{arguments.root}: has no detected landmarks (detected68_crop120.npy)")
    side = (data.boxes[:, 2:] - data.boxes[:, :2]).max(axis=1)
    scale = torch.from_numpy(SIZE / side).float()
    points = torch.from_numpy(data.detected).float() * torch.tensor([1.0, -1.0]) * scale[:, None, None]
    basis = basis_of(model)
    named = {"reannotated": model.landmarks, "original": model.landmarks}
    if model.basel_landmarks is not None:
        named["original"] = model.basel_landmarks
    contours = te.Contours.of_outline(basis, OUTLINE)
    spread = torch.from_numpy(model.coefficient_std)
    print(
        f"{'truth':<12}{'sigma':>6}{'contours':>10}"
        + "".join(f"{name:>10}" for name in BIN_NAMES)
        + f"{'bins':>8}{'images':>8}{'steps':>7}"
    )
    for truth, rows in truths.items():
        vertices = torch.from_numpy(named[truth])
        for sigma, chosen in RULES:
            fit = fitted(basis, spread, points, sigma, contours if chosen else None)
            summary = summarize(errors(fit, basis, vertices, rows, scale), rows.yaw_degrees)
            bins = "".join(f"{value:10.3f}" for value in summary.bins)
            steps = fit.iterations.float().mean()
            means = f"{summary.bin_mean:8.3f}{summary.image_mean:8.3f}"
            print(f"{truth:<12}{sigma:6.0f}{'yes' if chosen else 'no':>10}{bins}{means}{steps:7.1f}")


if __name__ == "__main__":
    main()
