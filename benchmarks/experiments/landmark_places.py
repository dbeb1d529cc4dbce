"""python -m benchmarks.experiments.landmark_places ROOT: where another model's mean has the 68 points.

ROOT has u_base.txt, the 68 landmarks of the Basel model's mean face (68 x 3 numbers, micrometers), as 3DDFA
publishes them; or it is a face model with 68 landmarks. They are made symmetric, and laid onto the embedded
head by the similarity transform that is best for the points inside the face, 17 to 67: no image is used. For
the subject's left half: where they come to lie, where the head's own landmarks are, and how far apart the two
are, in millimeters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twodasl.errors import InputError
from twodasl.evaluation.rigid import best_motion
from twodasl.landmarks import FLIPS
from twodasl.morphable import load_model, procedural_model

Floats = NDArray[np.float64]

_INSIDE = slice(17, 68)
_LEFT = (*range(8, 17), *range(22, 31), *range(33, 36), *range(42, 48), *range(51, 58), *range(62, 67))


def laid_onto(points: Floats, target: Floats) -> Floats:
    """(68, 3) points under the similarity transform that brings those inside the face nearest to target's."""
    return best_motion(points[_INSIDE], target[_INSIDE], scale=True).apply(points)


def landmarks_of(root: Path) -> Floats:
    """(68, 3) of the mean."""
    file = root / "u_base.txt"
    if not file.exists():
        model = load_model(root)
        return model.mean[model.landmarks].astype(np.float64)
    try:
        return np.loadtxt(file, dtype=np.float64).reshape(68, 3)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: expected 204 numbers: {error}") from error


def symmetric(points: Floats) -> Floats:
    """(68, 3) the mean of points and their mirror image."""
    return np.asarray((points + points[list(FLIPS[68])] * [-1.0, 1.0, 1.0]) / 2)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.landmark_places", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="folder with u_base.txt, or a face model")
    mean = landmarks_of(parser.parse_args().root)
    model = procedural_model()
    own = model.mean[model.landmarks].astype(np.float64)
    other = laid_onto(symmetric(mean), own)
    apart = np.linalg.norm(other - own, axis=1)
    print("point       the other mean's             the head's own   apart")
    for i in _LEFT:
        print(f"{i:5}  " + "   ".join("".join(f"{x:8.1f}" for x in row[i]) for row in (other, own)), end="")
        print(f"{apart[i]:8.1f}")
    jaw, inside = (np.sqrt(np.square(apart[part]).mean()) for part in (slice(0, 17), _INSIDE))
    print(f"root mean square: jaw {jaw:.1f} mm, inside the face {inside:.1f} mm")


if __name__ == "__main__":
    main()
