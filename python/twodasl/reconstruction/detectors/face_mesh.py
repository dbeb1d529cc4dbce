"""MediaPipe's face mesh, the extra `[detect]`: faces up to some 60 degrees of yaw, with 68 landmarks.

Its models lie inside the package, in versions before 0.10.30. It does not give a score.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry.crops import crop_from_landmarks
from ...landmarks.mesh478 import sixty_eight_from_478
from .detection import Detection


class FaceMeshDetector:
    """A `Detector` that gives landmarks."""

    name = "mediapipe"
    sure = None

    def __call__(self, image: NDArray[np.uint8]) -> list[Detection]:
        """See `Detector`."""
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
            faces.append(Detection(crop_from_landmarks(landmarks), landmarks=landmarks))
        return faces


@cache
def has_face_mesh() -> bool:
    """Whether MediaPipe is here in a version that still carries its models."""
    try:
        return find_spec("mediapipe.python.solutions.face_mesh") is not None
    except ImportError:
        return False


@cache
def _face_mesh() -> Any:
    import mediapipe

    return mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=10, refine_landmarks=True, min_detection_confidence=0.5
    )
