"""python -m benchmarks.experiments.error_parts ROOT CHECKPOINT: a network's error in pose and in shape.

Moves the predicted landmarks of every image of AFLW2000-3D's development folder as near to the true ones as
ever more motions allow (a shift and a scale in the image, then a turn in it, then any turn) and prints the
error that is left each time; last, the face model's mean face in the true pose. See docs/experiments.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.evaluation import format_table, normalized_mean_error, summarize
from twodasl.evaluation.network import network_landmarks
from twodasl.evaluation.rigid import best_motion
from twodasl.reconstruction.reconstructor import FaceReconstructor

Array = NDArray[np.float64]


def shifted_and_scaled(points: Array, target: Array) -> Array:
    """(L, 2) points, least squares to (L, 2) by a shift and a scale."""
    centered, wanted = points - points.mean(0), target - target.mean(0)
    return centered * (centered * wanted).sum() / (centered**2).sum() + target.mean(0)


def turned_too(points: Array, target: Array) -> Array:
    """As `shifted_and_scaled`, with a turn in the image plane: x + iy times a complex number."""
    centered, wanted = ((p - p.mean(0)) @ np.array([1, 1j]) for p in (points, target))
    moved = centered * (centered.conj() * wanted).sum() / (np.abs(centered) ** 2).sum()
    return np.stack([moved.real, moved.imag], axis=1) + target.mean(0)


def posed(points: Array, target: Array) -> Array:
    """(L, 3) points, least squares to (L, 3) by shift, scale and rotation in space."""
    return best_motion(points, target, scale=True).apply(points)


def each(move: Callable[[Array, Array], Array], points: Array, targets: Array) -> Array:
    """The moved landmarks of all images, in the image plane."""
    return np.stack([move(p, t) for p, t in zip(points, targets, strict=True)])[..., :2]


def main() -> None:
    """Evaluates with detected landmarks as input and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.error_parts", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="AFLW2000-3D's development folder: pts68.npy has depths")
    parser.add_argument("checkpoint", type=Path)
    options = parser.parse_args()
    data = read_aflw2000(options.root)
    if data.depth is None or data.detected is None:
        parser.error(f"{options.root}: expected the development folder, with depths and detected landmarks")
    network = FaceReconstructor(options.checkpoint, fit=False)
    indices = network.model.basel_landmarks
    found = network_landmarks(network, data, data.detected, boxes=data.boxes, indices=indices)
    truth = np.concatenate([data.truth, data.depth[..., None]], axis=2)
    # Both depths must grow in one direction; rotations, unlike reflections, cannot see to it.
    if np.mean([np.corrcoef(p[:, 2], t[:, 2])[0, 1] for p, t in zip(found, truth, strict=True)]) < 0:
        truth[..., 2] *= -1
    mean = network.model.mean[network.model.landmarks if indices is None else indices].astype(np.float64)
    mean = np.broadcast_to(mean * [1, -1, 1], found.shape)
    moved = {
        "network": found[..., :2],
        "true shift and scale": each(shifted_and_scaled, found[..., :2], data.truth),
        "and roll": each(turned_too, found[..., :2], data.truth),
        "and yaw and pitch": each(posed, found, truth),
        "mean face, true pose": each(posed, mean, truth),
    }
    rows = {
        name: summarize(normalized_mean_error(points, data.truth), data.yaw_degrees)
        for name, points in moved.items()
    }
    print(format_table(rows))


if __name__ == "__main__":
    main()
