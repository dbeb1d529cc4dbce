"""Which faces of a photo `twodasl reconstruct` takes: --detector, --detector-model and --faces."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..reconstruction.detectors.detection import Detector
    from ..reconstruction.face_input import FaceInput

_MOST_FACES = 10_000


def add_detector(parser: argparse.ArgumentParser) -> None:
    """The three options."""
    parser.add_argument(
        "--detector",
        choices=("auto", "retinaface", "mediapipe", "cascade"),
        default="auto",
        help="used without --landmarks and --box (default: the first of these that is installed; but"
        " mediapipe 1.2, which sends Google figures about its use, only where it is named)",
    )
    parser.add_argument(
        "--detector-model",
        metavar="FILE",
        type=Path,
        help="a detector of your own instead: an ONNX file of RetinaFace or YuNet, or MediaPipe's"
        " face_landmarker.task",
    )
    parser.add_argument(
        "--faces",
        metavar="all|largest|N",
        type=_how_many,
        default="largest",
        help="which faces of a photo: the largest (default), the N largest, or all that are found; for all"
        " and for N the results are called NAME-1, NAME-2 and so on, from left to right",
    )


def check_detector(args: argparse.Namespace) -> None:
    """Raise InputError where the options contradict others."""
    if args.detector_model is not None and args.detector != "auto":
        raise InputError(f"--detector-model: takes the place of --detector {args.detector}; give one of them")
    placed = _placed(args)
    if placed and args.faces != "largest":
        raise InputError(
            f"--faces: needs a detector, but {placed[0]} says where the face is; give one of them"
        )
    if placed and args.detector_model is not None:
        raise InputError(
            f"--detector-model: is not used where {placed[0]} says where the face is; give one of them"
        )


def open_detector(args: argparse.Namespace) -> str | Detector:
    """The detector that the options name. Raises InputError where it is not there, or its file is none."""
    from ..reconstruction.detect import load_detector, named

    if args.detector_model is not None:
        return load_detector(args.detector_model)
    if args.detector != "auto" and not _placed(args):
        named(args.detector)
    return str(args.detector)


def side_by_side(detector: str | Detector) -> bool:
    """Whether the detector may look at several photos at once: those that onnxruntime computes may."""
    from ..reconstruction.detect import automatic
    from ..reconstruction.detectors.five_point import FivePointDetector

    name = automatic() if detector == "auto" else detector
    return name == "retinaface" or isinstance(name, FivePointDetector)


def detected(
    photo: Path, image: Any, detector: str | Detector, which: str | int
) -> list[tuple[str, FaceInput, dict[str, Any]]]:
    """The faces to reconstruct from left to right, each with its results' name and what to note of it.

    Raises InputError where none is found.
    """
    from ..reconstruction.detect import chosen_faces, find_faces

    found = find_faces(image, detector)
    if not found:
        raise InputError(f"{photo}: no face was found; say where it is with --landmarks or --box")
    chosen = chosen_faces(found, which)
    several = f", the largest of {len(found)}" if which == "largest" and len(found) > 1 else ""
    faces = []
    for number, face in enumerate(chosen, 1):
        source: dict[str, Any] = {"detector": face.detector + several}
        if face.score is not None:
            source["detector_score"] = round(face.score, 4)
        if face.quarters:
            source["turned_degrees"] = 90 * face.quarters
        if which != "largest":
            source["face"] = f"{number} of {len(chosen)} from the left"
        name = photo.stem if which == "largest" else f"{photo.stem}-{number}"
        faces.append((name, face, source))
    return faces


def numbered(file: Path, photo: Path, suffixes: Iterable[str]) -> bool:
    """Whether `file` has a name that a result of one of several faces of `photo` may get."""
    number = re.fullmatch(re.escape(photo.stem) + r"-[1-9][0-9]*(\D.*)", file.name)
    return number is not None and number[1] in set(suffixes)


def _placed(args: argparse.Namespace) -> list[str]:
    """The options that say where the face is."""
    return [f"--{name}" for name in ("landmarks", "box") if getattr(args, name) is not None]


def _how_many(word: str) -> str | int:
    if word in ("all", "largest"):
        return word
    if re.fullmatch("[0-9]{1,9}", word) and 1 <= int(word) <= _MOST_FACES:
        return int(word)
    raise argparse.ArgumentTypeError(f"expected all, largest or 1 to {_MOST_FACES}, got {word!r}")
