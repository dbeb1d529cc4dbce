"""python -m benchmarks.experiments.scan_fit MODEL...: scans of known heads, and how near fits come to them.

Random heads of a model, sampled on what of the surface is seen from outside (not at its vertices), with
noise, two holes, 20 % outliers in the box around, and a random similarity: any rotation, a size from 0.05 to
20 scan units for a millimeter. As points alone. Two lines more fit the first model's scans by the last one,
which cannot reach their shapes. All distances are millimeters at the model's size.

found: fits within 3 mm of the truth. median: distance of the inliers. /expect.: over that of a normal
distribution of the noise. est.: the noise estimated. truth: median distance of the head without noise to the
fitted surface. 90 %: of the inliers' distances. sure: the second-best start's error over the best one's.
s: CPU seconds of one thread. Each but `found` is the median of the heads.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel, load_model
from twodasl.scans import ScanFit, fit_scan
from twodasl.scans.surface import Surface

import twodasl_ext as te

Floats = NDArray[np.float64]
NOISES = (0.3, 0.5, 1.0)
FACE = 100.0
HEAD = (
    f"{'scans':<34}{'noise':>6}{'found':>8}{'median':>8}{'/expect.':>9}{'est.':>7}"
    f"{'truth':>7}{'90 %':>7}{'sure':>6}{'s':>6}"
)


def sampled(points: Floats, triangles: NDArray[np.int64], count: int, rng: np.random.Generator) -> Floats:
    """Points (count, 3), evenly spread over the area of the triangles."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    first, second = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return (1 - first) * a[chosen] + first * (1 - second) * b[chosen] + first * second * c[chosen]


def rotation(rng: np.random.Generator) -> Floats:
    """Any rotation (3, 3), all alike."""
    found = te.nearest_rotation(torch.from_numpy(rng.normal(size=(3, 3))))
    return found.numpy()


def scan_of(
    head: Floats, triangles: NDArray[np.int64], noise: float, count: int, rng: np.random.Generator
) -> Floats:
    """A scan (count, 3) of a head in its own space: two holes, noise, a fifth replaced by outliers."""
    middles = head[triangles].mean(axis=1)
    kept = np.ones(len(triangles), bool)
    for _ in range(2):
        kept &= np.linalg.norm(middles - middles[rng.integers(len(middles))], axis=1) > 15
    points = sampled(head, triangles[kept], count, rng) + rng.normal(0, noise, (count, 3))
    wrong = rng.choice(count, count // 5, replace=False)
    low, high = points.min(0) - 20, points.max(0) + 20
    points[wrong] = low + rng.random((len(wrong), 3)) * (high - low)
    return points


def truth_error(fit: ScanFit, surface: Surface, head: Floats, place: tuple[float, Floats, Floats]) -> float:
    """Median distance (mm) of the fitted surface to the head's points, without noise."""
    scale, turn, shift = place
    back = (fit.vertices - shift) @ turn / scale
    squared, _, _ = te.closest_point_on_mesh(
        torch.from_numpy(head), torch.from_numpy(back), surface.triangles
    )
    return float(squared.sqrt().median())


def measure(
    label: str,
    source: MorphableModel,
    model: MorphableModel,
    face: bool,
    noise: float,
    heads: int,
    count: int,
) -> str:
    """One line: `heads` scans of the source, fitted by the model."""
    shown = Surface(source, torch.device("cpu")).triangles.numpy()
    surface = Surface(model, torch.device("cpu"))
    rows, found = [], 0
    for seed in range(heads):
        rng = np.random.default_rng([seed, int(10 * noise), face])
        head = source.shape(rng.normal(size=len(source.coefficient_std)) * source.coefficient_std).astype(
            float
        )
        triangles = shown
        if face:
            middle = head[source.landmarks].mean(axis=0)
            triangles = shown[np.linalg.norm(head[shown].mean(axis=1) - middle, axis=1) < FACE]
        scale, turn, shift = float(np.exp(rng.uniform(-3, 3))), rotation(rng), rng.normal(size=3) * 1000
        scan = scale * scan_of(head, triangles, noise, count, rng) @ turn.T + shift
        began = time.process_time()
        try:
            fit = fit_scan(model, scan)
        except InputError:
            continue
        seconds = time.process_time() - began
        clean = sampled(head, triangles, 5000, rng)
        off = truth_error(fit, surface, clean, (scale, turn, shift))
        found += off < 3
        errors = {key: value / fit.scale for key, value in fit.errors.items()}
        rows.append(
            (errors["median"], fit.noise / fit.scale, off, errors["percentile_90"], fit.sureness, seconds)
        )
    if not rows:
        return f"{label:<34}{noise:>6}{0:>5}/{heads:<2}"
    median, estimate, off, most, sure, seconds = np.median(rows, axis=0)
    # Of a normal distribution the median distance is 0.6745 standard deviations.
    return (
        f"{label:<34}{noise:>6}{found:>5}/{heads:<2}{median:>8.3f}{median / (0.6745 * noise):>9.2f}"
        f"{estimate:>7.3f}{off:>7.3f}{most:>7.3f}{sure:>6.1f}{seconds:>6.1f}"
    )


def main() -> None:
    """Prints a line for each model, kind of scan and noise."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.scan_fit", description=__doc__.splitlines()[0]
    )
    parser.add_argument("models", nargs="+", help="face models: procedural, a file, or a folder")
    parser.add_argument("--heads", type=int, default=4, help="heads a line (default: 4)")
    parser.add_argument("--points", type=int, default=53_000, help="points of a scan (default: 53000)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = [load_model(name) for name in arguments.models]
    print(HEAD, flush=True)
    sizes = arguments.heads, arguments.points
    for model in models:
        for face in (False, True):
            for noise in NOISES:
                label = f"{model.name}, {'face' if face else 'head'}"
                print(measure(label, model, model, face, noise, *sizes), flush=True)
    if len(models) > 1:
        for face in (False, True):
            label = f"{models[0].name} by {models[-1].name}, {'face' if face else 'head'}"
            print(measure(label, models[0], models[-1], face, 0.5, *sizes), flush=True)


if __name__ == "__main__":
    main()
