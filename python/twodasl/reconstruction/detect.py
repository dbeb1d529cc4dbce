"""Finding the face in a photo that comes without landmarks and without a box.

Two detectors. `cascade` is in every installation: scikit-image's local-binary-pattern cascade, a file of that
package; it gives upright frontal faces (to about 30 degrees of yaw) as boxes, no landmarks. `mediapipe` is
the extra `[detect]`: MediaPipe's face mesh, whose models lie inside the package; it finds turned faces as
well and gives the 68 landmarks that the network's landmark channel wants. Neither downloads anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, install_extra
from ..geometry.crops import Crop, crop_from_landmarks
from ..io.images import check_image
from ..landmarks.mesh478 import sixty_eight_from_478
from .face_input import FaceInput

# The cascade's square box -> the crop that landmarks would give: how far the center moves down and how much
# the side grows, in widths of the box. Medians over faces of AFLW2000-3D with |yaw| < 30 degrees; half of
# them are within 6 % of a width of that in place and within 11 % in size.
_DOWN, _SIDE = 0.147, 1.28

# Overlapping windows that make a face: a photo is searched again with the smaller number where the larger one
# finds nothing. A face must also be found in the mirrored photo, overlapping by _SAME: that halved the wrong
# boxes, at the price of a few faces that are now reported as not found.
_WINDOWS = (12, 3)
_SAME = 0.4
_CASCADE_LONG_SIDE = 640  # larger photos are searched in reduced form
_CASCADE_SMALLEST = 0.07  # smallest face searched for, relative to the longer side


def detectors() -> list[str]:
    """Names of the detectors that this installation has, the better one first."""
    return [name for name in _DETECTORS if name != "mediapipe" or _has_face_mesh()]


def find_faces(image: NDArray[np.uint8], detector: str = "auto") -> list[FaceInput]:
    """The faces in a photo, the largest first.

    Args:
        image: (H, W, 3) uint8 BGR.
        detector: "cascade", "mediapipe", or "auto": mediapipe where it is installed, else cascade.

    Returns:
        a list for `FaceReconstructor.reconstruct`, empty where no face was found. `FaceInput.detector` says
        which detector found it; a face without landmarks has `recrop`.

    Raises:
        InputError: not an image, or a detector that is not installed.
    """
    check_image(image)
    name = detectors()[0] if detector == "auto" else detector
    if name not in _DETECTORS:
        raise InputError(f"detector: expected auto, {' or '.join(_DETECTORS)}, got {detector!r}")
    if name not in detectors():
        raise InputError(
            "detector: mediapipe with its face mesh is not installed;"
            f" {install_extra('detect')} (Python 3.12 or older)"
        )
    found = _DETECTORS[name](image)
    return sorted(found, key=lambda face: face.crop.x1 - face.crop.x0, reverse=True)


def _cascade_faces(image: NDArray[np.uint8]) -> list[FaceInput]:
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    reduction = max(1.0, max(gray.shape) / _CASCADE_LONG_SIDE)
    if reduction > 1:
        height, width = gray.shape
        reduced = (max(1, round(width / reduction)), max(1, round(height / reduction)))
        gray = np.asarray(cv2.resize(gray, reduced, interpolation=cv2.INTER_AREA), np.uint8)
    # The reduced photo may be a fraction of a pixel off the ratio along one side: use each side's own.
    scale_x, scale_y = image.shape[1] / gray.shape[1], image.shape[0] / gray.shape[0]
    faces = []
    for left, top, width in _agreed(gray):
        width *= scale_x
        x = left * scale_x + width / 2
        y = top * scale_y + width / 2 + _DOWN * width
        half = _SIDE * width / 2
        crop = Crop(x - half, y - half, x + half, y + half)
        faces.append(FaceInput(image, crop, recrop=True, detector="cascade"))
    return faces


def _agreed(gray: NDArray[np.uint8]) -> list[tuple[float, float, float]]:
    """Boxes (left, top, width) found both in the picture and in its mirror image, the mean of the two."""
    mirrored = np.ascontiguousarray(gray[:, ::-1])
    for windows in _WINDOWS:
        found, twins = _search(gray, windows), _search(mirrored, windows)
        twins = [(gray.shape[1] - left - width, top, width) for left, top, width in twins]
        both = []
        for box in found:
            twin = max(twins, key=lambda other: _overlap(box, other), default=None)
            if twin is not None and _overlap(box, twin) > _SAME:
                both.append(tuple(np.mean([box, twin], axis=0).tolist()))
        if both:
            return both
    return []


def _search(gray: NDArray[np.uint8], windows: int) -> list[tuple[float, float, float]]:
    # The cascade's window is 24 pixels; smaller faces cannot be found.
    smallest = max(24, round(_CASCADE_SMALLEST * max(gray.shape)))
    if min(gray.shape) < smallest:
        return []
    found = _cascade().detect_multi_scale(
        img=gray,
        scale_factor=1.1,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=gray.shape,
        min_neighbor_number=windows,
    )
    return [(float(box["c"]), float(box["r"]), float(box["width"])) for box in found]


def _overlap(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """Intersection over union of two boxes (left, top, width)."""
    (a, b, c), (x, y, z) = first, second
    across = max(0.0, min(a + c, x + z) - max(a, x))
    down = max(0.0, min(b + c, y + z) - max(b, y))
    return across * down / (c * c + z * z - across * down)


@cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())


def _mediapipe_faces(image: NDArray[np.uint8]) -> list[FaceInput]:
    rgb = np.ascontiguousarray(image[:, :, ::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its protocol buffers' deprecations
        found = _face_mesh().process(rgb).multi_face_landmarks or []
    height, width = image.shape[:2]
    faces = []
    for mesh in found:
        # Its coordinates are fractions of the sides; pixel centers lie at integers here.
        points = np.array([(point.x * width - 0.5, point.y * height - 0.5) for point in mesh.landmark])
        landmarks = sixty_eight_from_478(points)
        crop = crop_from_landmarks(landmarks)
        faces.append(FaceInput(image, crop, landmarks, detector="mediapipe"))
    return faces


@cache
def _face_mesh() -> Any:
    import mediapipe

    return mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=10, refine_landmarks=True, min_detection_confidence=0.5
    )


@cache
def _has_face_mesh() -> bool:
    """Whether MediaPipe is here in a version that still carries its models (before 0.10.30)."""
    try:
        return find_spec("mediapipe.python.solutions.face_mesh") is not None
    except ImportError:
        return False


_DETECTORS: dict[str, Callable[[NDArray[np.uint8]], list[FaceInput]]] = {
    "mediapipe": _mediapipe_faces,
    "cascade": _cascade_faces,
}
