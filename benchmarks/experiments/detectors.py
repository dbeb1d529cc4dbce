"""python -m benchmarks.experiments.detectors FOLDER: the detectors beside each other on AFLW2000-3D.

FOLDER holds `images`, `names.txt`, `roi_box.npy` (the data set's crops) and `yaw_degrees.npy`; the arrays
have a row an image. For each installed detector, and for files given by --detector-model: in how many images
of a bin of yaw a face is found in the right place (its crop's center within a quarter of the side of the data
set's) and of the right size (within a factor of 1.4), and in how many that is the largest face found; how far
those crops are off; how many photos are found right side up when they are turned; the processor's time an
image; and the faces found in scikit-image's pictures that show none. docs/reconstruction.md has the numbers.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.geometry.crops import Crop
from twodasl.io.images import read_image
from twodasl.reconstruction.detect import detectors, find_faces, load_detector, named
from twodasl.reconstruction.detectors.detection import Detector
from twodasl.reconstruction.turns import turned_crop, turned_image

PLACE, SIZE = 0.25, 1.4
BINS = ((0, 30), (30, 60), (60, 100))
# Those of skimage.data that are in the package itself and show no face of a human being.
EMPTY = ["brick", "cat", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse"]
EMPTY += ["hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "retina", "rocket", "text"]

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]


def differences(crop: Crop, box: Floats) -> Floats:
    """How far a crop's center lies from a box's, in its sides along x and y, and the log of its size."""
    x0, y0, x1, y1 = crop.box
    side = float(box[2:].mean() - box[:2].mean())
    middle = np.array([x0 + x1, y0 + y1]) / 2
    return np.array([*(middle - (box[:2] + box[2:]) / 2) / side, np.log((x1 - x0) / side)])


def right(off: Floats) -> bool:
    """Whether these differences are small enough."""
    return bool(np.linalg.norm(off[:2]) < PLACE and abs(off[2]) < np.log(SIZE))


def empty_pictures() -> list[tuple[str, Image]]:
    """Pictures without faces, BGR."""
    import skimage.data

    pictures = []
    for name in EMPTY:
        try:
            picture = np.asarray(getattr(skimage.data, name)())
        except Exception:  # not on this disk, and nothing is downloaded for it
            continue
        if picture.dtype == bool:
            picture = picture * np.uint8(255)
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        pictures.append((name, np.ascontiguousarray(picture[..., 2::-1])))
    return pictures


def found_turned(finder: Detector, image: Image, box: Floats, quarters: int) -> bool:
    """Whether the face of a photo that is turned by so many quarters is found in its place, right side up."""
    turned = turned_image(image, quarters)
    faces = find_faces(turned, finder)
    if not faces or (faces[0].quarters + quarters) % 4:
        return False
    back = turned_crop(faces[0].crop, -quarters, (turned.shape[1], turned.shape[0]))
    return right(differences(back, box))


def measure(finder: Detector, images: list[Image], boxes: Floats, yaw: Floats) -> list[str]:
    """Lines of text."""
    find_faces(images[0], finder)  # loads it
    began = time.process_time()
    pairs = list(zip(images, boxes, strict=True))
    found = [find_faces(image, finder) for image in images]
    each = (time.process_time() - began) / len(images) * 1000
    off = [[differences(face.crop, box) for face in faces] for faces, box in zip(found, boxes, strict=True)]
    good = np.array([any(map(right, faces)) for faces in off])
    first = np.array([bool(faces) and right(faces[0]) for faces in off])
    none = np.array([not faces for faces in off])
    lines = []
    for low, high in BINS:
        inside = (yaw >= low) & (yaw < high)
        kept = 100 * np.stack([next(filter(right, off[row])) for row in np.flatnonzero(inside & good)])
        (x, y, size), bias = np.median(np.abs(kept), axis=0), np.median(kept, axis=0)
        shares = (f"{values[inside].mean():6.1%}" for values in (good, first, none))
        lines.append(
            f"  yaw {low:>2} to {high:>3}, {inside.sum():>3} images: "
            + "right {}, as the largest {}, no face {}; ".format(*shares)
            + f"crop off by {x:.1f} and {y:.1f} % of its side, size by {size:.1f} % (medians;"
            + f" bias {bias[0]:+.1f} {bias[1]:+.1f} {bias[2]:+.1f})"
        )
    for quarters in () if finder.sure is None else (1, 2, 3):  # those do not turn photos
        upright = [found_turned(finder, image, box, quarters) for image, box in pairs[::4]]
        lines.append(
            f"  photos turned by {90 * quarters:>3} degrees: right {np.mean(upright):6.1%} of {len(upright)}"
        )
    wrong = {name: len(faces) for name, picture in empty_pictures() if (faces := find_faces(picture, finder))}
    lines.append(
        f"  {each:.0f} ms of one processor an image; pictures without faces: {sum(wrong.values())} found"
        f" {wrong or ''}".rstrip()
    )
    return lines


def main() -> None:
    """Prints a paragraph a detector."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.detectors", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--detector", action="append", metavar="NAME", help="these alone")
    parser.add_argument("--detector-model", action="append", type=Path, default=[], metavar="FILE")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    names = (folder / "names.txt").read_text(encoding="utf-8").split()
    images = [read_image(folder / "images" / name, upright=False) for name in names]
    boxes = np.load(folder / "roi_box.npy").astype(np.float64)
    yaw = np.abs(np.load(folder / "yaw_degrees.npy"))
    pictures = empty_pictures()
    print(f"{len(images)} images; {len(pictures)} pictures without faces; one thread")
    finders: list[Detector] = [
        *map(named, arguments.detector or detectors()),
        *map(load_detector, arguments.detector_model),
    ]
    for finder in finders:
        print(finder.name)
        print("\n".join(measure(finder, images, boxes, yaw)), flush=True)


if __name__ == "__main__":
    main()
