"""Contours.of_outline: candidates along lines from the outline of a mean shape towards its middle."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te

STEPS = 60


def half_ellipsoid():
    """The front of a head: 80 wide, 100 high, 90 deep; its outline is the ellipse z = 0."""
    across = torch.linspace(-1, 1, 2 * STEPS + 1, dtype=torch.float64)
    x, y = torch.meshgrid(across, across, indexing="ij")
    inside = x.square() + y.square() <= 1
    x, y = x[inside], y[inside]
    z = (1 - x.square() - y.square()).clamp(min=0).sqrt()
    return torch.stack((80 * x, 100 * y, 90 * z), dim=1)


def nearest(mean, places):
    return torch.cdist(torch.tensor(places, dtype=torch.float64), mean).argmin(dim=1)


@pytest.fixture
def basis():
    mean = half_ellipsoid()
    outline = nearest(mean, [[-80, 0, 0], [-57, -71, 0], [0, -100, 0], [57, -71, 0], [80, 0, 0]])
    rest = nearest(mean, [[0, 0, 90], [-30, 40, 80], [30, 40, 80], [0, 90, 20]])
    return te.MorphableBasis(
        mean, torch.zeros(0, len(mean), 3), torch.cat((outline, rest)), storage=torch.float64
    )


def test_lines_lead_from_the_outline_inwards(basis):
    contours = te.Contours.of_outline(basis, range(5), width=9, reach=0.5)
    mean, rows = basis.mean, basis.landmarks
    assert torch.equal(contours.candidates[:, 0], rows)
    assert (contours.candidates[5:, 1:] == -1).all()
    middle = mean[rows].mean(dim=0)
    for point in range(5):
        normal, place = contours.outward[point], mean[rows[point]]
        line = contours.candidates[point, 1:]
        places = mean[line[line >= 0]]
        assert len(places) >= 6
        inward = -(places[:, :2] - place[:2]) @ normal
        assert (inward.diff() > 0).all()
        assert (inward >= 0).all()
        assert inward.max() <= 0.5 * (place[:2] - middle[:2]) @ normal + 1e-9
        aside = (places[:, :2] - place[:2]) @ torch.stack((normal[1], -normal[0]))
        assert aside.abs().max() <= 200 / 40
        assert (places[:, 2].diff() > 0).all()  # up the front of an ellipsoid


def test_outward_is_across_the_outline(basis):
    outward = te.Contours.of_outline(basis, range(5)).outward
    torch.testing.assert_close(outward[:5].norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert outward[2, 1] < -0.99
    assert outward[1, 0] < -0.5
    assert outward[3, 0] > 0.5
    assert (outward[5:] == 0).all()
    reverse = te.Contours.of_outline(basis, [4, 3, 2, 1, 0]).outward
    torch.testing.assert_close(reverse, outward)


def test_one_candidate_is_no_contour(basis):
    contours = te.Contours.of_outline(basis, range(5), width=1)
    pose = torch.eye(3, 4, dtype=torch.float64)[None]
    points = te.landmarks(basis, torch.zeros(1, 0, dtype=torch.float64), pose)[..., :2] + 3
    plain = te.fit_landmarks(basis, points, 1.0)
    assert torch.equal(te.fit_landmarks(basis, points, 1.0, contours=contours).parameters, plain.parameters)


@pytest.mark.parametrize("yaw", [-0.7, 0.0, 0.7])
def test_a_turned_head_fits_its_outline(basis, yaw):
    """Points where a turned head ends in the image: with candidates the turn is found, without it is not."""
    contours = te.Contours.of_outline(basis, range(5), reach=0.9, width=32)
    contours.candidates[1:4, 1:] = -1  # the two sides alone
    angle = torch.tensor(yaw, dtype=torch.float64)
    turn = torch.eye(3, dtype=torch.float64)
    turn[0, 0], turn[0, 2], turn[2, 0], turn[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    places = basis.mean @ turn.T
    points = places[basis.landmarks, :2].clone()
    for side, sign in ((0, -1), (4, 1)):
        row = (basis.mean[:, 1] - basis.mean[basis.landmarks[side], 1]).abs() < 1
        points[side] = places[row, :2][(sign * places[row, 0]).argmax()]
    error = []
    for options in ({"contours": contours}, {}):
        found = te.fit_landmarks(basis, points[None], 1.0, iterations=60, robust=torch.inf, **options)
        error.append((found.pose[0, :2, :3] - turn[:2]).abs().max())
    assert error[0] < 0.03
    if yaw:
        assert error[0] < 0.3 * error[1]


def test_wrong_outlines_are_named(basis):
    with pytest.raises(ValueError, match="outline: expected at least two points, got 1"):
        te.Contours.of_outline(basis, [3])
    with pytest.raises(ValueError, match=r"outline: .*\[0, 9\), got 9"):
        te.Contours.of_outline(basis, [3, 9])
    with pytest.raises(ValueError, match="width: expected a number of candidates from 1 to 1024, got 0"):
        te.Contours.of_outline(basis, range(5), width=0)
    bare = te.MorphableBasis(basis.mean, basis.modes, storage=torch.float64)
    with pytest.raises(ValueError, match="vertices: expected some for a basis without landmarks"):
        te.Contours.of_outline(bare, range(5))
