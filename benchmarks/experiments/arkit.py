"""python -m benchmarks.experiments.arkit: how well weights of ARKit's shapes are recovered.

Draws faces of the embedded head with known weights, a few shapes at a time, most of them on both sides, and
asks `to_arkit` for the weights:

(a) of the mesh itself;
(b) of the nearest expression that the head's fifteen modes can make: all that a reconstruction can see;
(c) of photos rendered from such faces, through the shipped network without landmarks, and with the true ones.

Prints for every shape R^2 (1: exact, 0: no better than the mean weight), for (b) and (c) also the correlation
r, and which share of the shape's own squared movement the fifteen modes can make.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from twodasl.morphable import ARKIT_NAMES, MorphableModel, arkit_shapes, arkit_weights, procedural_model
from twodasl.morphable.arkit.projection import vertex_weights
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.synthetic import SyntheticFaces, SyntheticOptions
from twodasl.synthetic.sampling import ParameterSampler

Array = NDArray[np.float64]

_CROP = (0.0, 0.0, 120.0, 120.0)
# Of these a face makes one at a time.
EXCLUSIVE = (
    ("eyeLookUp", "eyeLookDown"), ("eyeLookIn", "eyeLookOut"), ("eyeBlink", "eyeWide", "eyeSquint"),
    ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("mouthSmile", "mouthFrown"),
    ("browDown", "browInnerUp", "browOuterUp"), ("mouthFunnel", "mouthPucker"),
)  # fmt: skip
CEILING = 3.0  # standard deviations that an expression of the head may reach in (b)


def actions() -> list[tuple[str, ...]]:
    """What a face does at once: groups of which it makes one, names without sides."""
    whole = {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}
    plain = [
        name if name in whole else name.removesuffix("Left").removesuffix("Right") for name in ARKIT_NAMES
    ]
    taken = {name for group in EXCLUSIVE for name in group}
    single = [(name,) for name in dict.fromkeys(plain) if name not in taken and name != "tongueOut"]
    return [*EXCLUSIVE, *single]


def draw_weights(rng: np.random.Generator, count: int) -> Array:
    """(count, 52): one to five actions a face, seven in ten of the paired ones on both sides alike."""
    place = {name: index for index, name in enumerate(ARKIT_NAMES)}
    groups = actions()
    weights = np.zeros((count, len(ARKIT_NAMES)))
    for row in weights:
        for chosen in rng.choice(len(groups), rng.integers(1, 6), replace=False):
            name = str(rng.choice(groups[chosen]))
            strength = rng.uniform(0.1, 1)
            if name in place:
                row[place[name]] = strength
                continue
            side = rng.uniform()
            row[place[f"{name}Left"]] = strength * (side < 0.85)
            row[place[f"{name}Right"]] = strength * (side < 0.7 or side >= 0.85)
        # Lips that shut over the jaw need an open one.
        shut, jaw = place["mouthClose"], place["jawOpen"]
        row[jaw] = max(row[jaw], row[shut])
    return weights


def determination(found: Array, true: Array) -> Array:
    """(52,) R^2 of each shape; NaN for one that is always 0."""
    spread = ((true - true.mean(0)) ** 2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, 1 - ((found - true) ** 2).sum(0) / spread, np.nan)


def correlation(found: Array, true: Array) -> Array:
    """(52,) Pearson's r of each shape; NaN where either never changes."""
    first, second = found - found.mean(0), true - true.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (first * second).sum(0) / np.sqrt((first**2).sum(0) * (second**2).sum(0))


class OwnExpressions:
    """The nearest expressions that the head's own modes make."""

    def __init__(self, model: MorphableModel) -> None:
        share = vertex_weights(model)
        self.modes = model.expression_modes.reshape(len(model.expression_modes), -1).astype(np.float64)
        self.weighted = self.modes * np.repeat(share, 3)
        self.share = np.repeat(share, 3)
        self.normal = self.weighted @ self.modes.T

    def nearest(self, moved: Array) -> Array:
        """(n, Ke) coefficients of displacements (n, N, 3)."""
        found = np.linalg.solve(self.normal, self.weighted @ moved.reshape(len(moved), -1).T).T
        return np.clip(found, -CEILING, CEILING)

    def explained(self, moved: Array) -> Array:
        """(n,) share of the squared movement that they make, without a ceiling; NaN where nothing moves."""
        flat = moved.reshape(len(moved), -1).astype(np.float64)
        found = np.linalg.solve(self.normal, self.weighted @ flat.T).T
        left = (self.share * (flat - found @ self.modes) ** 2).sum(1)
        whole = (self.share * flat**2).sum(1)
        return np.where(whole > 0, 1 - left / np.maximum(whole, 1e-12), np.nan)


class _GivenExpressions(ParameterSampler):
    """Draws faces of any shape with given weights, one after the other."""

    def __init__(self, model: MorphableModel, options: SyntheticOptions, weights: Array) -> None:
        super().__init__(model, options)
        self.rows = iter(weights.astype(np.float32))

    def _coefficients(self, rng: np.random.Generator) -> NDArray[np.float32]:
        own = super()._coefficients(rng)
        return np.concatenate([own[: -len(ARKIT_NAMES)], next(self.rows)])


def photos(model: MorphableModel, weights: Array, seed: int) -> list[dict]:
    """Samples of `SyntheticFaces` of the head with ARKit's shapes for expressions, near the front."""
    shapes = arkit_shapes(model)
    blend = replace(
        model,
        expression_modes=shapes,
        coefficient_std=np.r_[model.coefficient_std[: len(model.shape_modes)], np.full(len(shapes), 0.3)],
        mode_names=None,
    )
    options = SyntheticOptions(yaw_limit=30.0, profile_share=0.0, pitch_std=8.0, roll_std=8.0, occluders=0.0,
                               glasses=0.0, degradation=0.3)  # fmt: skip
    faces = SyntheticFaces(blend, len(weights), seed, options)
    faces.sampler = _GivenExpressions(blend, options, weights)
    return [faces[index] for index in range(len(weights))]


def through_photos(model: MorphableModel, weights: Array, seed: int) -> dict[str, Array]:
    """Weights (n, 52) of the reconstructions of rendered photos, without and with landmarks."""
    reconstruct = FaceReconstructor()
    samples = photos(model, weights, seed)
    alone, marked = [], []
    for sample in samples:
        image = sample["image"].numpy()
        marks = sample["landmarks"][:, :2].numpy()
        alone.append(FaceInput.given(image, box=_CROP))
        marked.append(FaceInput.given(image, marks, _CROP))
    found = {}
    for name, faces in (("(c) alone", alone), ("(c) landmarks", marked)):
        expressions = np.stack([face.expression for face in reconstruct.reconstruct(faces)])
        found[name] = arkit_weights(model, expressions).astype(np.float64)
    return found


def main() -> None:
    """Prints a table with a row for each shape."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.arkit", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--faces", type=int, default=500, help="meshes for (a) and (b)")
    parser.add_argument("--photos", type=int, default=300, help="rendered photos for (c); 0: none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, rng = procedural_model(), np.random.default_rng(options.seed)
    own, shapes = OwnExpressions(model), arkit_shapes(model)
    true = draw_weights(rng, options.faces)
    mesh, seen = np.empty_like(true), np.empty_like(true)
    for start in range(0, len(true), 50):
        part = slice(start, start + 50)
        moved = np.tensordot(true[part].astype(np.float32), shapes, 1)
        mesh[part] = arkit_weights(model, moved)
        seen[part] = arkit_weights(model, own.nearest(moved))
    columns = {"(a) R2": determination(mesh, true)}
    columns |= {"(b) R2": determination(seen, true), "(b) r": correlation(seen, true)}
    if options.photos:
        drawn = draw_weights(rng, options.photos)
        for name, found in through_photos(model, drawn, options.seed).items():
            columns |= {f"{name} R2": determination(found, drawn), f"{name} r": correlation(found, drawn)}
    columns["share"] = own.explained(shapes)
    print(f"{options.faces} meshes, {options.photos} photos, seed {options.seed}")
    widths = [max(9, len(name) + 3) for name in columns]
    print(f"{'':20s}" + "".join(f"{name:>{width}s}" for name, width in zip(columns, widths, strict=True)))
    rows = {name: [values[index] for values in columns.values()] for index, name in enumerate(ARKIT_NAMES)}
    rows["median"] = [float(np.nanmedian(values)) for values in columns.values()]
    for name, cells in rows.items():
        words = ["-" if np.isnan(cell) else f"{cell:.3f}" for cell in cells]
        print(f"{name:20s}" + "".join(f"{word:>{width}s}" for word, width in zip(words, widths, strict=True)))


if __name__ == "__main__":
    main()
