"""Detectors: the photograph's face is found, and its crop is the one that landmarks would give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.io.images import read_image
from twodasl.reconstruction import detect


@pytest.fixture(scope="module")
def photo(photo_path):
    return read_image(photo_path)


def _overlap(first, second):
    """Intersection over union of two boxes."""
    a, b = np.array(first.box), np.array(second.box)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = sides.clip(0).prod()
    return both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.6])
def test_cascade_agrees_with_landmarks(photo, photo68, scale):
    # Pixel centers at integers: p becomes scale * (p + 0.5) - 0.5.
    image = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = detect.find_faces(image, "cascade")
    assert faces
    assert faces[0].detector == "cascade"
    assert faces[0].landmarks is None
    assert _overlap(faces[0].crop, crop_from_landmarks((photo68 + 0.5) * scale - 0.5)) > 0.7


def test_the_largest_comes_first(photo):
    half = cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.zeros((512, 512 + half.shape[1], 3), np.uint8)
    both[: half.shape[0], : half.shape[1]] = half
    both[:, half.shape[1] :] = photo
    widths = [face.crop.x1 - face.crop.x0 for face in detect.find_faces(both, "cascade")]
    assert len(widths) >= 2
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("shape", [(200, 300), (32, 400), (40, 40)])
def test_nothing_is_found_in_nothing(shape):
    assert detect.find_faces(np.full((*shape, 3), 128, np.uint8), "cascade") == []


def test_auto_takes_what_is_there(photo):
    assert detect.find_faces(photo)[0].detector == detect.detectors()[0]
    assert "cascade" in detect.detectors()


def test_a_detector_that_is_not_there(photo, monkeypatch):
    with pytest.raises(InputError, match="detector: expected auto, retinaface, mediapipe or cascade"):
        detect.find_faces(photo, "haar")
    monkeypatch.setattr(detect, "_has_face_mesh", lambda: False)
    with pytest.raises(InputError, match=r"pip install '\.\[detect\]' in the source folder"):
        detect.find_faces(photo, "mediapipe")
    assert detect.find_faces(photo, "auto")[0].detector == "cascade"


@pytest.mark.skipif("mediapipe" not in detect.detectors(), reason="the extra [detect] is not installed")
def test_mediapipe_agrees_with_the_hand_placed_points(photo, photo68):
    (face,) = detect.find_faces(photo, "mediapipe")
    error = np.linalg.norm(face.landmarks - photo68, axis=1) / np.sqrt(np.ptp(photo68, axis=0).prod())
    assert error[17:].mean() < 0.03  # of the face's size; contour points slide along the jaw
    assert _overlap(face.crop, crop_from_landmarks(photo68)) > 0.85
