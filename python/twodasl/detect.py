"""Finding the face in a photo that comes without landmarks and without a box.

Two detectors. `cascade` is in every installation: scikit-image's local-binary-pattern cascade, a file of that
package; it gives upright frontal faces (to about 30 degrees of yaw) as boxes, no landmarks. `mediapipe` is
the extra `[detect]`: MediaPipe's face mesh, whose models lie inside the package; it finds turned faces as
well and gives the 68 landmarks that the network's landmark channel wants. Neither downloads anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .data.crops import Crop, crop_from_landmarks
from .errors import InputError
from .images import check_image

# The cascade's square box -> the crop that landmarks would give: how far the centre moves down and how much
# the side grows, in widths of the box. Medians over the 220 faces with |yaw| < 30 degrees that it finds among
# 400 of AFLW2000-3D; their quartiles are 4 % of a width (position) and 9 % (side) apart from that.
_DOWN, _SIDE = 0.141, 1.26

_CASCADE_LONG_SIDE = 640  # larger photos are searched in reduced form
_CASCADE_SMALLEST = 0.07  # smallest face searched for, relative to the longer side

# MediaPipe's mesh has 468 vertices; these lie at the 68 iBUG points, in their order.
_MESH_TO_68 = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),  # contour
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)


@dataclass(frozen=True)
class Face:
    """A face found in a photo: its crop, the detector's name, landmarks (68, 2) in image pixels or None."""

    crop: Crop
    detector: str
    landmarks: NDArray[np.float64] | None = None


def detectors() -> list[str]:
    """Names of the detectors that this installation has, the better one first."""
    return [name for name in _DETECTORS if name != "mediapipe" or _has_face_mesh()]


def find_faces(image: NDArray[np.uint8], detector: str = "auto") -> list[Face]:
    """The faces in a photo, the largest first.

    Args:
        image: (H, W, 3) uint8 BGR.
        detector: "cascade", "mediapipe", or "auto": mediapipe where it is installed, else cascade.

    Returns:
        a list, empty where no face was found. `Face.detector` says who found it.

    Raises:
        InputError: not an image, or a detector that is not installed.
    """
    check_image(image)
    name = detectors()[0] if detector == "auto" else detector
    if name not in _DETECTORS:
        raise InputError(f"detector: expected auto, {' or '.join(_DETECTORS)}, got {detector!r}")
    if name not in detectors():
        raise InputError(
            "detector: mediapipe with its face mesh is not installed; pip install 'twodasl[detect]'"
            " (Python 3.12 or older)"
        )
    found = _DETECTORS[name](image)
    return sorted(found, key=lambda face: face.crop.x1 - face.crop.x0, reverse=True)


def _cascade_faces(image: NDArray[np.uint8]) -> list[Face]:
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    reduction = max(1.0, max(gray.shape) / _CASCADE_LONG_SIDE)
    if reduction > 1:
        height, width = gray.shape
        gray = cv2.resize(
            gray, (round(width / reduction), round(height / reduction)), interpolation=cv2.INTER_AREA
        )
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
        min_neighbor_number=3,
    )
    # The reduced photo may be a fraction of a pixel off the ratio along one side: use each side's own.
    scale_x, scale_y = image.shape[1] / gray.shape[1], image.shape[0] / gray.shape[0]
    faces = []
    for box in found:
        width = box["width"] * scale_x
        x = box["c"] * scale_x + width / 2
        y = box["r"] * scale_y + width / 2 + _DOWN * width
        half = _SIDE * width / 2
        faces.append(Face(Crop(x - half, y - half, x + half, y + half), "cascade"))
    return faces


@cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())


def _mediapipe_faces(image: NDArray[np.uint8]) -> list[Face]:
    rgb = np.ascontiguousarray(image[:, :, ::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its protocol buffers' deprecations
        found = _face_mesh().process(rgb).multi_face_landmarks or []
    height, width = image.shape[:2]
    faces = []
    for mesh in found:
        # Its coordinates are fractions of the sides; pixel centres lie at integers here.
        points = np.array([(point.x * width - 0.5, point.y * height - 0.5) for point in mesh.landmark])
        landmarks = points[list(_MESH_TO_68)]
        faces.append(Face(crop_from_landmarks(landmarks), "mediapipe", landmarks))
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


_DETECTORS: dict[str, Callable[[NDArray[np.uint8]], list[Face]]] = {
    "mediapipe": _mediapipe_faces,
    "cascade": _cascade_faces,
}
