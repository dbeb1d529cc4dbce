"""python -m benchmarks.experiments.occlusion [--photos ROOT]: what an object before the face does to a fit.

The same faces with and without a hand, a mask, a microphone, sunglasses, locks of hair or an object, painted
as for training (`twodasl.synthetic.occluders`), the rest of the picture equal to the pixel: synthetic faces,
and with ROOT (AFLW2000-3D's development images) photographs, without sunglasses, which need the head in
space. No landmarks are given. Printed for each kind:

- NME in percent of the box at all points: of the network's parameters, of its own points, of the fit to
  those; and of the fit at points that the object hides and at the others.
- Whether sigma grows: the root mean square error of the own points along an axis and their sigma (as the fit
  uses it), without and with the object: at hidden points and at the others.

Then, of all kinds: rank correlations of sigma with the true error, and a calibration table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from twodasl.geometry.crops import SIZE, Crop
from twodasl.geometry.parameters import split_parameters
from twodasl.geometry.pose import decompose_pose, matrix_from_angles
from twodasl.geometry.projection import crop_landmarks, crop_vertices
from twodasl.io.images import read_image
from twodasl.progress import progress_bar
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.landmark_fit import fitted_parameters
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.synthetic import SyntheticFaces, SyntheticOptions, occluders
from twodasl.synthetic.backgrounds import Backgrounds
from twodasl.synthetic.degrade import develop
from twodasl.synthetic.noise import noise_bank

import twodasl_ext

Floats = NDArray[np.float32]
Painter = Callable[[np.random.Generator, occluders.Canvas, "Face"], None]

_SEED = 4_000_000  # of faces that nothing was trained on
_BATCH = 32
_CLEAN = SyntheticOptions(glasses=0, occluders=0, grayscale=0, black_borders=0, degradation=0)
_DARK = 0.7  # how much of one eye sunglasses hide, at least


@dataclass(frozen=True)
class Face:
    """A face before anything is in front of it.

    Attributes:
        image: (120, 120, 3) float32 BGR in [0, 1].
        marks: (68, 3) crop pixels (x, row, z), the truth.
        seen: (68,) bool, whether the face itself does not hide them.
        rotation, scale, depth: of the head, for what is painted in space; None of a photograph.
        developed: whether the picture has a camera's blur and noise already.
    """

    image: Floats
    marks: Floats
    seen: NDArray[np.bool_]
    rotation: NDArray[np.float64] | None = None
    scale: float = 0.0
    depth: Floats | None = None
    developed: bool = False

    def taken(self, painter: Painter | None, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The picture with an object, and which points that hides (68,)."""
        canvas = occluders.Canvas(self.image.copy())
        if painter is not None:
            painter(np.random.default_rng((index, 0)), canvas, self)
        if self.developed:
            picture = np.rint(canvas.image.clip(0, 1) * 255).astype(np.uint8)
        else:
            picture = develop(np.random.default_rng((index, 1)), canvas.image, SyntheticOptions())
        column, row = np.rint(self.marks[:, :2].T).clip(0, SIZE - 1).astype(int)
        return picture, self.seen & (canvas.covered[row, column] > 0.5)


def _sunglasses(rng: np.random.Generator, canvas: occluders.Canvas, face: Face) -> None:
    """The first of the glasses drawn that are dark."""
    column, row = np.rint(face.marks[36:48, :2].T).clip(0, SIZE - 1).astype(int)
    assert face.rotation is not None
    assert face.depth is not None
    for _ in range(60):
        drawn = occluders.Canvas(canvas.image.copy())
        occluders.glasses(rng, drawn, face.marks, face.rotation, face.scale, face.depth)
        if drawn.covered[row, column].reshape(2, 6).mean(axis=1).max() > _DARK:
            canvas.image, canvas.covered = drawn.image, drawn.covered
            return


def _skin(face: Face) -> Floats:
    """(3,) the color of nose and cheeks."""
    places = np.concatenate([face.marks[27:31, :2], face.marks[[31, 35], :2]])
    column, row = np.rint(places).clip(0, SIZE - 1).astype(int).T
    return np.median(face.image[row, column], axis=0).astype(np.float32)


def painters() -> dict[str, Painter]:
    """What paints each kind."""
    textures = Backgrounds(noise_bank(), SyntheticOptions().photo_backgrounds)
    return {
        "hand": lambda rng, canvas, face: occluders._hand(rng, canvas, face.marks, _skin(face)),
        "mask": lambda rng, canvas, face: occluders._face_mask(rng, canvas, face.marks),
        "microphone": lambda rng, canvas, face: occluders._microphone(rng, canvas, face.marks),
        "sunglasses": _sunglasses,
        "locks of hair": lambda rng, canvas, face: occluders._strands(rng, canvas, face.marks),
        "object": lambda rng, canvas, face: occluders._object(rng, canvas, textures),
    }


def synthetic(reconstructor: FaceReconstructor, count: int) -> list[Face]:
    """So many synthetic faces."""
    model, basis = reconstructor.model, reconstructor.basis
    triangles = torch.from_numpy(np.ascontiguousarray(model.triangles))
    found = []
    for sample in SyntheticFaces(model, count, _SEED, _CLEAN):
        parameters = sample["parameters"][None]
        scale, angles, _ = decompose_pose(split_parameters(parameters)[0].double())
        vertices = crop_vertices(basis, parameters)
        _, _, depth = twodasl_ext.rasterize(vertices, triangles, SIZE)
        found.append(
            Face(
                sample["image"].numpy().astype(np.float32) / 255,
                crop_landmarks(basis, parameters)[0].numpy(),
                sample["visible"].numpy(),
                matrix_from_angles(*angles[0]).numpy(),
                float(scale[0]),
                depth[0].numpy(),
            )
        )
    return found


def photographs(root: Path) -> list[Face]:
    """The faces of AFLW2000-3D's development images."""
    names = (root / "names.txt").read_text().split()
    marks = np.load(root / "pts68.npy").astype(np.float64).transpose(0, 2, 1)
    found = []
    for name, points, box in zip(names, marks, np.load(root / "roi_box.npy"), strict=True):
        file = next(
            path for path in (root / "images" / name, root / "images" / f"{name}.jpg") if path.exists()
        )
        crop = Crop(*(float(side) for side in box), SIZE)
        places = np.column_stack([crop.to_crop(points[:, :2]), points[:, 2]]).astype(np.float32)
        inside = ((places[:, :2] > -0.5) & (places[:, :2] < SIZE - 0.5)).all(axis=1)
        picture = crop.image(read_image(file)).astype(np.float32) / 255
        found.append(Face(picture, places, inside, developed=True))
    return found


@dataclass(frozen=True)
class Looks:
    """What is made of n pictures.

    Attributes:
        alone, own, fitted: (n, 68, 2) crop pixels: of the network's parameters, its own points, the fit.
        sigma: (n, 68), of its own points, as the fit uses it.
        hidden: (n, 68), what an object hides.
    """

    alone: Floats
    own: Floats
    fitted: Floats
    sigma: Floats
    hidden: NDArray[np.bool_]


@torch.inference_mode()
def looked(reconstructor: FaceReconstructor, faces: list[Face], painter: Painter | None) -> Looks:
    """Look at all faces with an object in front of them."""
    fit = reconstructor._fit
    assert fit is not None
    columns: list[tuple[torch.Tensor, ...]] = []
    hidden = []
    for start in range(0, len(faces), _BATCH):
        inputs = []
        for index, face in enumerate(faces[start : start + _BATCH], start):
            picture, behind = face.taken(painter, index)
            hidden.append(behind)
            inputs.append(FaceInput.given(picture, box=(0.0, 0.0, SIZE, SIZE)))
        look = reconstructor._look(inputs, None)
        assert look.own is not None, "the experiment takes weights with points of their own"
        parameters = fitted_parameters(fit(look.said.parameters, None, look.own))
        marks = crop_landmarks(reconstructor.basis, parameters)[..., :2]
        columns.append((look.said.landmarks[..., :2], look.own.places, marks, look.own.sigma))
    alone, own, fitted, sigma = (torch.cat(parts).numpy() for parts in zip(*columns, strict=True))
    return Looks(alone, own, fitted, sigma, np.stack(hidden))


def report(reconstructor: FaceReconstructor, faces: list[Face], kinds: dict[str, Painter]) -> None:
    """Prints all of it for some faces."""
    truth = np.stack([face.marks[:, :2] for face in faces])
    seen = np.stack([face.seen for face in faces])
    side = np.sqrt(np.prod(np.ptp(truth, axis=1), axis=1))[:, None]
    clean = looked(reconstructor, faces, None)
    errors, sigmas, behind = [_off(clean.own, truth)], [clean.sigma], [clean.hidden]
    print(
        "kind: hidden; NME of parameters, own points, fit; of the fit at hidden points (without), at others"
    )
    print(f"  nothing: 0 %; {_nmes(clean, truth, side)}")
    lines = []
    for words, painter in progress_bar(list(kinds.items()), description="occluders", unit="kind"):
        found = looked(reconstructor, faces, painter)
        hidden, others = found.hidden, seen & ~found.hidden
        now, before = (100 * _off(look.fitted, truth) / side for look in (found, clean))
        print(
            f"  {words}: {100 * hidden[seen].mean():.0f} %; {_nmes(found, truth, side)};"
            f" {now[hidden].mean():.2f} ({before[hidden].mean():.2f}), {now[others].mean():.2f}"
            f" ({before[others].mean():.2f})",
            flush=True,
        )
        off, was = _off(found.own, truth), _off(clean.own, truth)
        parts = []
        for rows in (hidden, others):
            error, sigma = _rms(off[rows]), _mean_square(found.sigma[rows])
            error_was, sigma_was = _rms(was[rows]), _mean_square(clean.sigma[rows])
            parts.append(f"{error_was:.2f} to {error:.2f}, {sigma_was:.2f} to {sigma:.2f}")
        changed = np.log(found.sigma / clean.sigma)
        told = spearmanr(changed[seen], hidden[seen]).statistic
        lines.append(f"  {words}: {'; '.join(parts)}; {told:.2f}")
        errors.append(off)
        sigmas.append(found.sigma)
        behind.append(hidden)
    print(
        "kind: at hidden points the own points' error (pixels, root mean square) and sigma, without and with"
        " the object; at the others; rank correlation of sigma's growth with being hidden"
    )
    print("\n".join(lines))
    _calibration(np.stack(errors), np.stack(sigmas), np.stack(behind))


def _calibration(errors: Floats, sigmas: Floats, hidden: NDArray[np.bool_]) -> None:
    """Prints how far sigma says the error: (kinds, n, 68) each."""
    for words, rows in (("all points", np.ones_like(hidden)), ("hidden points", hidden)):
        off, sigma = errors[rows], sigmas[rows]
        print(f"{words}: rank correlation of sigma with the error {spearmanr(sigma, off).statistic:.2f}")
        edges = np.quantile(sigma, [0.2, 0.4, 0.6, 0.8])
        fifth = np.digitize(sigma, edges)
        cells = [f"{_mean_square(sigma[fifth == k]):.2f}: {_rms(off[fifth == k]):.2f}" for k in range(5)]
        print("  sigma: error, by fifths of sigma: " + "  ".join(cells))


def _off(points: Floats, truth: Floats) -> Floats:
    """(n, 68) distances, pixels."""
    return np.linalg.norm(points - truth, axis=2)


def _rms(distances: Floats) -> float:
    """Root mean square along an axis."""
    return float(np.sqrt((distances**2).mean() / 2))


def _mean_square(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))


def _nmes(look: Looks, truth: Floats, side: Floats) -> str:
    numbers = (100 * (_off(points, truth) / side).mean() for points in (look.alone, look.own, look.fitted))
    return ", ".join(f"{number:.2f}" for number in numbers)


def sheet(faces: list[Face], kinds: dict[str, Painter], file: Path) -> None:
    """A picture of the first faces with each kind of object; hidden points red."""
    rows = []
    for words, painter in kinds.items():
        tiles = []
        for index, face in enumerate(faces[:6]):
            picture, hidden = face.taken(painter, index)
            large = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            for point, behind in zip(face.marks, hidden, strict=True):
                color = (0, 0, 255) if behind else (0, 255, 0)
                place = (round(float(2 * point[0] + 0.5)), round(float(2 * point[1] + 0.5)))
                cv2.circle(large, place, 1, color, -1, cv2.LINE_AA)
            cv2.putText(
                large, words, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA
            )
            tiles.append(large)
        rows.append(np.hstack(tiles))
    cv2.imwrite(str(file), np.vstack(rows))


def main(words: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.occlusion", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("--faces", type=int, default=200, help="synthetic faces (default: 200)")
    parser.add_argument("--photos", type=Path, help="AFLW2000-3D's development images")
    parser.add_argument("--sheet", type=Path, help="also draw what is painted")
    arguments = parser.parse_args(words)
    reconstructor = FaceReconstructor(arguments.checkpoint)
    kinds = painters()
    faces = synthetic(reconstructor, arguments.faces)
    if arguments.sheet:
        sheet(faces, kinds, arguments.sheet)
    print(f"{len(faces)} synthetic faces")
    report(reconstructor, faces, kinds)
    if arguments.photos:
        faces = photographs(arguments.photos)
        flat = {words: painter for words, painter in kinds.items() if painter is not _sunglasses}
        print(f"{len(faces)} photographs")
        report(reconstructor, faces, flat)


if __name__ == "__main__":
    main()
