"""What confidence is concluded from, the scenes it is measured on, and measuring it on known errors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.morphable import load_model
from twodasl.reconstruction import confidence_measure
from twodasl.reconstruction.confidence import clues_of
from twodasl.reconstruction.confidence_measure import measure_confidence
from twodasl.reconstruction.confidence_scenes import Scene, scenes_of
from twodasl.reconstruction.face_network import Said
from twodasl.synthetic import SyntheticFaces, SyntheticOptions
from twodasl.training.confidence import Clues


def said(points, sigma):
    count = len(points)
    return Said(torch.zeros(count, 15), torch.zeros(count, 68, 3), points, sigma, torch.zeros(count).bool())


def square(count=2):
    """(count, 68, 2) points in a box of 40 by 90 pixels: a face of size 60."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(count, 68, 2, generator=generator) * torch.tensor([40.0, 90.0]) + 10
    points[:, 0], points[:, 1] = torch.tensor([10.0, 10.0]), torch.tensor([50.0, 100.0])
    return points


def test_clues_are_shares_of_the_face():
    marks = square()
    sigma = torch.cat([torch.full((2, 34), 3.0), torch.full((2, 34), 4.0)], dim=1)
    own = marks + torch.tensor([0.0, 1.2])
    given = own[1].numpy().astype(float) + np.array([3.0, 0.0])
    given[:17] += 100  # the jaw does not count
    alone, marked = clues_of(said(own, sigma), marks, [None, given])
    assert alone.sigma == marked.sigma == pytest.approx(np.sqrt(12.5) / 60)
    assert [alone.residual, marked.residual] == pytest.approx([1.2 / 60] * 2, rel=1e-5)  # float32 points
    assert alone.contradiction is None
    assert marked.contradiction == pytest.approx(3 / 60, rel=1e-5)


def test_a_face_without_extent_has_clues_all_the_same():
    points = torch.full((1, 68, 2), 60.0)
    (clues,) = clues_of(said(points, torch.ones(1, 68)), points, [None])
    assert clues == Clues(1.0, 0.0)


@pytest.fixture(scope="module")
def faces():
    return SyntheticFaces(load_model("procedural"), 12, 5, SyntheticOptions(occluders=0.35))


@pytest.fixture(scope="module")
def scenes(faces):
    return [scenes_of(faces, index) for index in range(len(faces))]


def test_scenes_show_a_face_in_place_out_of_place_and_none(scenes):
    for right, wrong, none, marked, mismarked in scenes:
        assert none.truth is None
        assert right.face.landmarks is wrong.face.landmarks is none.face.landmarks is None
        # As a detector errs: within some percent of the face's size.
        size = np.sqrt(np.prod(np.ptp(marked.truth, axis=0)))
        off = np.linalg.norm(marked.face.landmarks - marked.truth, axis=1).mean()
        assert 0 < off < 0.12 * size
        assert mismarked.face.landmarks is not None
        x0, y0, x1, y1 = right.face.crop.box
        middle = right.truth.mean(axis=0)
        assert abs(middle[0] - (x0 + x1) / 2) < (x1 - x0) / 4
        assert abs(middle[1] - (y0 + y1) / 2) < (y1 - y0) / 4
    assert {scene[4].truth is None for scene in scenes} == {False, True}
    moved = [np.subtract(wrong.face.crop.box, right.face.crop.box) for right, wrong, *_ in scenes]
    assert sum(np.abs(difference).max() > 12 for difference in moved) >= 6


def test_a_scenes_crop_shows_the_face_as_it_was_drawn(faces, scenes):
    """But for the edge, where it fades into what surrounds it."""
    for index in range(3):
        crop = scenes[index][0].face.crop.image(scenes[index][0].face.image)
        inner = (slice(8, -8), slice(8, -8))
        np.testing.assert_allclose(crop[inner], faces[index]["image"].numpy()[inner], atol=1)


def test_scenes_are_a_function_of_seed_and_index(faces, scenes):
    for old, new in zip(scenes[4], scenes_of(faces, 4), strict=True):
        np.testing.assert_array_equal(old.face.image, new.face.image)
        assert old.face.crop == new.face.crop
        for one, other in ((old.truth, new.truth), (old.face.landmarks, new.face.landmarks)):
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_array_equal(one, other)


class Erring:
    """A reconstructor that errs by its own sigma: normal errors of a width that it knows."""

    def __init__(self, factor=1.0, points=True):
        self.network = SimpleNamespace(has_points=points)
        self.factor = factor

    def reconstruct(self, faces):
        return [self._face(face) for face in faces]

    def _face(self, face):
        rng = np.random.default_rng(face.seed)
        sigma = 10 ** rng.uniform(-2.5, -0.5)
        factor = self.factor if face.photo else 1.0
        truth = np.zeros((68, 2)) if face.truth is None else face.truth
        shift = factor * sigma * rng.normal(size=2) / np.sqrt(2)
        landmarks = np.concatenate([truth + shift, np.zeros((68, 1))], axis=1)
        clues = Clues(sigma, 0.01, None if face.landmarks is None else sigma)
        return SimpleNamespace(landmarks=landmarks, clues=clues)


TRUTH = np.random.default_rng(0).random((68, 2))
TRUTH[:2] = [[0, 0], [1, 1]]  # a face of size 1


def stand_in(seed, *, photo=False, landmarks=False, truth=True):
    points = TRUTH if truth else None
    marks = TRUTH if landmarks else None
    return Scene(SimpleNamespace(seed=seed, photo=photo, truth=points, landmarks=marks), points)


@pytest.fixture
def known(monkeypatch):
    """Scenes and photos of faces of size 1."""

    def scenes(faces, index):
        return [stand_in((index, 0)), stand_in((index, 1), landmarks=True)]

    monkeypatch.setattr(confidence_measure, "scenes_of", scenes)
    monkeypatch.setattr(
        confidence_measure, "_photo_scene", lambda photos, row, marks: stand_in((row, 2), photo=True)
    )


class Photos:
    """Photos of which the first so many have 68 landmarks."""

    def __init__(self, whole, count=1000):
        self.whole, self.count = whole, count

    def __len__(self):
        return self.count

    def fit_points(self, row):
        return TRUTH if row < self.whole else TRUTH[:21]


def test_what_is_measured_comes_true(known):
    """A normal shift of width s is within 5 % of the face in 1 - exp(-0.05^2 / s^2) of all cases."""
    calibration = measure_confidence(Erring(), range(3000), progress=False)
    assert calibration.photos == 1.6
    plain = measure_confidence(Erring(), range(3000), Photos(1000), progress=False)
    assert plain.photos == pytest.approx(1.0, abs=0.15)
    for sigma in (0.02, 0.04, 0.06, 0.1):
        assert plain(Clues(sigma, 0.01)) == pytest.approx(1 - np.exp(-((0.05 / sigma) ** 2)), abs=0.1)
    # The landmarks' line takes no factor.
    assert calibration.landmarks == plain.landmarks
    assert calibration(Clues(0.04, 0.01)) < plain(Clues(0.04, 0.01))


def test_photos_that_err_more_lower_it(known):
    found = measure_confidence(Erring(factor=1.5), range(2000), Photos(1000), progress=False)
    assert found.photos == pytest.approx(1.5, abs=0.2)


def test_measuring_twice_gives_the_same(known):
    first, second = (measure_confidence(Erring(), range(300), Photos(200), progress=False) for _ in range(2))
    assert first == second


def test_what_cannot_be_measured_is_refused(known):
    with pytest.raises(InputError, match=r"^confidence: expected a network with points of its own"):
        measure_confidence(Erring(points=False), range(10), progress=False)
    with pytest.raises(InputError, match="expected at least 100 photos with 68 landmarks, got 99 of 1000"):
        measure_confidence(Erring(), range(10), Photos(99), progress=False)


def test_answers_that_are_no_faces_are_left_out_unless_most_are(known, monkeypatch):
    one = Erring()

    def reconstruct(faces, refused):
        if any(refused(face) for face in faces):
            raise InputError("its network's answer is no face")
        return [one._face(face) for face in faces]

    some = Erring()
    monkeypatch.setattr(some, "reconstruct", lambda faces: reconstruct(faces, lambda f: f.seed[0] % 5 == 0))
    found = measure_confidence(some, range(1000), progress=False)
    whole = measure_confidence(one, range(1000), progress=False)
    assert found.alone == pytest.approx(whole.alone, rel=0.2)
    monkeypatch.setattr(some, "reconstruct", lambda faces: reconstruct(faces, lambda f: f.seed[0] % 5))
    with pytest.raises(InputError, match="answers to 16 of 20 pictures are no faces; take an earlier"):
        measure_confidence(some, range(10), progress=False)
