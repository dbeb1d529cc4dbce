"""Faces followed through frames, with the shipped network: identity, jitter, loss and return."""

from __future__ import annotations

import numpy as np
import pytest
from twodasl import FaceReconstructor
from twodasl.errors import InputError
from twodasl.video import FaceTracker
from twodasl.video.matching import overlap

from ..clips import BACKGROUND, HEIGHT, WIDTH, face_patch, frame_with

EMPTY = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)


@pytest.fixture(scope="module")
def reconstructor() -> FaceReconstructor:
    return FaceReconstructor()


@pytest.fixture(scope="module")
def patch(photo_path):
    return face_patch(photo_path)


def _marks(faces):
    return np.stack([face.landmarks[:, :2] for (face,) in faces]).astype(np.float64)


def test_a_moving_face_is_one_track_on_its_place(reconstructor, patch):
    tracker = FaceTracker(reconstructor, rate=25)
    faces = [tracker(frame_with((patch, 40 + 4 * step, 50))) for step in range(20)]
    assert [face.track for (face,) in faces] == [1] * 20
    assert [face.frames for (face,) in faces] == list(range(1, 21))
    np.testing.assert_allclose([face.seconds for (face,) in faces], np.arange(20) / 25)
    alone = [reconstructor.find(frame_with((patch, 40 + 4 * step, 50)), "largest") for step in (0, 19)]
    for step, (truth,) in zip((0, 19), alone, strict=True):
        away = np.linalg.norm(faces[step][0].landmarks - truth.landmarks, axis=1)[:, None]
        assert away.mean() < 0.05 * np.ptp(truth.landmarks[:, 0])
    # 4 pixels a frame, without lag.
    steps = np.diff(_marks(faces).mean(axis=1), axis=0)[8:]
    np.testing.assert_allclose(steps.mean(axis=0), [4, 0], atol=0.1)
    moved = _marks(faces).mean(axis=1)[8:] - _marks([alone[0]]).mean(axis=1)
    np.testing.assert_allclose(moved[:, 0], 4 * np.arange(8, 20), atol=1.0)


@pytest.mark.slow
def test_a_still_face_with_noise_jitters_a_third_of_single_fits(reconstructor, patch):
    tracker = FaceTracker(reconstructor, rate=25)
    frames = [frame_with((patch, 90, 50), noise=6, seed=seed) for seed in range(45)]
    followed = _marks([tracker(frame) for frame in frames])[15:]
    alone = _marks([reconstructor.find(frame, "largest") for frame in frames[15:]])

    def scatter(marks):
        return np.sqrt(np.square(marks - marks.mean(axis=0)).sum(axis=2).mean())

    assert scatter(followed) < scatter(alone) / 3


def test_the_same_frames_give_the_same_bits(reconstructor, patch):
    runs = []
    for _ in range(2):
        tracker = FaceTracker(reconstructor)
        runs.append([tracker(frame_with((patch, 80 + step, 50), noise=4, seed=step)) for step in range(5)])
    for (one,), (other,) in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.parameters, other.parameters)
        np.testing.assert_array_equal(one.vertices, other.vertices)


def test_a_result_is_a_reconstruction_of_its_crop(reconstructor, patch):
    tracker = FaceTracker(reconstructor)
    for step in range(3):
        (face,) = tracker(frame_with((patch, 90 + step, 50)))
    np.testing.assert_array_equal(face.landmarks, face.vertices[face.landmark_indices])
    assert face.shape.shape == (40,)
    assert len(face.parameters) == 12 + 55
    np.testing.assert_allclose(tracker.shape(1), face.shape, atol=1e-5)


def test_a_lost_face_is_found_again_as_the_same(reconstructor, patch):
    tracker = FaceTracker(reconstructor, rate=25)
    frames = [frame_with((patch, 90, 50))] * 4 + [EMPTY] * 6 + [frame_with((patch, 100, 55))] * 6
    found = [tracker(frame) for frame in frames]
    assert all(len(faces) == 1 for faces in found[:4])
    assert not any(found[4:10])
    assert len(found[-1]) == 1
    assert tracker.tracks == [1]
    assert found[-1][0].frames > found[3][0].frames


def test_after_a_while_it_is_another_track(reconstructor, patch):
    tracker = FaceTracker(reconstructor)
    frame = frame_with((patch, 90, 50))
    assert [face.track for face in tracker(frame, 0.0)] == [1]
    assert tracker(EMPTY, 0.1) == []
    assert tracker(EMPTY, 3.0) == []
    later = [tracker(frame, 3.0 + 0.04 * step) for step in range(1, 9)]
    assert [face.track for face in later[-1]] == [2]


def test_a_face_at_once_elsewhere_is_another_one(reconstructor, patch):
    tracker = FaceTracker(reconstructor, rate=25)
    for _ in range(3):
        tracker(frame_with((patch, 0, 10)))
    found = [tracker(frame_with((patch, 190, 110))) for _ in range(3)]
    assert len(found[-1]) == 1
    assert found[-1][0].landmarks[:, 0].mean() > 200


def test_all_faces_and_the_largest(reconstructor, photo_path):
    small, large = face_patch(photo_path, 100), face_patch(photo_path, 150)
    frame = frame_with((small, 5, 60), (large, 160, 50))
    every = FaceTracker(reconstructor, faces="all")
    largest = FaceTracker(reconstructor)
    for _ in range(3):
        both, one = every(frame), largest(frame)
    assert sorted(face.track for face in both) == [1, 2]
    assert both[0].landmarks[:, 0].mean() > 160  # the largest is the first track
    assert len(one) == 1
    assert one[0].landmarks[:, 0].mean() > 160


def test_a_new_face_is_seen_at_the_next_look(reconstructor, patch):
    tracker = FaceTracker(reconstructor, faces=2, look_every=4)
    counts = [len(tracker(frame_with((patch, 5, 50)))) for _ in range(2)]
    counts += [len(tracker(frame_with((patch, 5, 50), (patch, 180, 50)))) for _ in range(5)]
    assert counts[:2] == [1, 1]
    assert counts[-1] == 2


def test_two_faces_that_cross_keep_to_themselves(reconstructor, photo_path):
    """The smaller passes behind the larger."""
    small, large = face_patch(photo_path, 96), face_patch(photo_path, 140)
    tracker = FaceTracker(reconstructor, faces="all", rate=25, look_every=5)
    places = np.linspace(0, 220, 32)
    found = [tracker(frame_with((small, x, 70), (large, 170 - 0.75 * x, 45))) for x in places]
    assert len(found[0]) == len(found[-1]) == 2
    assert tracker.tracks == [1, 2]  # the smaller one is known again
    for faces in found:  # never two tracks on one face
        if len(faces) == 2:
            assert overlap(faces[0].crop, faces[1].crop) < 0.6
    before, after = ({face.track: face.scale for face in faces} for faces in (found[0], found[-1]))
    assert before[1] > before[2]
    assert after[1] > 0.8 * before[1]


def test_a_head_on_its_side(reconstructor, patch):
    tracker = FaceTracker(reconstructor, rate=25)
    frames = [np.ascontiguousarray(np.rot90(frame_with((patch, 80 + 2 * s, 50)))) for s in range(5)]
    faces = [tracker(frame) for frame in frames]
    assert [face.track for (face,) in faces] == [1] * 5
    (last,) = faces[-1]
    assert last.quarters == 3
    assert abs(abs(last.angles[2]) - 90) < 25
    assert (last.landmarks[:, 1] < frames[-1].shape[0]).all()


def test_no_face(reconstructor):
    tracker = FaceTracker(reconstructor)
    assert [tracker(EMPTY) for _ in range(3)] == [[], [], []]
    assert tracker.tracks == []
    with pytest.raises(InputError, match="track: "):
        tracker.shape(1)


def test_arguments_that_do_not_fit(reconstructor, patch):
    for values in ({"faces": "some"}, {"faces": 0}, {"rate": 0}, {"rate": "25"}, {"look_every": 0}):
        with pytest.raises(InputError, match=f"^{next(iter(values))}: "):
            FaceTracker(reconstructor, **values)
    with pytest.raises(InputError, match=r"^reconstructor: "):
        FaceTracker("base")
    tracker = FaceTracker(reconstructor)
    tracker(EMPTY, 1.0)
    for seconds in (1.0, 0.5, np.nan):
        with pytest.raises(InputError, match=r"^seconds: expected a time after the last frame's"):
            tracker(EMPTY, seconds)
    with pytest.raises(InputError, match=r"^image: "):
        tracker(EMPTY[..., 0])


def test_a_network_without_points_of_its_own(lively_checkpoint, patch):
    """It has learned nothing; frames must not break the tracker all the same."""
    tracker = FaceTracker(FaceReconstructor(lively_checkpoint), rate=25)
    for step in range(6):
        for face in tracker(frame_with((patch, 60 + 5 * step, 50))):
            assert np.isfinite(face.vertices).all()
