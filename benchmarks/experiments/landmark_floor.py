"""python -m benchmarks.experiments.landmark_floor ROOT: the least error that a face model can reach.

Fits pose and coefficients of a face model to the true 3D landmarks of every image of AFLW2000-3D, with a
ridge penalty that keeps the face plausible, and prints the error that is left: what the places of the model's
points cost, whatever a network does. See docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.evaluation import format_table, normalized_mean_error, summarize
from twodasl.evaluation.rigid import best_motion
from twodasl.morphable import MorphableModel, load_model

Array = NDArray[np.float64]
_ROUNDS = 12
"""Of pose and coefficients in turn; the error no longer changes in its fourth digit after eight."""


def fit(mean: Array, modes: Array, target: Array, penalty: float) -> Array:
    """(68, 3) points of the model nearest to `target`: least |points - target|^2 in mm^2 + penalty |c|^2.

    modes: (K, 68, 3), each for a coefficient of one standard deviation.
    """
    flat = modes.reshape(len(modes), -1)
    normal = flat @ flat.T + penalty * np.eye(len(flat))
    points = mean
    for _ in range(_ROUNDS):
        own = best_motion(points, target, scale=True).inverse().apply(target)  # in the model's millimeters
        points = mean + np.tensordot(np.linalg.solve(normal, flat @ (own - mean).ravel()), modes, 1)
    return best_motion(points, target, scale=True).apply(points)


def floors(model: MorphableModel, indices: NDArray[np.int64], truth: Array, penalty: float) -> Array:
    """(n, 68, 2) the fitted points of all images. truth: (n, 68, 3), rows downwards."""
    mean = model.mean[indices].astype(np.float64)
    modes = (model.modes[:, indices] * model.coefficient_std[:, None, None]).astype(np.float64)
    up = truth * [1, -1, 1]
    found = [fit(mean, modes, points, penalty) for points in tqdm(up, desc="fitting", disable=None)]
    return np.stack(found)[..., :2] * [1, -1]


def main() -> None:
    """Prints a table for both sets of vertices."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.landmark_floor", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="AFLW2000-3D's development folder: pts68.npy has depths")
    parser.add_argument("-m", "--model", default="procedural")
    parser.add_argument("--penalty", type=float, nargs="+", default=[25.0, 4.0])
    options = parser.parse_args()
    data, model = read_aflw2000(options.root), load_model(options.model)
    truth = np.load(options.root / "pts68.npy").astype(np.float64)
    truth = truth.transpose(0, 2, 1) if truth.shape[1] == 3 else truth
    points = {"ibug": model.landmarks, "basel": model.basel_landmarks}
    rows = {}
    for penalty in options.penalty:
        for name, indices in points.items():
            if indices is not None:
                errors = normalized_mean_error(floors(model, indices, truth, penalty), data.truth)
                rows[f"{name}, penalty {penalty:g}"] = summarize(errors, data.yaw_degrees)
    print(format_table(rows))


if __name__ == "__main__":
    main()
