"""python -m benchmarks.experiments.gallery OUT.jpg: the documentation's gallery, good results and bad ones.

One photo that may be shown by anybody, NASA's portrait of Eileen Collins as scikit-image carries it, under
what photos in the wild go through: small, dark, sideways, turned in depth, covered, cut off, blurred; and a
cat. Each goes through the default detector and the shipped weights as any photo does,
and is shown with the landmarks and the confidence that came out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data
from twodasl import FaceReconstructor
from twodasl.geometry.crops import Crop
from twodasl.io.images import write_image
from twodasl.pictures.render import Image, caption, contact_sheet, draw_landmarks
from twodasl.reconstruction.reconstruction import Reconstruction
from twodasl.synthetic.turn import FaceTurner

TILE = 300
_FACE = (164, 36, 284, 196)  # x0, y0, x1, y1 of the face in the portrait

Photo = NDArray[np.uint8]


def smaller(photo: Photo, rows: int) -> Photo:
    """The photo with so many rows."""
    columns = round(photo.shape[1] * rows / len(photo))
    return cv2.resize(photo, (columns, rows), interpolation=cv2.INTER_AREA)


def covered(photo: Photo, x0: float, y0: float, x1: float, y1: float) -> Photo:
    """A gray board over a part of the face, given in shares of its box."""
    left, top, right, bottom = _FACE
    changed = photo.copy()
    columns = slice(int(left + x0 * (right - left)), int(left + x1 * (right - left)))
    rows = slice(int(top + y0 * (bottom - top)), int(top + y1 * (bottom - top)))
    changed[rows, columns] = 96
    return changed


def dark(photo: Photo) -> Photo:
    """A photo of too little light: a sixth of it, with noise."""
    noise = np.random.default_rng(0).normal(0, 4, photo.shape)
    return np.clip(photo / 6.0 + noise, 0, 255).astype(np.uint8)


def turned(photo: Photo, reconstructor: FaceReconstructor, degrees: float) -> Photo:
    """The head turned in depth, as `twodasl data turn` makes profiles."""
    face = reconstructor.find(photo, "largest")[0]
    crop = face.crop.image(photo)
    head = FaceTurner(reconstructor.model)(crop, face.parameters, np.radians(degrees))
    return cv2.resize(head.image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


def examples(reconstructor: FaceReconstructor) -> dict[str, Callable[[], Photo]]:
    """The pictures by what is special about them."""
    photo = np.ascontiguousarray(data.astronaut()[..., ::-1])
    small = smaller(photo, 160)
    return {
        "as it is": lambda: photo,
        "the face 50 pixels tall": lambda: small,
        "black and white, dark, noisy": lambda: np.repeat(dark(photo)[..., 1:2], 3, axis=2),
        "lying on its side": lambda: np.ascontiguousarray(np.rot90(photo)),
        "turned in depth by 40 degrees": lambda: turned(photo, reconstructor, 40),
        "turned in depth by 75 degrees": lambda: turned(photo, reconstructor, 75),
        "mouth and chin covered": lambda: covered(photo, -0.1, 0.62, 1.1, 1.05),
        "one half covered": lambda: covered(photo, 0.5, -0.1, 1.15, 1.1),
        "eyes and nose covered": lambda: covered(photo, -0.1, 0.1, 1.1, 0.68),
        "cut off below the nose": lambda: np.ascontiguousarray(photo[: _FACE[1] + 100]),
        "out of focus": lambda: cv2.GaussianBlur(photo, None, 9),
        "a cat": lambda: np.ascontiguousarray(data.chelsea()[..., ::-1]),
    }


def tile(photo: Photo, face: Reconstruction | None, words: str) -> Image:
    """The photo around the face, its landmarks, and a line below."""
    if face is None:
        side = max(photo.shape[:2])
        window = Crop(0, 0, side, side, TILE)
        return caption(window.image(photo, (255, 255, 255)), f"{words}: no face found", 30)
    x0, y0, x1, y1 = face.crop.box
    grow = 0.15 * (x1 - x0)
    window = Crop(x0 - grow, y0 - grow, x1 + grow, y1 + grow, TILE)
    points = face.vertices.astype(np.float64)
    points[:, :2] = window.to_crop(points[:, :2])
    points[:, 2] /= window.scale[0]
    drawn = draw_landmarks(window.image(photo, (255, 255, 255)), points[face.landmark_indices])
    return caption(drawn, f"{words}: {face.confidence:.2f}", 30)


def main() -> None:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.gallery", description=__doc__.splitlines()[0]
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    arguments = parser.parse_args()
    reconstructor = FaceReconstructor(arguments.checkpoint)
    tiles = []
    for words, make in examples(reconstructor).items():
        photo = make()
        found = reconstructor.find(photo, "largest")
        tiles.append(tile(photo, found[0] if found else None, words))
        print(f"{words}: {f'confidence {found[0].confidence:.2f}' if found else 'no face found'}")
    write_image(arguments.output, contact_sheet(tiles, 4, margin=10))


if __name__ == "__main__":
    main()
