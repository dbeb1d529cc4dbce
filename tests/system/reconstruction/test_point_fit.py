"""The face model fitted to 68, 21 or 18 points about a network's prediction."""

import numpy as np
import pytest
import torch
from twodasl.geometry.parameters import join_parameters, split_parameters
from twodasl.geometry.pose import decompose_pose, pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.landmarks import eighteen_from_68, twenty_one_from_68
from twodasl.landmarks.weights import weights_from_68
from twodasl.morphable import load_model
from twodasl.reconstruction.landmark_fit import Points
from twodasl.reconstruction.point_fit import PointFit

EARS = ("ear_left", "ear_right")


@pytest.fixture(scope="module")
def head():
    return load_model("procedural")


@pytest.fixture(scope="module")
def fit(head):
    return PointFit(head, head.basis())


def faces(model, count=12, seed=0):
    """Parameters (count, 12+K), to 40 degrees of yaw, and what a network may say of them."""
    draw = torch.Generator().manual_seed(seed)
    angles = (torch.rand(count, 3, generator=draw) - 0.5) * torch.tensor([0.4, 1.4, 0.4])
    place = torch.tensor([60.0, 62.0, 0.0]).expand(count, 3)
    spread = torch.from_numpy(model.coefficient_std)
    coefficients = torch.randn(count, len(spread), generator=draw) * spread
    truth = join_parameters(pose_matrix(torch.full((count,), 0.42), angles, place), coefficients)
    turned = angles + 0.06 * torch.randn(count, 3, generator=draw)
    moved = place + torch.tensor([2.0, -2.0, 0.0])
    network = join_parameters(
        pose_matrix(torch.full((count,), 0.43), turned, moved),
        coefficients + 0.7 * spread * torch.randn(count, len(spread), generator=draw),
    )
    return truth, network


def points_of(model, basis, parameters, count):
    marks = crop_landmarks(basis, parameters)[..., :2]
    if count == 68:
        return marks
    if count == 18:
        return eighteen_from_68(marks)
    ears = torch.tensor([model.named_landmarks[name] for name in EARS])
    return twenty_one_from_68(marks, ears=crop_landmarks(basis, parameters, ears)[..., :2])


def turn(a, b):
    first, second = (decompose_pose(split_parameters(part)[0])[1] for part in (a, b))
    return torch.rad2deg((first - second).abs().amax(1))


@pytest.mark.parametrize("count", [68, 21, 18])
def test_known_faces_are_found_again(head, fit, count):
    truth, network = faces(head)
    found = fit(network, points_of(head, fit.basis, truth, count))
    inner = [*range(17, 68)]
    errors = [
        (crop_landmarks(fit.basis, part)[..., :2] - crop_landmarks(fit.basis, truth)[..., :2])[:, inner]
        .norm(dim=-1)
        .mean(1)
        for part in (network, found.parameters)
    ]
    # A pixel is a point's standard deviation, and what the points do not tell stays with the network.
    assert errors[1].mean() < {68: 0.5, 21: 0.9, 18: 1.0}[count] < 2 < errors[0].mean()
    # Of the 68, those on the outline count less, and may be other vertices.
    assert found.residual.max() < (3 if count == 68 else 1.5)
    assert turn(found.parameters, truth).mean() < turn(network, truth).mean()
    assert found.deviations.shape == (12, 7 + sum(head.counts[1:]))
    assert bool((found.deviations >= 0).all() & found.deviations.isfinite().all())


def test_points_that_are_not_there_do_not_count(head, fit):
    truth, network = faces(head)
    points = points_of(head, fit.basis, truth, 21)
    points[:, 3] = torch.nan
    wrong = points.clone()
    wrong[:, 3] = 1e6
    hidden = fit(network, points)
    assert hidden.residual.isfinite().all()
    # One that is absurd does less than its share, by Huber's norm, but is in the residual.
    assert fit(network, wrong).residual.min() > 1e5


def test_ears_are_used_where_the_model_names_them(head, ball_model):
    for model, known in ((head, 21), (ball_model, 19)):
        weights, seen = PointFit(model, model.basis())._means(21, False)
        assert int(seen.sum()) == known
        torch.testing.assert_close(weights.sum(1), torch.ones(21))


def test_own_points_help_where_few_are_annotated(head, fit):
    truth, network = faces(head)
    marks = crop_landmarks(fit.basis, truth)[..., :2]
    for count in (18, 68):
        points = points_of(head, fit.basis, truth, count)
        points[:, 6:] = torch.nan
        alone = fit(network, points)
        both = fit(network, points, Points(marks, torch.ones(len(marks), 68)))
        errors = [
            (crop_landmarks(fit.basis, f.parameters)[..., :2] - marks).norm(dim=-1).mean()
            for f in (alone, both)
        ]
        assert errors[1] < 0.5 * errors[0]


def test_own_points_do_not_contradict_annotated_ones(head, fit):
    """A network that believes every mouth is shut does not shut an annotated one; elsewhere it counts."""
    truth, network = faces(head)
    points = points_of(head, fit.basis, truth, 68)
    wrong = points + 6.0
    sure = torch.full(points.shape[:2], 0.3)
    sure[:, :17] = torch.inf
    alone, both = fit(network, points), fit(network, points, Points(wrong, sure))
    torch.testing.assert_close(both.parameters, alone.parameters, rtol=1e-4, atol=1e-3)
    points[:, 48:] = torch.nan
    moved = [
        (crop_landmarks(fit.basis, f.parameters)[:, 48:, :2] - wrong[:, 48:]).norm(dim=-1).mean()
        for f in (fit(network, points), fit(network, points, Points(wrong, sure)))
    ]
    assert moved[1] < moved[0] - 2


def test_the_schemes_are_means_of_the_68():
    points = np.random.default_rng(0).normal(size=(68, 2))
    np.testing.assert_allclose(weights_from_68(18) @ points, eighteen_from_68(points))
    np.testing.assert_allclose(weights_from_68(21) @ points, twenty_one_from_68(points))
    np.testing.assert_array_equal(weights_from_68(68), np.eye(68))
    with pytest.raises(ValueError, match="count: expected 68, 21 or 18 points, got 5"):
        weights_from_68(5)
