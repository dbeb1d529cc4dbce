"""A face in a photo, checked and cropped once; test_reconstructor.py has what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.io.images import read_image
from twodasl.reconstruction import face_input
from twodasl.reconstruction.detect import find_faces
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor

BOX = (140.0, 40.0, 320.0, 220.0)


@pytest.fixture(scope="module")
def photo(photo_path):
    return read_image(photo_path)


def test_landmarks_give_the_crop_unless_there_is_a_box(photo, photo68):
    face = FaceInput.given(photo, photo68.tolist())
    assert face.crop == crop_from_landmarks(photo68)
    np.testing.assert_array_equal(face.landmarks, photo68)
    assert face.image is photo
    assert (face.detector, face.recrop) == ("", False)
    both = FaceInput.given(photo, photo68, BOX, recrop=True)
    assert both.crop.box == BOX
    assert both.recrop
    assert FaceInput.given(photo, box=BOX).landmarks is None


def test_messages_call_things_as_they_are_told(photo, photo68):
    names = {"landmarks_name": "face.pts", "box_name": "--box"}
    with pytest.raises(InputError, match=r"^face\.pts: expected \(68, 2\)"):
        FaceInput.given(photo, photo68[:67], **names)
    with pytest.raises(InputError, match=r"^--box: expected x0 < x1"):
        FaceInput.given(photo, box=(9, 9, 9, 99), **names)
    with pytest.raises(InputError, match=r"^face\.pts, --box: a photo needs one of them"):
        FaceInput.given(photo, **names)


def test_refined_landmarks_move_the_crop_only_if_asked_and_near(photo, photo68):
    near = photo68 + 5
    fixed = FaceInput.given(photo, photo68).refined(near)
    np.testing.assert_array_equal(fixed.landmarks, near)
    assert fixed.crop == crop_from_landmarks(photo68)
    rough = FaceInput.given(photo, photo68, recrop=True)
    assert rough.refined(near).crop == crop_from_landmarks(near)
    for wild in (photo68 + 500, photo68 * 3, photo68 * np.nan):
        assert rough.refined(wild).crop == rough.crop


@pytest.mark.parametrize("place", ["landmarks", "box", "detector"])
def test_a_photo_is_checked_and_cropped_once(photo, photo68, lively_checkpoint, monkeypatch, place):
    """The reconstructor takes what was built as it is: nothing is checked or built again on the way."""
    if place == "detector":
        face = find_faces(photo, "cascade")[0]
        assert face.recrop
    else:
        face = FaceInput.given(photo, **({"landmarks": photo68} if place == "landmarks" else {"box": BOX}))
    reconstructor = FaceReconstructor(lively_checkpoint)
    marks, box = face.landmarks, face.crop.box
    expected = reconstructor.batch([photo], [marks], [box], recrop=face.recrop)[0]

    def fail(*args):
        raise AssertionError("checked again")

    for name in ("check_image", "_landmarks", "_square_crop"):
        monkeypatch.setattr(face_input, name, fail)
    found = reconstructor.reconstruct([face])[0]
    assert found.crop.box == pytest.approx(expected.crop.box, rel=1e-12)  # of a square made square again
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-3)
