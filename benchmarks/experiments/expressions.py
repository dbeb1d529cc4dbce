"""python -m benchmarks.experiments.expressions: which expressions a network sees, and how much of them.

Of synthetic faces up to 35 degrees of yaw, drawn as those that it was trained with but not among them, from
the picture alone and without the fit: for each expression coefficient, and for the gaps between lips and
between lids over the distance of the outer corners of the eyes, Pearson's correlation of what the network
says with the truth, and the slope of the least-squares line. A network that always says the average face
has 0 and 0.
"""

from __future__ import annotations

import argparse

import numpy as np
from twodasl.geometry.crops import SIZE
from twodasl.geometry.parameters import POSE_SIZE
from twodasl.morphable import procedural_model
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.synthetic import SyntheticFaces, SyntheticOptions

from .mouths import FRONTAL, PAIRS, Floats, gaps

_SEED = 987_654


def line(label: str, found: Floats, truth: Floats) -> str:
    """One row of the table."""
    return f"{label:18} {np.corrcoef(truth, found)[0, 1]:11.2f} {np.polyfit(truth, found, 1)[0]:6.2f}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.expressions", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("-n", "--faces", type=int, default=1000, help="how many (default: 1000)")
    arguments = parser.parse_args()
    model = procedural_model()
    options = SyntheticOptions(yaw_limit=FRONTAL)
    faces = list(SyntheticFaces(model, arguments.faces, _SEED, options))
    reconstructor = FaceReconstructor(arguments.checkpoint, fit=False)
    found = reconstructor.reconstruct(
        [FaceInput.given(face["image"].numpy(), None, (0, 0, SIZE, SIZE)) for face in faces]
    )
    print(f"{len(faces)} faces; checkpoint {arguments.checkpoint}")
    print(f"{'':18} correlation  slope")
    said = np.stack([face.landmarks[:, :2] for face in found]).astype(np.float64)
    true = np.stack([face["landmarks"][:, :2].numpy() for face in faces]).astype(np.float64)
    for part, pairs in PAIRS.items():
        print(line(f"gap of the {part}", gaps(said, pairs), gaps(true, pairs)))
    first = POSE_SIZE + len(model.shape_modes)
    said = np.stack([face.parameters for face in found]).astype(np.float64)[:, first:]
    true = np.stack([face["parameters"].numpy() for face in faces]).astype(np.float64)[:, first:]
    names = (model.mode_names or ())[len(model.shape_modes) :]
    for name, column, wanted in zip(names, said.T, true.T, strict=True):
        print(line(name, column, wanted))


if __name__ == "__main__":
    main()
