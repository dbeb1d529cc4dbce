"""MediaPipe's face mesh, the extra `[detect]`: faces up to some 60 degrees of yaw, with 68 landmarks.

Its models lie inside the package, in versions before 0.10.30. It does not give a score.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...geometry.crops import crop_from_landmarks
from ...landmarks.mesh478 import sixty_eight_from_478
from ..face_input import MIN_BOX
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
        return faces_of_meshes((mesh.landmark for mesh in found), image)


def faces_of_meshes(meshes: Iterable[Iterable[Any]], image: NDArray[np.uint8]) -> list[Detection]:
    """The faces of MediaPipe's meshes of 468 or 478 points, whose x and y are fractions of the image's sides.

    Leaves out what is too small for a crop.
    """
    sides = np.array([image.shape[1], image.shape[0]])
    faces = []
    for mesh in meshes:
        # Its pixels' edges lie at integers, and here their centers.
        points = np.array([(point.x, point.y) for point in mesh]) * sides - 0.5
        landmarks = sixty_eight_from_478(points)
        try:
            crop = crop_from_landmarks(landmarks)
        except InputError:
            continue
        if crop.x1 - crop.x0 >= MIN_BOX:
            faces.append(Detection(crop, landmarks=landmarks))
    return faces


@cache
def _face_mesh() -> Any:
    import mediapipe

    return mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=10, refine_landmarks=True, min_detection_confidence=0.5
    )
