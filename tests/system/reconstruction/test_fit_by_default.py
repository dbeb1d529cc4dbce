"""What a fitting reconstructor makes of a network, its own points and a detector that may be wrong.

Stands in for the network: an oracle that knows each photo by its gray, and errs as it is told.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.crops import Crop
from twodasl.geometry.parameters import join_parameters
from twodasl.geometry.pose import pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import load_model
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.training.priors import FitPriors

from ..oracle import BOX, Oracle, checkpoint, in_photo, moved, noisy, photo

COUNT = 6
# Of a network that usually errs by two pixels and three degrees.
MEASURED = FitPriors((0.05, 0.05, 0.05), (0.03, 0.03, 0.03), (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def head():
    return load_model("procedural")


@pytest.fixture(scope="module")
def truth(head):
    """(COUNT, 12+K) parameters of faces to 35 degrees of yaw."""
    generator = torch.Generator().manual_seed(3)
    yaw = torch.linspace(-0.6, 0.6, COUNT)
    angles = torch.stack([torch.full((COUNT,), 0.1), yaw, torch.full((COUNT,), -0.05)], dim=1)
    pose = pose_matrix(torch.full((COUNT,), 0.42), angles, torch.tensor([60.0, 62.0, 0.0]).expand(COUNT, 3))
    spread = torch.from_numpy(head.coefficient_std)
    return join_parameters(pose, torch.randn(COUNT, len(spread), generator=generator) * spread)


@pytest.fixture(scope="module")
def marks(head, truth):
    """(COUNT, 68, 2) crop pixels."""
    return crop_landmarks(head.basis(), truth)[..., :2]


@pytest.fixture(scope="module")
def made(tmp_path_factory, head):
    """A function that makes a reconstructor of an oracle."""
    folder = tmp_path_factory.mktemp("oracles")

    def make(oracle, *, dropout=0.15, fit=True, priors=None):
        points = 0 if oracle.points is None else 68
        found = FaceReconstructor(checkpoint(folder, head, points, dropout), head, fit=fit, once=True)
        found.network.regressor = oracle
        if priors is not None:
            found._fit.priors = priors
        return found

    return make


def run(reconstruct, rows, landmarks, **options):
    """Landmarks (len(rows), 68, 2) in crop pixels of what is made of photos and landmarks or None."""
    given = [None if points is None else in_photo(points) for points in landmarks]
    faces = reconstruct.batch([photo(i) for i in rows], given, [BOX] * len(rows), **options)
    return torch.from_numpy(np.stack([Crop(*BOX).to_crop(face.landmarks[:, :2]) for face in faces]))


def apart(one, other):
    """(B,) mean distance of the points inside the face; those of the jaw may slide."""
    return (one - other)[:, 17:].norm(dim=-1).mean(1)


@pytest.mark.parametrize("own", [True, False])
def test_correct_landmarks_are_followed(made, truth, marks, own):
    network = moved(truth, 4.0)
    points = noisy(marks, 2.0) if own else None
    found = run(made(Oracle(network, network, points)), range(COUNT), list(noisy(marks, 0.3, 1)))
    assert apart(found, marks).max() < 1.0


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("wrong", ["shifted", "down", "another", "upside down"])
def test_a_wrong_detector_moves_nothing_far(made, truth, marks, own, wrong):
    """Nor does it where the network believed it, as its landmark map made it do."""
    network = moved(truth, 1.0)
    points = noisy(marks, 2.0) if own else None
    detected = {
        "shifted": marks + torch.tensor([30.0, 0.0]),
        "down": marks + torch.tensor([0.0, 30.0]),
        "another": (marks.roll(COUNT // 2, 0) - 60) * 0.5 + 60,
        "upside down": 120 - marks,
    }[wrong]
    misled = moved(truth, 20.0)
    alone = run(made(Oracle(network, network, points)), range(COUNT), [None] * COUNT)
    reconstruct = made(Oracle(network, misled, points), priors=None if own else MEASURED)
    found = run(reconstruct, range(COUNT), list(detected))
    assert apart(found, alone).max() < 1.2
    assert apart(found, marks).max() < 2.0 < 8 < apart(detected, marks).min()


def test_a_network_of_which_nothing_is_known_is_not_moved_far_either(made, truth, marks):
    """What it may err by is ten pixels then, and the prior alone is against 68 landmarks."""
    detected = marks + torch.tensor([30.0, 0.0])
    found = run(made(Oracle(truth, moved(truth, 20.0))), range(COUNT), list(detected))
    assert apart(found, marks).max() < 4.0


def test_trust_wanes_with_the_distance(made, truth, marks):
    """Landmarks a few pixels off are still followed; those further off less than nearer ones."""
    points = noisy(marks, 2.0)
    reached = []
    for pixels in (0.0, 2.0, 10.0, 20.0, 30.0):
        detected = marks + torch.tensor([pixels, 0.0])
        found = run(made(Oracle(truth, truth, points)), range(COUNT), list(detected))
        reached.append(float((found - marks)[:, 17:, 0].mean()))
    assert abs(reached[0]) < 0.3
    assert 1.0 < reached[1] < 2.0
    assert max(map(abs, reached[2:])) < 1.5


def test_parameters_are_pulled_to_points_that_are_right(made, truth, marks):
    network = moved(truth, 8.0)
    network[:, 12:] = 0
    oracle = Oracle(network, network, marks, sigma=0.5)
    alone = run(made(oracle, fit=False), range(COUNT), [None] * COUNT)
    found = run(made(oracle), range(COUNT), [None] * COUNT)
    assert apart(found, marks).max() < 0.8 < 7 < apart(alone, marks).min()


def test_points_that_are_unsure_pull_less(made, truth, marks):
    network = moved(truth, 8.0)
    left = [
        apart(run(made(Oracle(network, network, marks, sigma)), range(COUNT), [None] * COUNT), marks).mean()
        for sigma in (0.5, 8.0, 60.0)
    ]
    assert left[0] < left[1] < left[2]


def test_without_points_of_either_kind_a_face_is_the_networks(made, truth):
    oracle = Oracle(truth, truth)
    faces = [made(oracle, fit=fit)(photo(2), box=BOX, refinements=0).parameters for fit in (True, False)]
    np.testing.assert_array_equal(*faces)


@pytest.mark.parametrize("own", [True, False])
def test_faces_with_and_without_landmarks_in_any_order(made, truth, marks, own):
    """A face is the same alone, among others, and wherever it is in the batch."""
    network, misled = moved(truth, 3.0), moved(truth, 20.0)
    points = noisy(marks, 2.0) if own else None
    wrong = marks + torch.tensor([30.0, 0.0])
    landmarks = [marks[0], None, wrong[2], None, marks[4], wrong[5]]
    marked = torch.stack([network[i] if i in (0, 4) else misled[i] for i in range(COUNT)])
    reconstruct = made(Oracle(network, marked, points))
    whole = run(reconstruct, range(COUNT), landmarks)
    for order in ([5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3]):
        again = run(reconstruct, order, [landmarks[i] for i in order], batch_size=4)
        torch.testing.assert_close(again, whole[order], rtol=0, atol=2e-2)
    for index in range(COUNT):
        torch.testing.assert_close(
            run(reconstruct, [index], [landmarks[index]])[0], whole[index], rtol=0, atol=2e-2
        )
    torch.testing.assert_close(run(reconstruct, range(COUNT), landmarks), whole, rtol=0, atol=0)


def test_a_network_that_never_saw_a_blank_map_is_not_asked_with_one(made, truth, marks):
    """What it would say without landmarks is no evidence against them."""
    nowhere = moved(truth, 40.0)
    oracle = Oracle(nowhere, moved(truth, 4.0))
    found = run(made(oracle, dropout=0.0), range(COUNT), list(marks))
    assert apart(found, marks).max() < 0.5
    assert (oracle.calls, oracle.shown) == (1, COUNT)


def test_a_network_that_never_sees_landmarks_is_never_shown_any(made, truth, marks):
    oracle = Oracle(moved(truth, 4.0), moved(truth, 30.0))
    found = run(made(oracle, dropout=1.0), range(COUNT), list(marks))
    assert apart(found, marks).max() < 0.5
    assert oracle.shown == 0


def test_an_answer_without_landmarks_that_is_no_face_is_no_evidence(made, truth, marks):
    """It was an error, of faces that the network places well with their landmarks."""
    for worse in (1e3, 1e-3):
        blank = truth.clone()
        blank[:, :12] *= worse
        found = run(made(Oracle(blank, moved(truth, 4.0))), range(COUNT), list(marks))
        assert apart(found, marks).max() < 0.5
    with pytest.raises(InputError, match="its network's answer is no face"):
        run(made(Oracle(blank, truth)), [0], [None])


@pytest.mark.parametrize("place", ["blank", "marked", "points"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_is_an_error_that_names_the_checkpoint(made, truth, marks, place, value):
    oracle = Oracle(truth.clone(), truth.clone(), marks.clone())
    getattr(oracle, place)[3].flatten()[20] = value
    reconstruct = made(oracle)
    with pytest.raises(InputError, match=r"68-0\.15\.pt: its network gives NaN or infinity"):
        run(reconstruct, range(COUNT), list(marks))
    # Other faces are as they were.
    assert run(reconstruct, [0, 1], list(marks[:2])).isfinite().all()


def test_the_crop_that_followed_the_face_is_the_one_that_landmarks_are_moved_to(made, truth, marks):
    """With `recrop` the network sees another crop last; landmarks stay those of the photo."""
    oracle = Oracle(truth, truth)
    reconstruct = made(oracle, dropout=0.0)
    wide = (-10.0, -12.0, 132.0, 130.0)
    given = in_photo(marks[3])
    face = reconstruct(photo(3), given, wide, refinements=1, recrop=True)
    assert np.linalg.norm(face.landmarks[:, :2] - given, axis=1)[17:].mean() < 1.0


def test_wrong_landmarks_of_one_face_change_no_other(made, truth, marks):
    oracle = Oracle(moved(truth, 2.0), moved(truth, 2.0), noisy(marks, 2.0))
    given = list(marks)
    usual = run(made(oracle), range(COUNT), given)
    given[2] = marks[2] - 30
    found = run(made(replace(oracle)), range(COUNT), given)
    others = [0, 1, 3, 4, 5]
    torch.testing.assert_close(found[others], usual[others], rtol=0, atol=2e-2)
