"""python -m benchmarks.experiments.detector_error ROOT: the errors of detected and of simulated landmarks.

The 18 points of the landmark map, in crop pixels, on AFLW2000-3D's development folder: the detected ones
against both ground truths, and what training would show the network in their place. See docs/experiments.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.aflw2000 import Aflw2000, read_aflw2000
from twodasl.evaluation.nme import BIN_NAMES, yaw_bins
from twodasl.geometry.crops import SIZE
from twodasl.landmarks import eighteen_from_68
from twodasl.training import preset
from twodasl.training.augment import detect
from twodasl.training.config import LandmarkConfig

Array = NDArray[np.float64]
DRAWS = 8


def eighteen(points: Array, data: Aflw2000) -> Array:
    """(n, 68, 2) image pixels -> (n, 18, 2) crop pixels, but for the crop's corner."""
    side = (data.boxes[:, 2:] - data.boxes[:, :2]).max(axis=1)
    return eighteen_from_68(points) * (SIZE / side)[:, None, None]


def simulated(truth: Array, yaw_degrees: Array, config: LandmarkConfig) -> Array:
    """(DRAWS * n, 18, 2) errors of the simulated detector."""
    batch = {
        "landmarks": torch.from_numpy(truth),
        "visible": torch.ones(truth.shape[:2], dtype=torch.bool),
        "yaw": torch.from_numpy(np.radians(yaw_degrees)),
    }
    draws = [detect(batch, config, np.random.default_rng(i))[0].double().numpy() for i in range(DRAWS)]
    return np.concatenate([found - truth for found in draws])


def describe(error: Array) -> str:
    """Mean distance; root mean square of a face's common shift, and of what is left, along an axis."""
    shift = error.mean(axis=1, keepdims=True)
    rest = error - shift
    distance = np.linalg.norm(error, axis=2).mean()
    return f"{distance:8.2f}{np.sqrt((shift**2).mean()):8.2f}{np.sqrt((rest**2).mean()):8.2f}"


def main() -> None:
    """Prints a table for each yaw bin."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.detector_error", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="AFLW2000-3D's development folder, with detected landmarks")
    root = parser.parse_args().root
    original, corrected = (read_aflw2000(root, ground_truth=truth) for truth in ("original", "reannotated"))
    if original.detected is None:
        parser.error(f"{root}: expected the development folder, with detected landmarks")
    detected = eighteen(original.detected, original)
    truths = {
        "original": eighteen(original.truth, original),
        "re-annotated": eighteen(corrected.truth, original),
    }
    errors = {f"detected, {name} truth": detected - truth for name, truth in truths.items()}
    for name in ("demo", "small"):
        landmarks = preset(name).landmarks
        errors[f"simulated, {name}"] = simulated(truths["original"], original.yaw_degrees, landmarks)
    bins = yaw_bins(original.yaw_degrees)
    for number, title in enumerate(BIN_NAMES):
        rows = bins == number
        print(f"|yaw| in {title}: crop pixels{'':8}distance   shift    rest")
        for name, error in errors.items():
            print(f"  {name:32}{describe(error[np.tile(rows, len(error) // len(rows))])}")


if __name__ == "__main__":
    main()
